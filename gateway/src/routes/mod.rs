//! Every route there is, by group. The directory is the table of contents.

mod actions;
mod agents;
mod api_keys;
mod approvals;
mod deliver;
mod docs;
mod health;
mod hooks;
pub(crate) mod openapi;
mod revisions;
pub(crate) mod rights;
mod runs;
mod secrets;
mod token;
mod validate;
mod whoami;
mod workflows;

use crate::route::Route;

/// All routes, in the order of the contract.
pub(crate) fn all() -> Vec<Route> {
    [
        health::routes(),
        docs::routes(),
        token::routes(),
        whoami::routes(),
        workflows::routes(),
        revisions::routes(),
        validate::routes(),
        runs::routes(),
        approvals::routes(),
        agents::routes(),
        actions::routes(),
        hooks::routes(),
        api_keys::routes(),
        secrets::routes(),
        deliver::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
