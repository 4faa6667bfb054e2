//! An HTTP server inside the test.

use anyhow::Result;
use axum::Router;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    _task: JoinSet<()>,
}

pub(crate) async fn serve(router: Router) -> Result<Served> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        axum::serve(listener, router)
            .await
            .expect("axum serves for ever");
    });
    Ok(Served {
        address,
        _task: task,
    })
}
