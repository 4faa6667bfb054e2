use async_trait::async_trait;
use engine::id::{CommandId, RunKey, Shard};

use crate::Error;

/// The durable queue of commands from outside to existing runs. Must survive.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Keeps `message`; a second one with the same id changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn send(&self, shard: Shard, message: &Message) -> Result<(), Error>;

    /// Unsettled messages of the shard after `sequence`, in order, each with its own, at most `max`; waits until there
    /// is one. A new owner begins at 0.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn receive(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<(u64, Message)>, Error>;

    /// Drops the messages with these sequences: their outcome is in the journals.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn settle(&self, shard: Shard, sequences: &[u64]) -> Result<(), Error>;
}

/// A command on its way to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The command's id.
    pub id: CommandId,
    /// To which run.
    pub key: RunKey,
    /// The command, encoded ([`engine::command::Command`]).
    pub body: Vec<u8>,
}
