//! Who is served next. Backlog stays in the journal: only about twice as many jobs are queued as workers have slots
//! free, so that a run that comes in now does not stand behind everything that came before it.
//!
//! Classes take turns by weight, and inside a class tenants by deficit round robin. Every job costs the same here, so
//! the deficits are all nought, and what is left of it is a round.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use engine::event::{Trigger, TriggerKind};
use engine::id::Tenant;
use engine::job::AttemptKey;
use engine::pool::Pool;
use tokio::time::Instant;

/// So many jobs are queued when nothing is known of the workers, or none has a slot free: the next one who comes has
/// something to do at once.
const QUEUED_MIN: usize = 64;
/// Of a worker that was silent for so long nothing is known.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// How soon somebody wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A person waits for it.
    Interactive,
    /// An alert fires.
    Alert,
    /// A pipeline waits for it.
    Ci,
    /// Nobody waits.
    Batch,
}

impl Class {
    const ALL: [Self; 4] = [Self::Interactive, Self::Alert, Self::Ci, Self::Batch];

    /// The class of what such a trigger starts.
    pub(crate) fn of(trigger: &Trigger) -> Self {
        match trigger.kind {
            TriggerKind::Api | TriggerKind::Cli => Self::Interactive,
            TriggerKind::Hook if trigger.fingerprint.is_some() => Self::Alert,
            TriggerKind::Hook => Self::Ci,
            TriggerKind::Schedule | TriggerKind::Run => Self::Batch,
        }
    }

    /// Its share of the turns, while every class has something to do.
    fn weight(self) -> i64 {
        match self {
            Self::Interactive => 8,
            Self::Alert => 4,
            Self::Ci => 2,
            Self::Batch => 1,
        }
    }
}

/// A desk for each pool of workers.
pub(crate) struct Desks {
    of: BTreeMap<Pool, Desk>,
    part: (usize, usize),
}

/// The attempts of one pool that nobody was offered yet, and who has room for how many.
pub(crate) struct Desk {
    lanes: BTreeMap<Class, Lane>,
    workers: BTreeMap<String, (u32, Instant)>,
    /// The part of all shards whose attempts these are: so many of so many. Who owns the others offers the rest.
    part: (usize, usize),
}

#[derive(Default)]
struct Lane {
    /// Tenants with something to do, in the order of their turns.
    round: VecDeque<Tenant>,
    waiting: BTreeMap<Tenant, VecDeque<AttemptKey>>,
    credit: i64,
}

impl Desks {
    /// The desks of so many shards of so many.
    pub(crate) fn new(shards: usize, all: usize) -> Self {
        Self {
            of: BTreeMap::new(),
            part: (shards, all),
        }
    }

    /// The desk of a pool.
    pub(crate) fn of(&mut self, pool: &Pool) -> &mut Desk {
        if !self.of.contains_key(pool) {
            let (shards, all) = self.part;
            self.of.insert(pool.clone(), Desk::of(shards, all));
        }
        self.of.get_mut(pool).expect("it was just put there")
    }

    /// Forgets the workers that are silent, and the desks that nothing is at.
    pub(crate) fn forget_silent(&mut self, now: Instant) {
        self.of.retain(|_, desk| {
            desk.forget_silent(now);
            !desk.is_empty()
        });
    }
}

impl Desk {
    /// The desk of so many shards of so many.
    fn of(shards: usize, all: usize) -> Self {
        Self {
            lanes: BTreeMap::new(),
            workers: BTreeMap::new(),
            part: (shards, all.max(1)),
        }
    }

    /// The attempt waits for its turn.
    pub(crate) fn add(&mut self, class: Class, attempt: AttemptKey) {
        let lane = self.lanes.entry(class).or_default();
        let tenant = attempt.key.tenant.clone();
        let waiting = lane.waiting.entry(tenant.clone()).or_default();
        if waiting.is_empty() {
            lane.round.push_back(tenant);
        }
        waiting.push_back(attempt);
    }

    /// Whose turn it is; `None` when nobody waits.
    pub(crate) fn next(&mut self) -> Option<AttemptKey> {
        let class = self.turn()?;
        self.lanes.get_mut(&class)?.next()
    }

    /// The class whose turn it is: smooth weighted round robin among those with something to do.
    fn turn(&mut self) -> Option<Class> {
        let mut total = 0;
        let mut best: Option<(i64, Class)> = None;
        for class in Class::ALL {
            let Some(lane) = self.lanes.get_mut(&class).filter(|l| !l.round.is_empty()) else {
                continue;
            };
            lane.credit += class.weight();
            total += class.weight();
            if best.is_none_or(|(credit, _)| lane.credit > credit) {
                best = Some((lane.credit, class));
            }
        }
        let (_, class) = best?;
        if let Some(lane) = self.lanes.get_mut(&class) {
            lane.credit -= total;
        }
        Some(class)
    }

    /// A worker said how many more jobs it could take.
    pub(crate) fn free_slots(&mut self, worker: &str, slots: u32, now: Instant) {
        match self.workers.get_mut(worker) {
            Some(known) => *known = (slots, now),
            None => {
                self.workers.insert(worker.to_owned(), (slots, now));
            }
        }
    }

    /// Forgets the workers that are silent.
    fn forget_silent(&mut self, now: Instant) {
        self.workers
            .retain(|_, (_, said)| *said + SILENT_AFTER > now);
    }

