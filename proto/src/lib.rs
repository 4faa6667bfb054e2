//! The plugin protocol `mirastack.plugin.v1`: its messages, and the clients and servers over which they travel.
//!
//! A plugin serves `PluginService` and calls `EngineService` back. Messages exist in two forms, protobuf and
//! JSON, that share service paths and sometimes even the content-type. So everything here moves **raw bytes**
//! ([`wire::RawCodec`]), and a message's first byte says its form ([`wire::Form`]).
//!
//! This crate is a leaf: it knows no run, no store and no policy, reads no configuration and never retries.
//!
//! Start reading at [`client::PluginClient`] (the engine calls a plugin) and [`engine_server::EngineServer`]
//! (the engine is called by one). [`manifest::Manifest`] is what a plugin says about itself.

pub mod address;
pub mod client;
pub mod connection;
pub mod engine_server;
pub mod environment;
pub mod failure;
pub mod json;
pub mod limits;
pub mod manifest;
pub mod metadata;
pub mod path;
mod room;
pub mod tls;
pub mod wire;

/// Whether the panic that is planted in this crate is in force. Only in a build that is made to show that it is found.
#[cfg(planted = "fuzz_message")]
pub static PLANTED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::too_many_lines,
    reason = "generated from the .proto files, which hold the documentation"
)]
pub mod v1 {
    tonic::include_proto!("mirastack.plugin.v1");
}
