//! Runs: started, listed, looked at, followed, asked something of.

mod cancel_many;
pub(super) mod commands;
pub(super) mod create;
mod events;
pub(super) mod get;
mod journal;
mod list;
mod steps;

use crate::route::Route;

pub(super) fn routes() -> Vec<Route> {
    [
        create::routes(),
        list::routes(),
        cancel_many::routes(),
        get::routes(),
        steps::routes(),
        events::routes(),
        journal::routes(),
        commands::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
