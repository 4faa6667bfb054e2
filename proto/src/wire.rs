//! Bytes on the wire and the forms they can have.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// A codec that leaves messages as they are, because the form of a message is known only once it is here.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(message);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Protocol Buffers, the native form.
    Protobuf,
    /// One JSON object.
    Json,
}

impl Form {
    /// The form of a message. No message of this protocol begins with `{` in protobuf: as a tag that would
    /// be the start of a group (field 15), which proto3 does not have.
    #[must_use]
    pub fn of(message: &[u8]) -> Self {
        if message.first() == Some(&b'{') {
            Self::Json
        } else {
            Self::Protobuf
        }
    }
}

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The peer speaks the JSON form.
    #[error(
        "the message is in the JSON form of the plugin protocol, which this version does not speak: use a plugin built with the MIRASTACK SDK of this project"
    )]
    JsonForm,
    /// The bytes are no message of the expected kind.
    #[error("the message is no valid {expected}: {source}")]
    Malformed {
        /// The kind of message that was expected.
        expected: &'static str,
        /// What is wrong with it.
        source: prost::DecodeError,
    },
}

/// Reads a message.
///
/// # Errors
/// [`DecodeError`] when the message is in another form or damaged.
pub fn decode<M: Message + Default>(message: Bytes) -> Result<M, DecodeError> {
    match Form::of(&message) {
        Form::Json => Err(DecodeError::JsonForm),
        Form::Protobuf => M::decode(message).map_err(|source| DecodeError::Malformed {
            expected: short_name::<M>(),
            source,
        }),
    }
}

/// Writes a message in the native form.
#[must_use]
pub fn encode<M: Message>(message: &M) -> Bytes {
    message.encode_to_vec().into()
}

fn short_name<M>() -> &'static str {
    let name = std::any::type_name::<M>();
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{ExecuteRequest, InfoRequest};

    #[test]
    fn a_message_survives_the_wire() {
        let request = ExecuteRequest {
            action_id: "read".into(),
            params_json: Bytes::from_static(b"{\"n\":1}"),
            fence: 7,
            ..ExecuteRequest::default()
        };
        assert_eq!(
            decode::<ExecuteRequest>(encode(&request)).expect("just encoded"),
            request
        );
    }

    #[test]
    fn an_empty_message_is_protobuf() {
        assert_eq!(
            decode::<InfoRequest>(Bytes::new()).expect("no fields"),
            InfoRequest {}
        );
    }

    #[test]
    fn the_json_form_is_told_from_garbage() {
        let json = decode::<InfoRequest>(Bytes::from_static(b"{\"name\": \"x\"}"));
        assert!(matches!(json, Err(DecodeError::JsonForm)), "{json:?}");
        let garbage = decode::<ExecuteRequest>(Bytes::from_static(&[0xff, 0xff, 0xff]));
        let text = garbage.expect_err("no message begins so").to_string();
        assert!(text.contains("no valid ExecuteRequest"), "{text}");
    }
}
