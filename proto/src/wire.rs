//! Bytes on the wire and the forms they can have.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::json;

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

/// How a peer writes its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Protocol Buffers, the native form.
    Protobuf,
    /// One JSON object.
    Json(Dialect),
}

/// How the JSON form writes a field of bytes. Neither side reads the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As padded base64. These peers send `application/grpc+json`, and take nothing else.
    Go,
    /// As the text itself.
    Python,
}

/// What the content type of a Go peer's messages ends with.
const JSON_SUFFIX: &[u8] = b"+json";

impl Form {
    /// The form of a message that came with this content type. No message of this protocol begins with `{` in
    /// protobuf: as a tag that would be the start of a group (field 15), which proto3 does not have.
    #[must_use]
    pub fn of(message: &[u8], content_type: &[u8]) -> Self {
        if message.first() != Some(&b'{') {
            return Self::Protobuf;
        }
        Self::Json(if content_type.ends_with(JSON_SUFFIX) {
            Dialect::Go
        } else {
            Dialect::Python
        })
    }
}

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The JSON is none, or no message of the expected kind.
    #[error("the message is no {expected} in the JSON form: {source}")]
    Json {
        /// The kind of message that was expected.
        expected: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A native peer answers in the other form.
    #[error("the message is in the JSON form, and the peer began with the native one")]
    OtherForm,
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
pub fn decode<M: Message + Default + DeserializeOwned>(
    message: Bytes,
    form: Form,
) -> Result<M, DecodeError> {
    let expected = short_name::<M>();
    match form {
        Form::Json(dialect) => {
            json::decode(&message, dialect).map_err(|source| DecodeError::Json { expected, source })
        }
        Form::Protobuf if message.first() == Some(&b'{') => Err(DecodeError::OtherForm),
        Form::Protobuf => {
            M::decode(message).map_err(|source| DecodeError::Malformed { expected, source })
        }
    }
}

/// Writes a message.
#[must_use]
pub fn encode<M: Message + Serialize>(message: &M, form: Form) -> Bytes {
    match form {
        Form::Json(dialect) => json::encode(message, dialect),
        Form::Protobuf => message.encode_to_vec().into(),
    }
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
        for form in [
            Form::Protobuf,
            Form::Json(Dialect::Go),
            Form::Json(Dialect::Python),
        ] {
            let read = decode::<ExecuteRequest>(encode(&request, form), form);
            assert_eq!(read.expect("just encoded"), request, "{form:?}");
        }
    }

    #[test]
    fn an_empty_message_is_protobuf() {
        assert_eq!(Form::of(b"", b"application/grpc+json"), Form::Protobuf);
        let read = decode::<InfoRequest>(Bytes::new(), Form::Protobuf);
        assert_eq!(read.expect("no fields"), InfoRequest {});
    }

    #[test]
    fn the_form_is_told_by_the_first_byte_and_the_dialect_by_the_content_type() {
        let json = b"{\"name\": \"x\"}";
        assert_eq!(
            Form::of(json, b"application/grpc+json"),
            Form::Json(Dialect::Go)
        );
        assert_eq!(
            Form::of(json, b"application/grpc"),
            Form::Json(Dialect::Python)
        );
        assert_eq!(
            Form::of(b"\x0a\x01x", b"application/grpc+json"),
            Form::Protobuf
        );
    }

    #[test]
    fn garbage_is_told_in_each_form() {
        let garbage = decode::<ExecuteRequest>(Bytes::from_static(&[0xff; 3]), Form::Protobuf);
        let text = garbage.expect_err("no message begins so").to_string();
        assert!(text.contains("no valid ExecuteRequest"), "{text}");
        let garbage = decode::<ExecuteRequest>(Bytes::from_static(b"{x"), Form::Json(Dialect::Go));
        let text = garbage.expect_err("no JSON").to_string();
        assert!(
            text.contains("no ExecuteRequest in the JSON form"),
            "{text}"
        );
    }
}