    fn is_empty(&self) -> bool {
        self.workers.is_empty() && self.lanes.values().all(|lane| lane.round.is_empty())
    }

    /// How many jobs may be offered while `queued` are.
    pub(crate) fn room(&self, queued: usize) -> usize {
        let free: u32 = self.workers.values().map(|(slots, _)| *slots).sum();
        let (shards, all) = self.part;
        let room = (2 * free as usize).max(QUEUED_MIN);
        (room * shards).div_ceil(all).saturating_sub(queued)
    }
}

impl Lane {
    fn next(&mut self) -> Option<AttemptKey> {
        let tenant = self.round.pop_front()?;
        let waiting = self.waiting.get_mut(&tenant)?;
        let attempt = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&tenant);
            if self.waiting.is_empty() {
                self.credit = 0;
            }
        } else {
            self.round.push_back(tenant);
        }
        attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::id::{Attempt, RunId, RunKey, Shard, StepNo};
    use engine::time::Timestamp;

    fn attempt(tenant: &str, n: u32) -> AttemptKey {
        let run = RunId::new(Timestamp::from_millis(1), Shard(0), 1);
        let tenant = Tenant::new(tenant).expect("a name");
        AttemptKey {
            key: RunKey { tenant, run },
            step: StepNo(n),
            attempt: Attempt(1),
        }
    }

    fn all(desk: &mut Desk) -> Vec<String> {
        std::iter::from_fn(|| desk.next())
            .map(|a| format!("{}{}", a.key.tenant, a.step.0))
            .collect()
    }

    #[test]
    fn a_quiet_tenant_does_not_wait_behind_a_loud_one() {
        let mut desk = Desk::of(4, 4);
        for n in 0..4 {
            desk.add(Class::Interactive, attempt("loud", n));
        }
        desk.add(Class::Interactive, attempt("quiet", 0));
        desk.add(Class::Interactive, attempt("quiet", 1));
        let order = ["loud0", "quiet0", "loud1", "quiet1", "loud2", "loud3"];
        assert_eq!(all(&mut desk), order);
        assert_eq!(desk.next(), None);
    }

    #[test]
    fn classes_share_by_weight_and_none_starves() {
        let mut desk = Desk::of(4, 4);
        let names = [
            (Class::Interactive, "i"),
            (Class::Alert, "a"),
            (Class::Ci, "c"),
            (Class::Batch, "b"),
        ];
        for n in 0..30 {
            for (class, tenant) in names {
                desk.add(class, attempt(tenant, n));
            }
        }
        let first: Vec<String> = std::iter::from_fn(|| desk.next())
            .take(15)
            .map(|a| a.key.tenant.to_string())
            .collect();
        let count = |tenant: &str| first.iter().filter(|t| *t == tenant).count();
        assert_eq!(
            names.map(|(_, tenant)| count(tenant)),
            [8, 4, 2, 1],
            "{first:?}"
        );
    }

    #[test]
    fn a_lone_class_gets_every_turn() {
        let mut desk = Desk::of(4, 4);
        for n in 0..3 {
            desk.add(Class::Batch, attempt("b", n));
        }
        assert_eq!(all(&mut desk), ["b0", "b1", "b2"]);
        desk.add(Class::Batch, attempt("b", 3));
        desk.add(Class::Interactive, attempt("i", 0));
        assert_eq!(all(&mut desk), ["i0", "b3"]);
    }

    #[test]
    fn about_twice_the_free_slots_are_offered() {
        let now = Instant::now();
        let mut desk = Desk::of(4, 4);
        assert_eq!(desk.room(0), QUEUED_MIN);
        desk.free_slots("w1", 50, now);
        desk.free_slots("w2", 100, now);
        assert_eq!(desk.room(0), 300);
        assert_eq!(desk.room(250), 50);
        assert_eq!(desk.room(301), 0);
        desk.free_slots("w2", 0, now);
        assert_eq!(desk.room(0), 100);
        desk.free_slots("w2", 0, now + SILENT_AFTER);
        desk.forget_silent(now + SILENT_AFTER);
        assert_eq!(desk.room(0), QUEUED_MIN);
    }

    #[test]
    fn of_the_free_slots_each_owner_offers_its_part() {
        let now = Instant::now();
        for (shards, room) in [(1, 13), (4, 50), (16, 200)] {
            let mut desk = Desk::of(shards, 16);
            assert_eq!(desk.room(0), QUEUED_MIN * shards / 16);
            desk.free_slots("w1", 100, now);
            assert_eq!(desk.room(0), room);
        }
    }

    #[test]
    fn the_class_is_told_by_the_trigger() {
        let mut trigger = Trigger {
            kind: TriggerKind::Hook,
            hook: None,
            delivery: None,
            redelivery_of: None,
            fingerprint: Some("f".to_owned()),
            event: None,
        };
        assert_eq!(Class::of(&trigger), Class::Alert);
        trigger.fingerprint = None;
        assert_eq!(Class::of(&trigger), Class::Ci);
        trigger.kind = TriggerKind::Cli;
        assert_eq!(Class::of(&trigger), Class::Interactive);
        trigger.kind = TriggerKind::Schedule;
        assert_eq!(Class::of(&trigger), Class::Batch);
    }
}
