//! What is done next: anything that somebody could do, legal or not, and sensible often enough to get somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::digest::Digest;
use engine::event::{ApprovalState, Event, RunStatus};
use engine::id::{Nonce, RunKey, Shard, Tenant};
use engine::record::Encoded;
use engine::time::Timestamp;
use mirastack_tests::dice::Dice;
use store::clock::Clock as _;
use store::conformance::HandClock;
use store::conformance::sample::{Birth, Sample, Terms};
use store::port::{Retention, RunFilter};

use super::side::Answer;

/// The time at which it begins: that of the first runs.
const BEGIN_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;
/// Names are few, so that things meet.
const NAMES: u64 = 12;

/// What is asked of a backend.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Journal(OfJournal),
    Keys(OfKeys),
    Inbox(OfInbox),
    Registry(OfRegistry),
    Archive(OfArchive),
    Remember(String, Vec<u8>),
    Recall(String),
    Forget(String),
    PutBlob(RunKey, Digest, Vec<u8>),
    GetBlob(RunKey, Digest),
    Runs(RunFilter, usize),
    Approvals(usize),
    Pass(u64),
}

#[derive(Clone, Debug)]
pub(super) enum OfJournal {
    Append(Box<Encoded>, Vec<Event>),
    Read(RunKey, u64),
    OpenRuns(Shard),
    Created(Shard, usize),
}

#[derive(Clone, Debug)]
pub(super) enum OfKeys {
    Create(String, Vec<u8>, Timestamp),
    Put(String, Vec<u8>, Timestamp, bool),
    Get(String, Timestamp),
}

#[derive(Clone, Debug)]
pub(super) enum OfInbox {
    Send(Shard, Nonce, RunKey, Vec<u8>),
    Receive(Shard, usize),
    Settle(Shard, usize),
}

#[derive(Clone, Debug)]
pub(super) enum OfRegistry {
    Put(String, Vec<u8>, Known),
    Delete(String, Known),
    Get(String),
    List(String, String, usize),
}

#[derive(Clone, Debug)]
pub(super) enum OfArchive {
    Ended(Timestamp, usize),
    Archive(Vec<RunKey>),
    Expired(Retention, usize),
    Remove(Vec<RunKey>),
}

/// At which revision an item is thought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Absent,
    Last,
    Older,
}

/// What is known of what was done.
pub(super) struct Plan {
    dice: Dice,
    clock: Arc<HandClock>,
    shards: u16,
    runs: Vec<Sample>,
    born: u64,
    /// Runs that were created and not yet told of, and messages that were not yet received or settled.
    unseen: BTreeMap<Shard, usize>,
    unread: BTreeMap<Shard, Vec<Nonce>>,
    sent: BTreeMap<Shard, Vec<Nonce>>,
    blobs: Vec<(RunKey, Digest)>,
    ended: Vec<RunKey>,
    expired: Vec<RunKey>,
    removed: BTreeSet<RunKey>,
    counts: BTreeMap<String, usize>,
}

impl Plan {
    pub(super) fn new(seed: u64, shards: u16, clock: Arc<HandClock>) -> Self {
        clock.set(Timestamp::from_millis(BEGIN_MS));
        Self {
            dice: Dice::new(seed),
            clock,
            shards,
            runs: Vec::new(),
            born: 0,
            unseen: BTreeMap::new(),
            unread: BTreeMap::new(),
            sent: BTreeMap::new(),
            blobs: Vec::new(),
            ended: Vec::new(),
            expired: Vec::new(),
            removed: BTreeSet::new(),
            counts: BTreeMap::new(),
        }
    }

    /// How often each operation was done, and how it went.
    pub(super) fn told(&self) -> String {
        let each = self.counts.iter().map(|(what, n)| format!("{n} {what}"));
        each.collect::<Vec<_>>().join(", ")
    }

    pub(super) fn next(&mut self) -> Step {
        loop {
            if let Some(step) = self.drawn() {
                return step;
            }
        }
    }

