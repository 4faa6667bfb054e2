//! Inboxes that break a promise.

use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;
use engine::id::{CommandId, Shard};

use super::{Seen, asleep, defects};
use crate::port::{Inbox, Message};
use crate::{Backend, Error};

defects![
    messages_come_in_order: TellsTheLastFirst,
    messages_come_in_parts: TellsAllAtOnce,
    a_message_comes_to_its_shard: KnowsOneShard,
    a_message_sent_twice_comes_once: KeepsEverySending,
    a_settled_message_comes_no_more: ForgetsSettling,
    settling_settles_no_other: SettlesWhatCameBefore,
    a_new_owner_begins_at_the_first_unsettled: TellsEachOnce,
    a_message_wakes_who_waits: SleepsOverMessages,
    a_sequence_is_never_used_twice: CountsFromOneAgain,
    messages_survive_a_restart: ForgetsAtRestart,
    settling_survives_a_restart: SettlesInMemory,
];

struct Wrapper {
    inner: Arc<dyn Inbox>,
    how: How,
    sent: Seen<CommandId>,
    told: Seen<u64>,
    settled: Seen<u64>,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let inbox = Arc::new(Wrapper {
        inner: Arc::clone(&backend.inbox),
        how,
        sent: Seen::new(),
        told: Seen::new(),
        settled: Seen::new(),
    });
    Backend { inbox, ..backend }
}

#[async_trait]
impl Inbox for Wrapper {
    async fn send(&self, shard: Shard, message: &Message) -> Result<(), Error> {
        let mut message = message.clone();
        let again = !self.sent.add(message.id);
        if again && self.how == How::KeepsEverySending {
            message.id.0[0] ^= 1;
        }
        let shard = if self.how == How::KnowsOneShard {
            Shard(0)
        } else {
            shard
        };
        self.inner.send(shard, &message).await
    }

    async fn receive(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<(u64, Message)>, Error> {
        let shard = if self.how == How::KnowsOneShard {
            Shard(0)
        } else {
            shard
        };
        let received = match self.how {
            How::TellsAllAtOnce => self.inner.receive(shard, sequence, 1_000).await?,
            How::SleepsOverMessages => asleep(self.inner.receive(shard, sequence, max)).await?,
            How::CountsFromOneAgain => self.inner.receive(shard, 0, max).await?,
            _ => self.inner.receive(shard, sequence, max).await?,
        };
        let kept = self.kept(received, sequence);
        if kept.is_empty() {
            return pending().await;
        }
        Ok(kept)
    }

    async fn settle(&self, shard: Shard, sequences: &[u64]) -> Result<(), Error> {
        match self.how {
            How::ForgetsSettling => Ok(()),
            How::SettlesInMemory => {
                self.settled.lock().extend(sequences);
                Ok(())
            }
            How::SettlesWhatCameBefore => {
                let last = sequences.iter().copied().max().unwrap_or(0);
                let all: Vec<u64> = (0..=last).collect();
                self.inner.settle(shard, &all).await
            }
            _ => self.inner.settle(shard, sequences).await,
        }
    }
}

impl Wrapper {
    fn kept(&self, mut received: Vec<(u64, Message)>, sequence: u64) -> Vec<(u64, Message)> {
        match self.how {
            How::TellsTheLastFirst => received.reverse(),
            How::TellsEachOnce => received.retain(|(sequence, _)| self.told.add(*sequence)),
            How::ForgetsAtRestart => received.retain(|(_, message)| self.sent.has(&message.id)),
            How::SettlesInMemory => received.retain(|(sequence, _)| !self.settled.has(sequence)),
            How::CountsFromOneAgain => {
                for (place, (number, _)) in received.iter_mut().enumerate() {
                    *number = place as u64 + 1;
                }
                received.retain(|(number, _)| *number > sequence);
            }
            _ => {}
        }
        received
    }
}
