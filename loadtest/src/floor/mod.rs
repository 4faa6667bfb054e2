//! The floor: the least that a durable run needs, to compare the product with.
//!
//! HTTP in, a row made durable by group commit, one queue hop, one gRPC call to the agent `demo` for each step, and a
//! row made durable for each result. It knows no workflows, rights, approvals, journals or retries, and it answers the
//! few routes that the load needs, so that the same generator drives both.

mod agent;
mod http;
mod rows;
mod runs;

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::args::Floor;
use agent::Agent;
use rows::Rows;
use runs::Runs;

/// Serves until this is dropped.
///
/// # Errors
/// The agent does not start, the folder cannot be used, or the port is taken.
pub(crate) async fn serve(floor: &Floor) -> anyhow::Result<()> {
    let rows = Rows::open(&floor.data)?;
    let agent = Agent::start(&floor.agent, &floor.data).await?;
    let runs = Arc::new(Runs::start(rows, agent.client()));
    let listener = TcpListener::bind(&floor.http)
        .await
        .with_context(|| format!("listening on {}", floor.http))?;
    let mut out = std::io::stdout();
    writeln!(out, "ready http=http://{}", listener.local_addr()?)?;
    out.flush()?;
    http::serve(listener, &runs).await;
    Ok(())
}
