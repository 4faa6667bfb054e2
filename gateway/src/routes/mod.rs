//! Every route there is, by group. The directory is the table of contents.

mod api_keys;
mod docs;
mod health;
pub(crate) mod openapi;
pub(crate) mod rights;
mod secrets;
mod token;
mod whoami;

use crate::route::Route;

/// All routes, in the order of the contract.
pub(crate) fn all() -> Vec<Route> {
    [
        health::routes(),
        docs::routes(),
        token::routes(),
        whoami::routes(),
        api_keys::routes(),
        secrets::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