    fn drawn(&mut self) -> Option<Step> {
        Some(match self.dice.between(0, 29) {
            0..=2 => self.birth(),
            3..=8 => return self.growth(),
            9 => return self.wrong(),
            10 | 11 => Step::Journal(OfJournal::Read(self.run()?, self.dice.between(0, 3))),
            12 => Step::Journal(OfJournal::OpenRuns(self.shard())),
            13 => {
                let shard = self.shard();
                let unseen = self.unseen.get(&shard).copied().unwrap_or(0);
                (unseen > 0).then(|| Step::Journal(OfJournal::Created(shard, 1 + unseen / 2)))?
            }
            14..=16 => self.key(),
            17 => {
                let shard = self.shard();
                Step::Inbox(OfInbox::Send(
                    shard,
                    self.id(shard),
                    self.run()?,
                    self.bytes(100),
                ))
            }
            18 => return self.inbox(),
            19..=21 => self.item(),
            22 => self.memory(),
            23 | 24 => return self.blob(),
            25 | 26 => return self.end_of_life(),
            27 => self.runs_listed(),
            28 => Step::Approvals(self.limit()),
            _ => {
                let ms = self.dice.pick(&[1, 1_000, 60_000, 700_000]);
                self.clock.set(later(self.clock.now(), ms));
                Step::Pass(ms)
            }
        })
    }

    fn limit(&mut self) -> usize {
        self.dice.pick(&[1, 3, 1_000])
    }

    fn shard(&mut self) -> Shard {
        let last = u64::from(self.shards) - 1;
        Shard(u16::try_from(self.dice.between(0, last)).expect("it is small"))
    }

    fn name(&mut self) -> String {
        format!("name-{}", self.dice.between(1, NAMES))
    }

    /// A command's id: it belongs to one shard.
    fn id(&mut self, shard: Shard) -> Nonce {
        let number = u128::from(self.dice.between(1, NAMES));
        Nonce((u128::from(shard.0) << 64 | number).to_be_bytes())
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.dice.between(0, most);
        (0..length)
            .map(|_| self.dice.bits().to_be_bytes()[0])
            .collect()
    }

    fn run(&mut self) -> Option<RunKey> {
        (!self.runs.is_empty()).then(|| self.dice.pick(&self.runs).key)
    }

    fn birth(&mut self) -> Step {
        self.born += 1;
        let labels = match self.dice.between(0, 2) {
            0 => vec![("team", "a")],
            1 => vec![("team", "b"), ("kind", "x")],
            _ => Vec::new(),
        };
        let tenant = self.dice.pick(&["default", "other"]);
        let birth = Birth {
            tenant: Tenant::new(tenant).expect("a name"),
            shard: self.shard(),
            at: self.clock.now(),
            workflow: self.dice.pick(&[Some("hello"), Some("bye"), None]),
            labels,
            ..Birth::number(self.born)
        };
        let run = Sample::born(&birth);
        let (record, events) = run.last();
        let step = Step::Journal(OfJournal::Append(Box::new(record.clone()), events.to_vec()));
        *self.unseen.entry(birth.shard).or_default() += 1;
        self.runs.push(run);
        step
    }

    /// The next record of a run that has not ended.
    fn growth(&mut self) -> Option<Step> {
        let open: Vec<usize> = (0..self.runs.len())
            .filter(|n| !status(&self.runs[*n]).is_end())
            .collect();
        if open.is_empty() {
            return None;
        }
        let number = self.dice.pick(&open);
        let what = self.dice.between(0, 5);
        let run = &mut self.runs[number];
        run.now = Some(self.clock.now());
        match (status(run), what) {
            (RunStatus::Queued, _) => run.start(),
            (RunStatus::Waiting, 0) => run.end(Some("rejected")),
            (RunStatus::Waiting, _) => run.close(ApprovalState::Approved),
            (_, 0 | 1) => {
                let asking = u32::try_from(run.records.len()).expect("it is small");
                run.ask(asking, &Terms::default())
            }
            (_, 2) => run.end(Some("timeout")),
            (_, 3) => run.end(None),
            _ => run.next(RunStatus::Running, Vec::new()),
        };
        let (record, events) = run.last();
        Some(Step::Journal(OfJournal::Append(
            Box::new(record.clone()),
            events.to_vec(),
        )))
    }

