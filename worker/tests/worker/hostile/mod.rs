//! Plugins that do what no plugin should: the limits hold, the others do not notice, and what is told says what the
//! plugin did.

mod answers;
mod call_backs;
mod field;
mod lives;
mod manifests;
mod messages;
