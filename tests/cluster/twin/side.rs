//! One of the two: does what is asked, and answers what can be compared.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use engine::id::{CommandId, RunKey, Shard, Tenant};
use store::conformance::PATIENCE;
use store::port::{ApprovalFilter, Expect, Item, KeyValue, Message, Page};
use store::{Backend, Error};
use tokio::time::timeout;

use super::plan::{Known, OfArchive, OfInbox, OfJournal, OfKeys, OfRegistry, Step};

/// How long values stay in the memory: longer than the test.
const KEPT: Duration = Duration::from_secs(86_400);

/// What is answered.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    /// What went wrong, or everything that was answered.
    outcome: Result<String, &'static str>,
    /// The runs that it names.
    pub(super) runs: Vec<RunKey>,
    /// The messages that it names.
    pub(super) ids: Vec<CommandId>,
}

impl Answer {
    fn of<T: Debug>(answered: Result<T, Error>) -> Self {
        let outcome = match answered {
            Ok(what) => Ok(format!("{what:?}")),
            Err(Error::Conflict(_)) => Err("conflict"),
            Err(Error::Corrupt(_)) => Err("corrupt"),
            Err(Error::Unavailable(why)) => panic!("both are there: {why}"),
        };
        Self {
            outcome,
            runs: Vec::new(),
            ids: Vec::new(),
        }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.outcome.is_ok()
    }

    pub(super) fn kind(&self) -> &'static str {
        self.outcome.as_ref().err().copied().unwrap_or("done")
    }
}

/// A backend, and the numbers that it has counted.
pub(super) struct Side {
    backend: Backend,
    followed: BTreeMap<Shard, u64>,
    received: BTreeMap<Shard, u64>,
    /// What was received, and not settled.
    held: BTreeMap<Shard, Vec<(u64, CommandId)>>,
    keys: BTreeMap<String, Vec<KeyValue>>,
    items: BTreeMap<String, Vec<u64>>,
}

