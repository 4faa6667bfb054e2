//! What can be asked of a run. Imperative.

use minicbor::{Decode, Encode};

use crate::digest::Digest;
use crate::event::Failure;
use crate::id::{ApprovalId, Attempt, CommandId, Nonce, StepNo};
use crate::principal::Principal;
use crate::question::Words;
use crate::value::Value;

/// A command and the id by which a repetition is known.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Asked {
    /// Its id.
    #[n(0)]
    pub id: CommandId,
    /// What is asked.
    #[n(1)]
    pub command: Command,
}

/// What can be asked of a run.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Command {
    /// Take up a new run, and do whatever is due. Decided by the owner alone.
    #[n(0)]
    Wake {
        /// Whether an attempt of this run is in a worker's hands: such a run has started.
        #[n(0)]
        in_hand: bool,
    },
    /// May this attempt make its call now?
    #[n(1)]
    Begin {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Which attempt.
        #[n(1)]
        attempt: Attempt,
        /// The worker's nonce, which the grant is bound to.
        #[n(2)]
        nonce: Nonce,
        /// Which worker.
        #[n(3)]
        worker: String,
    },
    /// What became of an attempt.
    #[n(2)]
    Report {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Which attempt.
        #[n(1)]
        attempt: Attempt,
        /// What became of it.
        #[n(2)]
        outcome: Outcome,
        /// The nonce that its worker asked the grant with. Two workers may have one job: only who was granted the call
        /// knows what became of it.
        #[n(3)]
        nonce: Option<Nonce>,
    },
    /// An attempt is in nobody's hands. Decided by the owner alone.
    #[n(3)]
    Lose {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Which attempt.
        #[n(1)]
        attempt: Attempt,
        /// Whether the plugin's call may have begun (for READ: whether a worker had taken it).
        #[n(2)]
        begun: bool,
        /// Whether the plugin process that got the call is known to be dead.
        #[n(3)]
        plugin_dead: bool,
    },
    /// Consent, or refuse.
    #[n(4)]
    Decide {
        /// Which approval.
        #[n(0)]
        approval: ApprovalId,
        /// The digest that was shown.
        #[n(1)]
        digest: Digest,
        /// Who decides.
        #[n(2)]
        who: Principal,
        /// Whether they agree.
        #[n(3)]
        approve: bool,
        /// Why.
        #[n(4)]
        comment: Option<String>,
        /// The key of their signature.
        #[n(5)]
        key_id: Option<String>,
        /// Their signature.
        #[n(6)]
        signature: Option<String>,
    },
    /// Stop.
    #[n(5)]
    Cancel {
        /// Who.
        #[n(0)]
        who: Principal,
        /// Why.
        #[n(1)]
        reason: Option<String>,
        /// Only when no MODIFY/ADMIN call was granted yet: what a resolved alert asks.
        #[n(2)]
        if_unchanged: bool,
    },
    /// Settle a step that is in doubt.
    #[n(6)]
    Resolve {
        /// Which step, by its name.
        #[n(0)]
        step: String,
        /// Whether the change was made; if not, it runs again.
        #[n(1)]
        done: bool,
        /// What the step answers.
        #[n(2)]
        output: Option<Value>,
        /// Why.
        #[n(3)]
        comment: String,
        /// Who.
        #[n(4)]
        who: Principal,
        /// The step's last attempt as the person saw it: what they know of that one says nothing about a later one.
        #[n(5)]
        attempt: Option<u32>,
    },
    /// Let a parked run go on.
    #[n(7)]
    Resume {
        /// Who.
        #[n(0)]
        who: Principal,
    },
    /// The run cannot go on by itself. Decided by the owner alone.
    #[n(8)]
    Park {
        /// Why.
        #[n(0)]
        failure: Failure,
    },
    /// The agent that executes this attempt asks people. The owner hears it from the worker alone.
    #[n(9)]
    Ask {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Which attempt.
        #[n(1)]
        attempt: Attempt,
        /// What the agent says.
        #[n(2)]
        words: Box<Words>,
        /// How long it can wait for an answer, in milliseconds.
        #[n(3)]
        within_ms: u64,
    },
}

impl Command {
    /// Its name, as a record's cause shows it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Wake { .. } => "Wake",
            Self::Begin { .. } => "Begin",
            Self::Report { .. } => "Report",
            Self::Lose { .. } => "Lose",
            Self::Decide { .. } => "Decide",
            Self::Cancel { .. } => "Cancel",
            Self::Resolve { .. } => "Resolve",
            Self::Resume { .. } => "Resume",
            Self::Park { .. } => "Park",
            Self::Ask { .. } => "Ask",
        }
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Outcome {
    /// It succeeded. The output is validated, typed by the action's schema, and in `Blobs` when it is large.
    #[n(0)]
    Succeeded {
        /// The result.
        #[n(0)]
        output: Value,
    },
    /// It failed, and the worker says what is known.
    #[n(1)]
    Failed {
        /// Why.
        #[n(0)]
        failure: Failure,
    },
    /// The call ran into its time limit.
    #[n(2)]
    TimedOut {
        /// Why, in words.
        #[n(0)]
        message: String,
    },
    /// Nothing was sent to the plugin: the attempt may be handed out again, and does not count.
    #[n(3)]
    NotCalled {
        /// Why.
        #[n(0)]
        reason: String,
    },
    /// A granted call was sent, and no usable answer came back: it is not known whether the change was made.
    #[n(4)]
    Unknown {
        /// Why.
        #[n(0)]
        reason: String,
        /// Whether the call cannot be under way any more: the plugin's process is dead, or it has answered.
        #[n(1)]
        plugin_dead: bool,
    },
    /// A look-up found that the earlier call was made, with this result.
    #[n(5)]
    LookedUpDone {
        /// The result.
        #[n(0)]
        output: Value,
    },
    /// A look-up found no trace of the earlier call.
    #[n(6)]
    LookedUpNotDone,
    /// A look-up could not tell.
    #[n(7)]
    LookedUpUnknown {
        /// Why.
        #[n(0)]
        reason: String,
    },
}
