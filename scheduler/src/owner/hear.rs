//! What comes from outside: commands in the inbox, words of workers, changes of the registry.

use engine::code::Code;
use engine::command::{Asked, Command};
use engine::id::Shard;
use engine::job::{Answer, AttemptKey, Word};
use engine::registry::Kind;
use store::port::{Change, Heard, Message};
use tokio::time::Instant;

use super::{Owner, Source, input};
use crate::Error;
use crate::mail::{Came, From, Mail, Verdict, What};
use crate::pools::News;

impl Owner {
    pub(super) fn follow_inbox(&mut self, shard: Shard) {
        let followed = self.followed.entry(shard).or_default();
        let (after, faults) = (followed.inbox, followed.faults[1]);
        self.wait_for(input::inbox(self.backend.clone(), shard, after, faults));
    }

    pub(super) fn messages(
        &mut self,
        shard: Shard,
        messages: Result<Vec<(u64, Message)>, store::Error>,
    ) -> Result<(), Error> {
        match messages {
            Ok(messages) => {
                self.followed.entry(shard).or_default().faults[1] = 0;
                for (sequence, message) in messages {
                    self.followed.entry(shard).or_default().inbox = sequence;
                    self.message(shard, sequence, message);
                }
            }
            Err(store::Error::Corrupt(what)) => return Err(Error::Damaged { shard, what }),
            Err(error) => {
                self.count_fault(shard, 1, &error);
            }
        }
        if self.waiting < self.config.waiting_max {
            self.follow_inbox(shard);
        } else {
            self.held_back.push(Source::Inbox(shard));
        }
        Ok(())
    }

    fn message(&mut self, shard: Shard, sequence: u64, message: Message) {
        let from = From::Inbox(shard, sequence);
        match read(&message.body) {
            Ok(command) => {
                let asked = Asked {
                    id: message.id,
                    command,
                };
                let what = What::Ask(asked);
                self.post(&message.key, Mail::of(what, from));
            }
            Err(why) => {
                tracing::warn!(run = %message.key.run, why, "a message of the inbox is refused");
                self.waiting += 1;
                self.tell(Verdict {
                    mail: Mail::of(What::Wake, from),
                    id: message.id,
                    came: Came::Refused(Code::Malformed, why),
                    record: None,
                    answer: None,
                });
            }
        }
    }

    pub(super) fn follow_words(&mut self, shard: Shard, faults: u32) {
        self.wait_for(input::hear(self.backend.clone(), shard, faults));
    }

    pub(super) fn heard(
        &mut self,
        shard: Shard,
        words: Result<Vec<Heard>, store::Error>,
    ) -> Result<(), Error> {
        let faults = match words {
            Ok(words) => {
                self.followed.entry(shard).or_default().faults[2] = 0;
                for heard in words {
                    self.word(heard);
                }
                0
            }
            Err(error) => self.count_fault(shard, 2, &error),
        };
        self.follow_words(shard, faults);
        Ok(())
    }

    fn word(&mut self, heard: Heard) {
        let reply = heard.reply;
        match heard.word {
            Word::InHand {
                worker,
                attempts,
                free_slots,
                pool,
            } => {
                let now = Instant::now();
                self.desks.of(&pool).free_slots(&worker, free_slots, now);
                let unwanted = attempts.into_iter().filter_map(|a| self.in_hand(a, now));
                let unwanted = unwanted.collect();
                // Who hung up says it again in 3 s.
                let _ = reply.send(Answer::Heard { unwanted });
            }
            Word::Begin {
                attempt,
                nonce,
                worker,
            } => {
                let (step, number) = (attempt.step, attempt.attempt);
                let command = Command::Begin {
                    step,
                    attempt: number,
                    nonce,
                    worker,
                };
                let what = What::Ask(self.asking(command));
                self.post_word(&attempt, what, reply);
            }
            Word::Report {
                attempt,
                outcome,
                call,
            } => {
                let (step, number) = (attempt.step, attempt.attempt);
                let command = Command::Report {
                    step,
                    attempt: number,
                    outcome,
                    nonce: None,
                };
                let what = What::OfCall(self.asking(command), call);
                self.post_word(&attempt, what, reply);
            }
            Word::Ask {
                attempt,
                words,
                within_ms,
                call,
            } => {
                let (step, number) = (attempt.step, attempt.attempt);
                let command = Command::Ask {
                    step,
                    attempt: number,
                    words,
                    within_ms,
                };
                let what = What::OfCall(self.asking(command), call);
                self.post_word(&attempt, what, reply);
            }
        }
    }

