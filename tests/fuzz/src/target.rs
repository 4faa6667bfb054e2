//! The targets, each a file.

pub(crate) mod archive;
pub(crate) mod delivery;
pub(crate) mod document;
pub(crate) mod expression;
pub(crate) mod inputs;
pub(crate) mod journal;
pub(crate) mod local;
pub(crate) mod mask;
pub(crate) mod message;
pub(crate) mod request;
pub(crate) mod schema;
pub(crate) mod settings;
pub(crate) mod stored;
pub(crate) mod token;
pub(crate) mod word;
