//! Reads alerts, and reads, creates and expires silences of an Alertmanager (API version 2).

mod backend;
mod create_silence;
mod expire_silence;
mod list_alerts;
mod list_silences;
mod matcher;
mod silence;
#[cfg(test)]
mod tests;
mod token;

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
        "alertmanager",
        env!("CARGO_PKG_VERSION"),
        "Reads alerts, and reads, creates and expires silences of an Alertmanager.",
    )
    .setting(
        Setting::string(
            backend::URL,
            "The server's address, such as `http://localhost:9093`; it may have a path.",
        )
        .required(),
    )
    .setting(Setting::string(backend::TOKEN, "Sent as a bearer token with each request.").secret())
    .setting(Setting::duration(backend::TIMEOUT, "How long one request may take.").default("15s"))
    .check_config(backend::check)
    .action(list_alerts::action(backend.clone()))
    .action(list_silences::action(backend.clone()))
    .action(create_silence::action(backend.clone()))
    .action(expire_silence::action(backend))
    .health(move |config| {
        let backend = checked.clone();
        async move { backend.health(Arc::as_ref(&config)).await }
    })
}
