//! The runs in memory. A cache: what is not here is folded from its journal when it is needed.

use std::collections::{BTreeMap, VecDeque};

use engine::facts::Facts;
use engine::id::RunKey;
use engine::run::Run;

use crate::desk::Class;
use crate::mail::{Mail, Verdict};

/// So many runs are looked at in one trim: those that are busy are not passed over again and again.
const TRIM_MAX: usize = 256;

/// A run in memory, or on its way there.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// The run, unless it must be read first.
    pub(crate) run: Option<Run>,
    /// What was looked up for it.
    pub(crate) facts: Facts,
    /// The state of the registry that the live ones among its facts are of.
    pub(crate) facts_of: u64,
    /// What is to be done with it.
    pub(crate) mail: VecDeque<Mail>,
    /// What is being done with it.
    pub(crate) doing: Doing,
    /// What was decided in records of which it is not known whether they are stored.
    pub(crate) unsure: Vec<Verdict>,
    /// Since when records are being appended.
    pub(crate) writing_since: Option<tokio::time::Instant>,
    /// Tries in a row that the store did not take.
    pub(crate) tries: u32,
    /// Look-ups in a row for one command.
    pub(crate) rounds: u32,
    /// Whether it is among those that are looked at in this turn.
    pub(crate) ready: bool,
    /// Why not even parking it can be decided.
    pub(crate) broken: Option<String>,
    /// Bytes that it takes up, roughly.
    pub(crate) weight: usize,
    used: u64,
}

/// What is being done with a run. One thing at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Nothing.
    #[default]
    Nothing,
    /// Its journal is being read.
    Loading,
    /// It is being looked whether its journal tells more than is known here.
    Checking,
    /// Facts are being looked up.
    Fetching,
    /// Records are being appended.
    Writing,
    /// The store did not answer: a moment is waited.
    Resting,
}

impl Slot {
    /// Whether nothing would be lost with it but the work of reading it again.
    pub(crate) fn is_idle(&self) -> bool {
        self.doing == Doing::Nothing && self.mail.is_empty() && self.unsure.is_empty()
    }

    /// Whether it has ended, and nothing is left to be told about it.
    pub(crate) fn is_over(&self) -> bool {
        self.is_idle() && self.run.as_ref().is_some_and(|r| r.status().is_end())
    }

    /// The number of its last record.
    pub(crate) fn n(&self) -> u64 {
        self.run.as_ref().map_or(0, Run::n)
    }

    /// The class of its jobs.
    pub(crate) fn class(&self) -> Class {
        let run = self.run.as_ref();
        run.map_or(Class::Batch, |r| Class::of(&r.state().head.created.trigger))
    }
}

/// The runs in memory, at most so many and so large; those that were not used for the longest time go first.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Sorted, because dropping a map is going through it: when an owner ends, those who wait for its answers are told so
    /// in the order of the keys, and not by lot.
    slots: BTreeMap<RunKey, Box<Slot>>,
    by_use: BTreeMap<u64, RunKey>,
    clock: u64,
    weight: usize,
    runs_max: usize,
    weight_max: usize,
}

impl Slots {
    pub(crate) fn new(runs_max: usize, weight_max: usize) -> Self {
        Self {
            slots: BTreeMap::new(),
            by_use: BTreeMap::new(),
            clock: 0,
            weight: 0,
            runs_max,
            weight_max,
        }
    }

    /// A run that is there, to be looked at.
    pub(crate) fn get(&self, key: &RunKey) -> Option<&Slot> {
        self.slots.get(key).map(Box::as_ref)
    }

    /// A run that is there.
    pub(crate) fn get_mut(&mut self, key: &RunKey) -> Option<&mut Slot> {
        self.slots.get_mut(key).map(Box::as_mut)
    }

    /// The place of a run, made when there is none.
    pub(crate) fn entry(&mut self, key: &RunKey) -> &mut Slot {
        if !self.slots.contains_key(key) {
            self.put(key, Box::default());
        }
        self.slots.get_mut(key).expect("it was just put there")
    }

    /// Takes a run out, to be worked on and put back.
    pub(crate) fn take(&mut self, key: &RunKey) -> Option<Box<Slot>> {
        let slot = self.slots.remove(key)?;
        self.by_use.remove(&slot.used);
        self.weight -= slot.weight;
        Some(slot)
    }

    /// Puts a run in, as the one that was used last.
    pub(crate) fn put(&mut self, key: &RunKey, mut slot: Box<Slot>) {
        self.clock += 1;
        slot.used = self.clock;
        self.weight += slot.weight;
        self.by_use.insert(self.clock, key.clone());
        self.slots.insert(key.clone(), slot);
    }

    /// Drops runs that nothing is being done with until the rest is within bounds.
    pub(crate) fn trim(&mut self) {
        if self.is_within() {
            return;
        }
        let by_use: Vec<RunKey> = self.by_use.values().take(TRIM_MAX).cloned().collect();
        for key in by_use {
            if self.is_within() {
                return;
            }
            if self.get(&key).is_some_and(Slot::is_idle) {
                self.take(&key);
            }
        }
    }

    fn is_within(&self) -> bool {
        self.slots.len() <= self.runs_max && self.weight <= self.weight_max
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::What;
    use engine::id::{RunId, Shard, Tenant};
    use engine::time::Timestamp;

    fn key(n: u64) -> RunKey {
        let run = RunId::new(Timestamp::from_millis(1), Shard(0), n);
        RunKey {
            tenant: Tenant::default(),
            run,
        }
    }

    fn weighing(weight: usize) -> Box<Slot> {
        Box::new(Slot {
            weight,
            ..Slot::default()
        })
    }

    fn kept(slots: &Slots, of: std::ops::Range<u64>) -> Vec<u64> {
        of.filter(|n| slots.get(&key(*n)).is_some()).collect()
    }

    #[test]
    fn those_not_used_for_the_longest_time_go_first() {
        let mut slots = Slots::new(2, 1_000);
        for n in 0..4 {
            slots.put(&key(n), weighing(1));
        }
        let first = slots.take(&key(0)).expect("it is there");
        slots.put(&key(0), first);
        slots.trim();
        assert_eq!(kept(&slots, 0..4), [0, 3]);
        assert_eq!(slots.len(), 2);
    }

    #[test]
    fn what_is_being_worked_on_stays_whatever_it_weighs() {
        let mut slots = Slots::new(10, 100);
        slots.put(&key(0), weighing(500));
        slots.entry(&key(0)).doing = Doing::Writing;
        slots.put(&key(1), weighing(500));
        slots.entry(&key(1)).mail.push_back(Mail::own(What::Wake));
        slots.put(&key(2), weighing(1));
        slots.trim();
        assert_eq!(kept(&slots, 0..3), [0, 1]);
        slots.entry(&key(0)).doing = Doing::Nothing;
        slots.trim();
        assert_eq!(kept(&slots, 0..3), [1]);
    }
}
