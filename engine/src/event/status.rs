//! Where a run or step stands.

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

/// The status of a step.
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
pub enum StepStatus {
    /// Its needs are not met.
    #[n(0)]
    Pending,
    /// It is being worked on.
    #[n(1)]
    Running,
    /// It waits for a time or a person.
    #[n(2)]
    Waiting,
    /// Done.
    #[n(3)]
    Succeeded,
    /// Failed.
    #[n(4)]
    Failed,
    /// Not run.
    #[n(5)]
    Skipped,
    /// People said no.
    #[n(6)]
    Rejected,
    /// Stopped.
    #[n(7)]
    Cancelled,
    /// Took too long.
    #[n(8)]
    TimedOut,
    /// It is not known whether the change was made.
    #[n(9)]
    InDoubt,
}

/// The status of a run.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum RunStatus {
    /// Accepted; no step has begun.
    #[n(0)]
    Queued,
    /// Something is being worked on.
    #[n(1)]
    Running,
    /// It waits for a time or a person.
    #[n(2)]
    Waiting,
    /// Done.
    #[n(3)]
    Succeeded,
    /// Failed.
    #[n(4)]
    Failed,
    /// People said no.
    #[n(5)]
    Rejected,
    /// Stopped.
    #[n(6)]
    Cancelled,
    /// Took too long.
    #[n(7)]
    TimedOut,
    /// Cannot go on by itself: resume or cancel.
    #[n(8)]
    Parked,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Succeeded,
        Self::Failed,
        Self::Rejected,
        Self::Cancelled,
        Self::TimedOut,
        Self::Parked,
    ];

    /// Whether nothing follows any more.
    #[must_use]
    pub fn is_end(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Waiting | Self::Parked => false,
            Self::Succeeded | Self::Failed | Self::Rejected | Self::Cancelled | Self::TimedOut => {
                true
            }
        }
    }

    /// As it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Parked => "parked",
        }
    }
}

impl StepStatus {
    /// Whether nothing follows any more, unless the step is in doubt and open.
    #[must_use]
    pub fn is_end(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Waiting => false,
            Self::Succeeded
            | Self::Failed
            | Self::Skipped
            | Self::Rejected
            | Self::Cancelled
            | Self::TimedOut
            | Self::InDoubt => true,
        }
    }

    /// As it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::InDoubt => "in_doubt",
        }
    }
}
