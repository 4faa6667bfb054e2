//! The plugin protocol `mirastack.plugin.v1`: its messages, and the raw-bytes clients and servers over
//! which both of its forms travel.

#[expect(
    missing_docs,
    clippy::allow_attributes,
    reason = "generated from the .proto files, which hold the documentation"
)]
pub mod v1 {
    tonic::include_proto!("mirastack.plugin.v1");
}
