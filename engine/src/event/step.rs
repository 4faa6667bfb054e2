//! Where steps come from, and why they do not run.

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::id::StepNo;

/// A section of a workflow.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Section {
    /// `steps`
    #[n(0)]
    Steps,
    /// `on_failure`
    #[n(1)]
    OnFailure,
    /// `finally`
    #[n(2)]
    Finally,
}

/// Where a step comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, CborLen, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It is written in the workflow.
    #[n(0)]
    Written {
        /// Where.
        #[n(0)]
        section: Section,
        /// Its place there, from 0.
        #[n(1)]
        index: u32,
        /// The steps that it waits for, by number.
        #[n(2)]
        needs: Vec<StepNo>,
    },
    /// It is one item of a fan-out.
    #[n(1)]
    Item {
        /// The step that fans out.
        #[n(0)]
        of: StepNo,
        /// Its place in the list, from 0.
        #[n(1)]
        index: u32,
    },
}

/// Why a step will not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SkipReason {
    /// Its own `if` is false.
    #[n(0)]
    Condition,
    /// A step that it needs did not succeed.
    #[n(1)]
    Need,
    /// The run takes its failure path, or is cancelled.
    #[n(2)]
    Stopped,
    /// Its approval was refused with `on_reject: skip`.
    #[n(3)]
    Rejected,
}