    /// A record that does not follow: an old one again, or one that another owner would write.
    fn wrong(&mut self) -> Option<Step> {
        let key = self.run()?;
        let run = self.runs.iter().find(|run| run.key == key)?;
        // Nobody creates a run whose id is older than ten minutes; a removed one is.
        if self.removed.contains(&key) {
            return None;
        }
        let place = self.dice.between(0, run.records.len() as u64 - 1);
        let (record, events) = &run.records[usize::try_from(place).ok()?];
        let mut other = (**record).clone();
        if self.dice.chance(500_000) {
            other.nonce = Nonce([9; 16]);
        }
        Some(Step::Journal(OfJournal::Append(
            Box::new(Encoded::of(other)),
            events.clone(),
        )))
    }

    fn key(&mut self) -> Step {
        let name = self.name();
        let ms = self.dice.pick(&[1, 1_000, 600_000, 60_000_000]);
        let expires = later(self.clock.now(), ms);
        match self.dice.between(0, 3) {
            0 => Step::Keys(OfKeys::Create(name, self.bytes(50), expires)),
            1 => Step::Keys(OfKeys::Put(
                name,
                self.bytes(50),
                expires,
                self.dice.chance(300_000),
            )),
            _ => Step::Keys(OfKeys::Get(name, self.clock.now())),
        }
    }

    fn inbox(&mut self) -> Option<Step> {
        let shard = self.shard();
        let unread = self.unread.get(&shard).map_or(0, Vec::len);
        let sent = self.sent.get(&shard).map_or(0, Vec::len);
        match self.dice.between(0, 1) {
            0 if unread > 0 => {
                let count = self.limit().min(unread);
                Some(Step::Inbox(OfInbox::Receive(shard, count)))
            }
            1 if sent > unread => Some(Step::Inbox(OfInbox::Settle(shard, self.limit()))),
            _ => None,
        }
    }

    fn item(&mut self) -> Step {
        let kind = self.dice.pick(&["workflows", "hooks"]);
        let key = format!("{kind}/default/{}", self.name());
        let known = self
            .dice
            .pick(&[Known::Absent, Known::Last, Known::Last, Known::Older]);
        match self.dice.between(0, 4) {
            0 | 1 => Step::Registry(OfRegistry::Put(key, self.bytes(200), known)),
            2 => Step::Registry(OfRegistry::Delete(key, known)),
            3 => Step::Registry(OfRegistry::Get(key)),
            _ => {
                let after = self.dice.pick(&["", key.as_str()]).to_owned();
                Step::Registry(OfRegistry::List(format!("{kind}/"), after, self.limit()))
            }
        }
    }

    fn memory(&mut self) -> Step {
        let name = self.name();
        match self.dice.between(0, 2) {
            0 => Step::Remember(name, self.bytes(100)),
            1 => Step::Recall(name),
            _ => Step::Forget(name),
        }
    }

    fn blob(&mut self) -> Option<Step> {
        if self.blobs.is_empty() || self.dice.chance(400_000) {
            let most = self.dice.pick(&[0, 100, 20_000, 1_200_000]);
            let (key, bytes) = (self.run()?, self.bytes(most));
            let digest = match self.dice.chance(100_000) {
                true => Digest::of(b"something else"),
                false => Digest::of(&bytes),
            };
            return Some(Step::PutBlob(key, digest, bytes));
        }
        let (key, digest) = self.dice.pick(&self.blobs);
        Some(Step::GetBlob(key, digest))
    }

