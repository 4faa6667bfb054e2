//! A backup is made while everything goes on. Some time later the machine is lost, and what goes on is the backup, in
//! another life: whatever happened since has happened, and nobody remembers it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use engine::id::{Shard, Tenant};
use engine::registry::{AgentConfig, INCARNATION, Kind, decode};
use engine::time::Timestamp;
use store::embedded::Kept;

use crate::judge::{Known, Memory};
use crate::life::Life;
use crate::workflows::AGENT;
use crate::world::World;

/// A backup, and what was known when it was made.
pub(crate) struct Backup {
    kept: Kept,
    memory: Memory,
    made_at: Timestamp,
}

/// What comes next.
enum Next {
    /// Nothing is ever lost.
    Nothing,
    /// After so many effects a backup is made, and after so many more everything is lost.
    Backup(u64, u64),
    /// After so many effects everything is lost.
    Loss(u64, Box<Backup>),
    /// Everything is lost, and is not there again yet.
    Lost(Box<Backup>),
}

/// The backups of a simulation.
pub(crate) struct Backups {
    next: Mutex<Next>,
    /// How many were restored.
    restored: AtomicU64,
    /// When the present life of the data began, if it is not the first.
    began: Mutex<Option<Timestamp>>,
}

impl Backups {
    pub(crate) fn none() -> Self {
        Self {
            next: Mutex::new(Next::Nothing),
            restored: AtomicU64::new(0),
            began: Mutex::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Next> {
        self.next.lock().expect("nobody panics with it")
    }

    /// How many were restored.
    pub(crate) fn restored(&self) -> u64 {
        self.restored.load(Ordering::Relaxed)
    }

    /// When the present life of the data began, if it is not the first.
    pub(crate) fn life_began(&self) -> Option<Timestamp> {
        *self.began.lock().expect("nobody panics with it")
    }

    /// A backup is to be made after so many effects, and after so many more everything is to be lost.
    pub(crate) fn plan(&self, effects: u64, more: u64) {
        *self.lock() = Next::Backup(effects, more);
    }

    /// What is to be restored now, if everything was lost.
    pub(crate) fn lost(&self) -> Option<Box<Backup>> {
        let mut next = self.lock();
        match std::mem::replace(&mut *next, Next::Nothing) {
            Next::Lost(backup) => Some(backup),
            other => {
                *next = other;
                None
            }
        }
    }

    /// Everything is lost now, if a backup was made; answers whether one was.
    pub(crate) fn lose(&self, life: &Life) -> bool {
        let mut next = self.lock();
        let Next::Loss(_, backup) = std::mem::replace(&mut *next, Next::Nothing) else {
            return false;
        };
        *next = Next::Lost(backup);
        life.die();
        true
    }
}

/// Something outside is no longer as it was, by somebody of this life.
pub(crate) fn effect(world: &World, life: &Life) {
    let mut next = world.backups.lock();
    match &mut *next {
        Next::Backup(left, _) | Next::Loss(left, _) if *left > 1 => {
            *left -= 1;
            return;
        }
        Next::Backup(..) | Next::Loss(..) => {}
        Next::Nothing | Next::Lost(_) => return,
    }
    if let Next::Backup(_, more) = *next {
        *next = Next::Loss(more, Box::new(make(world)));
        return;
    }
    drop(next);
    if !world.weather.is_calm() && world.backups.lose(life) {
        world.note(format_args!("{} is lost, with its machine", life.name));
    }
}

fn make(world: &World) -> Backup {
    world.note(format_args!("a backup is made"));
    Backup {
        kept: world.ground.keep(),
        memory: world.judge.memory(),
        made_at: world.now(),
    }
}

/// Begins another life out of a backup.
pub(crate) async fn restore(world: &Arc<World>, backup: Backup, shards: &[Shard]) {
    let Backup {
        kept,
        memory,
        made_at,
    } = backup;
    world.note(format_args!("the backup of {made_at} is restored"));
    world.backups.restored.fetch_add(1, Ordering::Relaxed);
    let known = memory.known();
    world.post.lose();
    world.ground.restore(kept, known.damaged.clone());
    let differs = differs(world, known, shards).await;
    world.judge.restored(world.now(), memory, &differs);
    let backend = world.ground.backend();
    let begun = scheduler::begin_life(&backend, shards, made_at).await;
    let parked = begun.expect("nothing goes wrong here");
    world.note(format_args!("{parked} runs are parked"));
    let life = backend.registry.get(INCARNATION).await;
    let life = life
        .expect("nothing goes wrong here")
        .expect("it was named");
    let life = String::from_utf8(life.value).expect("a name is text");
    *world.backups.began.lock().expect("nobody panics with it") = scheduler::life_began(&life);
    // An agent works with the settings that it is told, and these are those of the backup again.
    let key = Kind::AgentConfig.key(&Tenant::default(), AGENT);
    let item = backend.registry.get(&key).await;
    let item = item.expect("nothing goes wrong here");
    let config = item.map(|item| decode::<AgentConfig>(&item.value).expect("it was encoded"));
    world.lab.set(config.map_or(0, |config| config.revision));
}

/// What is stored otherwise than it was.
async fn differs(world: &World, known: &Known, shards: &[Shard]) -> Vec<String> {
    let journal = world.ground.backend().journal;
    let mut differs = Vec::new();
    for (key, seen) in known.sound() {
        let there = journal.read(key, 0).await.unwrap_or_default();
        let there = there.iter().map(|entry| entry.hash);
        if !there.eq(seen.entries.iter().map(|(_, hash)| *hash)) {
            differs.push(format!("{} has other records", key.run));
        }
    }
    for shard in shards {
        let open = journal.open_runs(*shard).await;
        for run in open.expect("nothing goes wrong here").runs {
            let is_open = known.runs.get(&run.key);
            if is_open.is_none_or(|seen| seen.run.status().is_end()) {
                differs.push(format!("{} is open", run.key.run));
            }
        }
    }
    differs
}
