//! Asks a server that speaks the Prometheus HTTP API: Prometheus, VictoriaMetrics, Thanos, Mimir.

mod answer;
mod backend;
mod instant_query;
mod label_names;
mod label_values;
mod metadata;
mod range_query;
mod search;
mod series;
mod span;
#[cfg(test)]
mod tests;
mod time;

use std::{process::ExitCode, sync::Arc};

use backend::Backend;
use mirastack_sdk::{Agent, Setting};

fn main() -> ExitCode {
    agent().main()
}

fn agent() -> Agent {
    let backend = Backend::new();
    let checked = backend.clone();
    Agent::new(
        "metrics",
        env!("CARGO_PKG_VERSION"),
        "Asks Prometheus, or any other server with its HTTP API, such as VictoriaMetrics.",
    )
    .setting(
        Setting::string(
            backend::URL,
            "The server's address, such as `http://localhost:9090`; it may have a path.",
        )
        .required(),
    )
    .setting(Setting::string(backend::TOKEN, "Sent as a bearer token with each request.").secret())
    .setting(Setting::duration(backend::TIMEOUT, "How long one request may take.").default("30s"))
    .check_config(backend::check)
    .action(instant_query::action(backend.clone()))
    .action(range_query::action(backend.clone()))
    .action(label_names::action(backend.clone()))
    .action(label_values::action(backend.clone()))
    .action(series::action(backend.clone()))
    .action(metadata::action(backend))
    .health(move |config| {
        let backend = checked.clone();
        async move { backend.health(Arc::as_ref(&config)).await }
    })
}
