//! What everything that is kept in SQLite shares.

pub(crate) mod columns;
pub(crate) mod fault;