    fn end_of_life(&mut self) -> Option<Step> {
        let limit = self.limit();
        Some(match self.dice.between(0, 3) {
            0 => Step::Archive(OfArchive::Ended(self.clock.now(), limit)),
            // Who follows new runs has seen them before they end their life.
            1 => match self.unseen.iter().find(|(_, unseen)| **unseen > 0) {
                Some((shard, unseen)) => Step::Journal(OfJournal::Created(*shard, *unseen)),
                None => Step::Archive(OfArchive::Archive(std::mem::take(&mut self.ended))),
            },
            2 => {
                let before = Timestamp::from_millis(self.clock.now().millis() - HOUR_MS);
                Step::Archive(OfArchive::Expired(Retention { before, number: 20 }, limit))
            }
            _ => Step::Archive(OfArchive::Remove(std::mem::take(&mut self.expired))),
        })
    }

    fn runs_listed(&mut self) -> Step {
        let status = self.dice.pick(&[
            vec![],
            vec![RunStatus::Running],
            vec![RunStatus::Succeeded, RunStatus::Failed],
        ]);
        let workflow = self.dice.pick(&[vec![], vec!["bye".to_owned()]]);
        let filter = RunFilter {
            status,
            workflow,
            ..RunFilter::default()
        };
        Step::Runs(filter, self.limit())
    }

    /// Whether both have answered the same. Runs that ended at the same moment may come in any order.
    pub(super) fn are_same(&self, step: &Step, ours: &Answer, theirs: &Answer) -> bool {
        let of_ends =
            |step: &OfArchive| matches!(step, OfArchive::Ended(..) | OfArchive::Expired(..));
        if let Step::Archive(step) = step
            && of_ends(step)
        {
            return self.ends(&ours.runs) == self.ends(&theirs.runs);
        }
        ours == theirs
    }

    fn ends(&self, runs: &[RunKey]) -> Vec<Option<Timestamp>> {
        let end = |key: &RunKey| self.runs.iter().find(|run| run.key == *key);
        runs.iter().map(|key| Some(end(key)?.last().0.at)).collect()
    }

    /// What the answer says about what can be done next.
    pub(super) fn learn(&mut self, step: &Step, answer: &Answer) {
        let name = format!("{step:?}");
        let mut words = name.split(['(', ' ']).take(2);
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        let second = second.filter(|word| *word != "RunKey" && *word != "RunFilter");
        let second = second.filter(|word| word.chars().all(char::is_alphabetic));
        let name = [first, second.unwrap_or_default()].concat();
        *self
            .counts
            .entry(format!("{name} {}", answer.kind()))
            .or_default() += 1;
        if let Step::Journal(OfJournal::Created(shard, _)) = step {
            let unseen = self.unseen.entry(*shard).or_default();
            *unseen = unseen.saturating_sub(answer.runs.len());
        }
        if let Step::Inbox(step) = step {
            self.learn_of_inbox(step, answer);
        }
        if let Step::PutBlob(key, digest, _) = step
            && answer.is_ok()
        {
            self.blobs.push((key.clone(), *digest));
        }
        if let Step::Archive(OfArchive::Ended(..)) = step {
            self.ended.clone_from(&answer.runs);
        }
        if let Step::Archive(OfArchive::Remove(runs)) = step {
            self.removed.extend(runs.iter().cloned());
        }
        if let Step::Archive(OfArchive::Expired(..)) = step {
            self.expired.clone_from(&answer.runs);
        }
    }

    fn learn_of_inbox(&mut self, step: &OfInbox, answer: &Answer) {
        match step {
            OfInbox::Send(shard, id, _, _) => {
                let sent = self.sent.entry(*shard).or_default();
                if !sent.contains(id) {
                    sent.push(*id);
                    self.unread.entry(*shard).or_default().push(*id);
                }
            }
            OfInbox::Receive(shard, _) => {
                let unread = self.unread.entry(*shard).or_default();
                unread.retain(|id| !answer.ids.contains(id));
            }
            OfInbox::Settle(shard, _) => {
                let sent = self.sent.entry(*shard).or_default();
                sent.retain(|id| !answer.ids.contains(id));
            }
        }
    }
}

fn later(at: Timestamp, ms: u64) -> Timestamp {
    Timestamp::from_millis(at.millis() + ms)
}

fn status(run: &Sample) -> RunStatus {
    run.last().0.summary.status
}