    fn asking(&self, command: Command) -> Asked {
        let id = self.backend.random.nonce();
        Asked { id, command }
    }

    fn post_word(
        &mut self,
        attempt: &AttemptKey,
        what: What,
        reply: tokio::sync::oneshot::Sender<Answer>,
    ) {
        // Whoever speaks about an attempt has it.
        self.detector.held(attempt, Instant::now());
        self.post(&attempt.key, Mail::of(what, From::Worker(reply)));
    }

    /// A worker has the attempt in hand; answers it when nobody wants it any more.
    fn in_hand(&mut self, attempt: AttemptKey, now: Instant) -> Option<AttemptKey> {
        if self.detector.held(&attempt, now) {
            return None;
        }
        if self.unwanted.contains(&attempt) || self.damaged.contains_key(&attempt.key) {
            return Some(attempt);
        }
        // Its run is not in memory, or what owes it is not durable yet: the next "in hand" is answered.
        self.hands.insert(attempt.clone(), now);
        let look = What::Look(attempt.step, attempt.attempt);
        self.post(&attempt.key, Mail::own(look));
        None
    }

    /// Where agents are, for the first time or because it has changed.
    pub(super) fn agents_seen(&mut self, news: Result<News, store::Error>) -> Result<(), Error> {
        let first = self.pools.seen().is_none();
        let faults = match news {
            Ok(news) => {
                for pool in self.pools.learn(news) {
                    self.leave(&pool);
                }
                if first {
                    self.open_all();
                }
                0
            }
            Err(error) => {
                tracing::debug!(%error, "the registry does not tell where agents are");
                4
            }
        };
        self.wait_for(input::agents(
            self.backend.clone(),
            self.pools.seen(),
            faults,
        ));
        Ok(())
    }

    pub(super) fn registry_changed(
        &mut self,
        kind: Kind,
        changes: Result<Vec<Change>, store::Error>,
    ) -> Result<(), Error> {
        self.known.changed();
        let (after, faults) = match changes {
            Ok(changes) => (changes.last().map(revision), 0),
            Err(error) => {
                tracing::debug!(%error, kind = kind.as_str(), "the registry does not answer");
                (None, 4)
            }
        };
        let seen = self.registry_seen.entry(kind).or_default();
        *seen = after.unwrap_or(*seen);
        let after = *seen;
        self.wait_for(input::changed(self.backend.clone(), kind, after, faults));
        Ok(())
    }
}

fn revision(change: &Change) -> u64 {
    match change {
        Change::Put(item) => item.revision,
        Change::Deleted { revision, .. } | Change::Gap { revision } => *revision,
    }
}

/// The command of a message. What the owner alone decides comes through no inbox.
fn read(body: &[u8]) -> Result<Command, String> {
    let command: Command = minicbor::decode(body).map_err(|e| format!("it is no command: {e}"))?;
    match command {
        Command::Report { .. }
        | Command::Decide { .. }
        | Command::Cancel { .. }
        | Command::Resolve { .. }
        | Command::Resume { .. } => Ok(command),
        Command::Wake { .. }
        | Command::Begin { .. }
        | Command::Lose { .. }
        | Command::Park { .. }
        | Command::Ask { .. } => Err(format!("{} is not asked through the inbox", command.name())),
    }
}
