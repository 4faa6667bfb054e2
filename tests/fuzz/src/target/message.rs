//! What plugins say: messages of the protocol in each form, and the manifest that they print.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use proto::manifest::Manifest;
use proto::v1;
use proto::wire::{self, Form};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::parts::choice;

/// The first byte says which message; the form is told from the rest, as it is when one arrives.
pub(crate) fn read(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else {
        return;
    };
    let content_type = if kind.is_ascii_uppercase() {
        "application/grpc+json"
    } else {
        "application/grpc"
    };
    let form = Form::of(bytes, content_type.as_bytes());
    let message = Bytes::copy_from_slice(bytes);
    match kind.to_ascii_lowercase() {
        b'a' => info(message, form),
        b'b' => survives::<v1::GetSchemaResponse>(message, form),
        b'c' => survives::<v1::ExecuteResponse>(message, form),
        b'd' => survives::<v1::ExecuteRequest>(message, form),
        b'e' => survives::<v1::ExecuteEvent>(message, form),
        b'f' => survives::<v1::LookUpResponse>(message, form),
        b'g' => survives::<v1::HealthCheckResponse>(message, form),
        b'h' => survives::<v1::RegisterPluginRequest>(message, form),
        b'i' => survives::<v1::HeartbeatRequest>(message, form),
        b'j' => survives::<v1::CallPluginRequest>(message, form),
        b'k' => survives::<v1::LogEventRequest>(message, form),
        b'l' => survives::<v1::CacheSetRequest>(message, form),
        b'm' => survives::<v1::CacheGetBatchRequest>(message, form),
        b'n' => survives::<v1::PublishResultRequest>(message, form),
        b'o' => survives::<v1::RequestApprovalRequest>(message, form),
        b'p' => survives::<v1::GetConfigRequest>(message, form),
        b'q' => survives::<v1::DeregisterPluginRequest>(message, form),
        b'r' => printed(bytes),
        _ => {}
    }
}

/// What was read in any form reads the same once it is written natively.
fn survives<M>(message: Bytes, form: Form)
where
    M: Message + Default + Serialize + DeserializeOwned + PartialEq + Debug,
{
    if let Ok(read) = wire::decode::<M>(message, form) {
        again(&read);
    }
}

fn again<M>(read: &M)
where
    M: Message + Default + Serialize + DeserializeOwned + PartialEq + Debug,
{
    let sent = wire::encode(read, Form::Protobuf);
    let came = wire::decode::<M>(sent.clone(), Form::Protobuf).expect("just encoded");
    // A number that is none is not equal to itself, but is written in one way.
    assert!(came == *read || wire::encode(&came, Form::Protobuf) == sent);
}

/// A plugin says what it is: where that is a manifest, it can be told again.
fn info(message: Bytes, form: Form) {
    let Ok(read) = wire::decode::<v1::InfoResponse>(message, form) else {
        return;
    };
    again(&read);
    let read = match form {
        Form::Protobuf => read,
        Form::Json(_) => proto::json::native_info(read),
    };
    if let Ok(manifest) = Manifest::from_info(read) {
        let told = Manifest::from_info(manifest.to_info("1"));
        assert_eq!(told.ok(), Some(manifest));
    }
}

/// A manifest as `--manifest` prints it: it says the same when the plugin is asked over the wire.
fn printed(text: &[u8]) {
    let Ok(manifest) = Manifest::parse(text) else {
        return;
    };
    let printed = serde_json::to_vec(&manifest).expect("its keys are text");
    assert_eq!(Manifest::parse(&printed).ok().as_ref(), Some(&manifest));
    let sent = wire::encode(&manifest.to_info("1"), Form::Protobuf);
    let came = wire::decode(sent, Form::Protobuf).expect("just encoded");
    assert_eq!(Manifest::from_info(came).ok(), Some(manifest));
}
