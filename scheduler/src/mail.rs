//! What waits to be decided about a run, and what came of it.

use engine::code::Code;
use engine::command::{Asked, Command};
use engine::digest::Digest;
use engine::id::{Attempt, CommandId, Nonce, Shard, StepNo};
use engine::job::Answer;
use tokio::sync::oneshot;

/// Something to do with a run, once it is in memory and nothing else is being done with it.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) what: What,
    pub(crate) from: From,
    /// Whether the rights that it needs were looked up for it alone, past every cache.
    pub(crate) fresh: bool,
    /// Whether the run's journal was seen to tell no more than is known here, so that "no" may be said to it.
    pub(crate) sure: bool,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum What {
    /// To take it up, or do what is due.
    Wake,
    /// To decide a command.
    Ask(Asked),
    /// To decide what a worker says of an attempt, if it is about this call.
    OfCall(Asked, Digest),
    /// To build the job of an attempt whose turn it is.
    Offer(StepNo, Attempt),
    /// To say whether an attempt that a worker has in hand is wanted.
    Look(StepNo, Attempt),
}

/// Who wants to know what came of it.
#[derive(Debug)]
pub(crate) enum From {
    /// Nobody: the owner itself.
    Owner,
    /// The worker that says it.
    Worker(oneshot::Sender<Answer>),
    /// Whoever listens for this command's answer; it stands in the inbox until then.
    Inbox(Shard, u64),
}

impl Mail {
    /// Something that the owner itself wants.
    pub(crate) fn own(what: What) -> Self {
        Self::of(what, From::Owner)
    }

    /// Something that somebody wants.
    pub(crate) fn of(what: What, from: From) -> Self {
        Self {
            what,
            from,
            fresh: false,
            sure: false,
        }
    }

    /// The command that it asks, if it asks one.
    pub(crate) fn asked(&self) -> Option<&Asked> {
        match &self.what {
            What::Ask(asked) | What::OfCall(asked, _) => Some(asked),
            What::Wake | What::Offer(..) | What::Look(..) => None,
        }
    }

    /// Whether nobody waits for the answer any more: a worker that hung up says it again.
    pub(crate) fn is_forsaken(&self) -> bool {
        match &self.from {
            From::Worker(reply) => reply.is_closed(),
            From::Owner | From::Inbox(..) => false,
        }
    }

    /// Whether rights are what this is about: then they are looked up, and no cache is believed.
    pub(crate) fn asks_for_rights(&self) -> bool {
        match &self.what {
            What::Ask(asked) => match asked.command {
                Command::Begin { .. } | Command::Decide { .. } | Command::Resolve { .. } => true,
                Command::Wake { .. }
                | Command::Report { .. }
                | Command::Lose { .. }
                | Command::Cancel { .. }
                | Command::Resume { .. }
                | Command::Park { .. }
                | Command::Ask { .. } => false,
            },
            What::Wake | What::OfCall(..) | What::Offer(..) | What::Look(..) => false,
        }
    }
}

/// What came of a mail, to be told once it is durable.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) mail: Mail,
    pub(crate) id: CommandId,
    pub(crate) came: Came,
    /// The record that holds it, and its nonce; none when it changed nothing.
    pub(crate) record: Option<(u64, Nonce)>,
    /// What a worker is answered.
    pub(crate) answer: Option<Answer>,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It was decided; the run's last record then.
    Decided(u64),
    /// It was so already, or is about an attempt that is not the current one.
    Already(u64),
    /// The state or the rules do not allow it.
    Refused(Code, String),
}

impl Came {
    /// As metrics name it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Decided(_) => "decided",
            Self::Already(_) => "already",
            Self::Refused(..) => "refused",
        }
    }
}