impl Side {
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend,
            followed: BTreeMap::new(),
            received: BTreeMap::new(),
            held: BTreeMap::new(),
            keys: BTreeMap::new(),
            items: BTreeMap::new(),
        }
    }

    pub(super) async fn answer(&mut self, step: &Step) -> Answer {
        match step {
            Step::Journal(step) => self.of_journal(step).await,
            Step::Keys(step) => self.of_keys(step).await,
            Step::Inbox(step) => self.of_inbox(step).await,
            Step::Registry(step) => self.of_registry(step).await,
            Step::Archive(step) => self.of_archive(step).await,
            Step::Remember(name, value) => {
                Answer::of(self.backend.memory.put(name, value, KEPT).await)
            }
            Step::Recall(name) => Answer::of(self.backend.memory.get(name).await),
            Step::Forget(name) => Answer::of(self.backend.memory.remove(name).await),
            Step::PutBlob(key, digest, bytes) => {
                Answer::of(self.backend.blobs.put(key, *digest, bytes).await)
            }
            Step::GetBlob(key, digest) => Answer::of(self.backend.blobs.get(key, *digest).await),
            Step::Runs(filter, limit) => {
                let (tenant, page) = (Tenant::default(), page(*limit));
                let listed = self.backend.views.runs(&tenant, filter, &page).await;
                Answer::of(listed.map(|page| (page.items, page.next.is_some(), page.incomplete)))
            }
            Step::Approvals(limit) => {
                let (tenant, page) = (Tenant::default(), page(*limit));
                let filter = ApprovalFilter::default();
                let listed = self.backend.views.approvals(&tenant, &filter, &page).await;
                Answer::of(listed.map(|page| (page.items, page.next.is_some(), page.incomplete)))
            }
            Step::Pass(ms) => Answer::of(Ok(ms)),
        }
    }

    async fn of_journal(&mut self, step: &OfJournal) -> Answer {
        let journal = &self.backend.journal;
        match step {
            OfJournal::Append(record, events) => Answer::of(journal.append(record, events).await),
            OfJournal::Read(key, after) => {
                let read = journal.read(key, *after).await;
                Answer::of(read.map(|all| {
                    let each = all.into_iter().map(|entry| (entry.record.n, entry.hash));
                    each.collect::<Vec<_>>()
                }))
            }
            OfJournal::OpenRuns(shard) => {
                let open = journal.open_runs(*shard).await;
                Answer::of(open.map(|open| {
                    let mut runs = open.runs;
                    runs.sort_by(|a, b| a.key.cmp(&b.key));
                    runs
                }))
            }
            OfJournal::Created(shard, count) => {
                let after = self.followed.entry(*shard).or_default();
                let mut keys = Vec::new();
                while keys.len() < *count {
                    let left = count - keys.len();
                    let found = in_time(journal.new_runs(*shard, *after, left)).await;
                    let found = found.expect("both are there");
                    *after = found.last().map_or(*after, |last| last.sequence);
                    keys.extend(found.into_iter().map(|new| new.first.record.key));
                }
                naming(Ok(keys))
            }
        }
    }

    async fn of_archive(&mut self, step: &OfArchive) -> Answer {
        let archive = &self.backend.archive;
        match step {
            OfArchive::Ended(before, max) => naming(archive.ended(*before, *max).await),
            OfArchive::Archive(runs) => Answer::of(archive.archive(runs).await),
            OfArchive::Expired(retention, max) => naming(archive.expired(*retention, *max).await),
            OfArchive::Remove(runs) => Answer::of(archive.remove(runs).await),
        }
    }

    async fn of_keys(&mut self, step: &OfKeys) -> Answer {
        let (keys, tenant) = (&self.backend.keys, Tenant::default());
        match step {
            OfKeys::Create(name, value, expires) => {
                let made = keys.create(&tenant, name, value, *expires).await;
                self.keep_key(name, value, *expires, made)
            }
            OfKeys::Put(name, value, expires, old) => {
                let known = self.keys.get(name).cloned().unwrap_or_default();
                let known = match old {
                    true => known.first().cloned(),
                    false => known.last().cloned(),
                };
                let Some(known) = known else {
                    return Answer::of(Ok("nothing to replace"));
                };
                let put = keys.put(&tenant, name, &known, value, *expires).await;
                self.keep_key(name, value, *expires, put)
            }
            OfKeys::Get(name, now) => {
                let got = keys.get(&tenant, name, *now).await;
                Answer::of(got.map(|got| got.map(|got| (got.value, got.expires))))
            }
        }
    }

    fn keep_key(
        &mut self,
        name: &str,
        value: &[u8],
        expires: engine::time::Timestamp,
        made: Result<u64, Error>,
    ) -> Answer {
        if let Ok(revision) = made {
            self.keys
                .entry(name.to_owned())
                .or_default()
                .push(KeyValue {
                    value: value.to_vec(),
                    revision,
                    expires,
                });
        }
        Answer::of(made.map(drop))
    }

    async fn of_inbox(&mut self, step: &OfInbox) -> Answer {
        let inbox = &self.backend.inbox;
        match step {
            OfInbox::Send(shard, id, key, body) => {
                let (id, key, body) = (*id, key.clone(), body.clone());
                Answer::of(inbox.send(*shard, &Message { id, key, body }).await)
            }
            OfInbox::Receive(shard, count) => {
                let after = self.received.entry(*shard).or_default();
                let held = self.held.entry(*shard).or_default();
                let mut messages: Vec<Message> = Vec::new();
                while messages.len() < *count {
                    let left = count - messages.len();
                    let found = in_time(inbox.receive(*shard, *after, left)).await;
                    for (sequence, message) in found.expect("both are there") {
                        *after = sequence;
                        held.push((sequence, message.id));
                        messages.push(message);
                    }
                }
                let ids = messages.iter().map(|m| m.id).collect();
                Answer {
                    ids,
                    ..Answer::of(Ok(messages))
                }
            }
            OfInbox::Settle(shard, max) => {
                let held = self.held.entry(*shard).or_default();
                let settled: Vec<_> = held.drain(..(*max).min(held.len())).collect();
                let sequences: Vec<u64> = settled.iter().map(|(sequence, _)| *sequence).collect();
                let ids = settled.into_iter().map(|(_, id)| id).collect();
                Answer {
                    ids,
                    ..Answer::of(inbox.settle(*shard, &sequences).await)
                }
            }
        }
    }

    async fn of_registry(&mut self, step: &OfRegistry) -> Answer {
        let registry = &self.backend.registry;
        match step {
            OfRegistry::Put(key, value, known) => {
                let expect = match self.revision(key, *known) {
                    Some(revision) => Expect::Revision(revision),
                    None => Expect::Absent,
                };
                let put = registry.put(key, value, expect).await;
                if let Ok(revision) = put {
                    self.items.entry(key.clone()).or_default().push(revision);
                }
                Answer::of(put.map(drop))
            }
            OfRegistry::Delete(key, known) => match self.revision(key, *known) {
                Some(revision) => Answer::of(registry.delete(key, revision).await),
                None => Answer::of(Ok("nothing to delete")),
            },
            OfRegistry::Get(key) => Answer::of(registry.get(key).await.map(|item| item.map(shown))),
            OfRegistry::List(prefix, after, max) => {
                let listed = registry.list(prefix, after, *max).await;
                Answer::of(listed.map(|all| all.into_iter().map(shown).collect::<Vec<_>>()))
            }
        }
    }

    fn revision(&self, key: &str, known: Known) -> Option<u64> {
        let revisions = self.items.get(key)?;
        match known {
            Known::Absent => None,
            Known::Last => revisions.last().copied(),
            Known::Older => revisions.first().copied(),
        }
    }
}

/// What is there comes: a part of it at once, the rest soon.
async fn in_time<T>(coming: impl Future<Output = T>) -> T {
    let come = timeout(PATIENCE, coming).await;
    come.expect("what was stored is told")
}

fn shown(item: Item) -> (String, Vec<u8>) {
    (item.key, item.value)
}

fn naming(runs: Result<Vec<RunKey>, Error>) -> Answer {
    let named = runs.clone().unwrap_or_default();
    Answer {
        runs: named,
        ..Answer::of(runs)
    }
}

fn page(limit: usize) -> Page {
    Page { limit, after: None }
}
