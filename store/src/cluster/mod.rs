//! Everything on servers that many processes share. Only this module knows which ones they are.
//!
//! Start reading at [`registry`].

pub mod memory;
pub mod registry;

#[expect(
    unreachable_pub,
    clippy::enum_variant_names,
    reason = "generated from store/proto/etcd.proto, which holds the documentation"
)]
mod etcd {
    tonic::include_proto!("etcdserverpb");
}

use std::fmt::Display;

use crate::Error;

/// Whether it happened is not known.
fn unavailable(why: impl Display) -> Error {
    Error::Unavailable(why.to_string())
}
