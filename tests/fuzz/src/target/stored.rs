//! What else is stored or travels between the roles: commands, jobs, words of workers, keys, and the registry.

use engine::approval::Approval;
use engine::command::{Asked, Command};
use engine::definition::Workflow;
use engine::job::{Answer, Job, Word};
use engine::key::KeyState;
use engine::manifest::Pinned;
use engine::registry::{
    self, Agent, AgentConfig, ApiKey, Instance, SavedHook, SavedWorkflow, Secret,
};
use engine::value::Value;
use minicbor::{Decode, Encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

use crate::parts::choice;

/// The first byte says of what.
pub(crate) fn read(data: &[u8]) {
    let Some((kind, bytes)) = choice(data) else {
        return;
    };
    match kind {
        b'a' => cbor::<Command>(bytes),
        b'b' => cbor::<Asked>(bytes),
        b'c' => cbor::<Job>(bytes),
        b'd' => cbor::<Word>(bytes),
        b'e' => cbor::<Answer>(bytes),
        b'f' => cbor::<Value>(bytes),
        b'g' => key(bytes),
        b'h' => json::<SavedWorkflow>(bytes),
        b'i' => json::<SavedHook>(bytes),
        b'j' => json::<ApiKey>(bytes),
        b'k' => json::<Secret>(bytes),
        b'l' => json::<Agent>(bytes),
        b'm' => json::<AgentConfig>(bytes),
        b'n' => json::<Instance>(bytes),
        b'o' => json::<Pinned>(bytes),
        b'p' => json::<Workflow>(bytes),
        b'q' => approval(bytes),
        _ => {}
    }
}

/// What reads can be written, and reads the same again.
fn cbor<T>(bytes: &[u8])
where
    T: for<'b> Decode<'b, ()> + Encode<()> + PartialEq + Debug,
{
    let Ok(value) = minicbor::decode::<T>(bytes) else {
        return;
    };
    let written = minicbor::to_vec(&value).expect("writing to memory cannot fail");
    assert_eq!(minicbor::decode::<T>(&written).ok(), Some(value));
}

fn json<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = registry::decode::<T>(bytes) {
        assert_eq!(registry::decode(&registry::encode(&value)), Ok(value));
    }
}

fn key(bytes: &[u8]) {
    if let Ok(state) = KeyState::decode(bytes) {
        assert_eq!(KeyState::decode(&state.encode()), Ok(state));
    }
}

/// What was approved is written in one way.
fn approval(bytes: &[u8]) {
    if let Some(approval) = Approval::read(bytes) {
        assert_eq!(Approval::read(&approval.bytes()), Some(approval));
    }
}
