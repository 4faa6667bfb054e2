//! Runs that are read again after a crash or a fault of the store.

use engine::command::Outcome;
use engine::digest::Digest;
use engine::event::{Event, RunStatus};
use engine::id::{Attempt, Nonce, RunId, StepNo, Tenant};
use engine::job::AttemptKey;
use engine::record::Cause;
use engine::run::Stamp;
use engine::value::{INLINE_BYTES_MAX, Labels, Value};
use futures::StreamExt;

use super::super::sample::{created, granted, owner, run_of, starting};
use super::*;
use crate::detector::Place;
use crate::mail::From;

/// What happened up to the beginning of a wait.
fn waits(until: Timestamp) -> Vec<Event> {
    let step = StepNo(0);
    let mut events = granted(until);
    events.truncate(2);
    events.push(Event::WaitStarted { step, until });
    events
}

fn run(now: Timestamp) -> Run {
    let run = run_of(now, &granted(now));
    assert_eq!(run.status(), RunStatus::Running);
    run
}

fn load(owner: &mut Owner, slot: &mut Slot) {
    let run = run(owner.backend.clock.now());
    let key = run.key().clone();
    owner.inherited.insert(key.clone());
    owner.loaded_run(&key, slot, run);
}

#[tokio::test]
async fn agents_that_may_outlive_us_are_not_taken_for_dead() {
    for agents_outlive in [true, false] {
        let mut slot = Slot::default();
        load(&mut owner(agents_outlive), &mut slot);
        let mail = slot.mail.pop_front().expect("a word about the grant");
        let command = mail.asked().map(|asked| &asked.command);
        let Some(Command::Lose { plugin_dead, .. }) = command else {
            panic!("{command:?}")
        };
        assert_eq!(*plugin_dead, !agents_outlive);
    }
}

#[tokio::test]
async fn reading_a_run_again_does_not_make_its_store_well() {
    let mut slot = Slot::default();
    slot.tries = 7;
    load(&mut owner(false), &mut slot);
    assert_eq!(slot.tries, 7, "the next rest is longer");
}

#[tokio::test]
async fn a_run_that_waits_for_long_is_not_kept_in_memory() {
    let mut owner = owner(false);
    let now = owner.backend.clock.now();
    let later = |seconds| now.plus(engine::duration::Duration::from_secs(seconds));
    for (run, is_kept) in [
        (run_of(now, &waits(later(3_000))), false),
        (run_of(now, &waits(later(1))), true),
        (run(now), true),
    ] {
        let key = run.key().clone();
        owner.timers.set(&key, run.due());
        let mut slot = Slot::default();
        slot.run = Some(run);
        owner.keep(&key, Box::new(slot));
        assert_eq!(owner.slots.take(&key).is_some(), is_kept);
        assert!(owner.timers.of(&key).is_some(), "it is woken all the same");
    }
}

/// Whoever heard of it from an owner before this one asks for the grant before it is offered here.
#[tokio::test]
async fn a_call_that_was_granted_before_its_turn_came_is_looked_after() {
    let mut owner = owner(true);
    let now = owner.backend.clock.now();
    let mut dispatched = granted(now);
    dispatched.pop();
    let mut slot = Slot::default();
    let dispatched = run_of(now, &dispatched);
    let key = dispatched.key().clone();
    let (step, number) = (StepNo(0), Attempt(1));
    let attempt = AttemptKey {
        key: key.clone(),
        step,
        attempt: number,
    };
    slot.run = Some(dispatched);
    owner.sync(&key, &slot, true);
    assert_eq!(owner.detector.place(&attempt), Some(Place::Backlog));
    slot.run = Some(run(now));
    owner.sync(&key, &slot, true);
    let place = owner.detector.place(&attempt);
    assert!(matches!(place, Some(Place::Gone(_))), "{place:?}");

    owner.detector.put(&attempt, Place::Offering);
    owner.build_job(&key, &slot, step, number);
    let place = owner.detector.place(&attempt);
    assert!(matches!(place, Some(Place::Gone(_))), "{place:?}");
    assert!(owner.offering.is_empty());
}

/// A run as an owner knows it. It was called elsewhere since, if `stored` says that this is in the journal.
async fn called_elsewhere(owner: &Owner, stored: bool) -> Run {
    let now = owner.backend.clock.now();
    let key = RunKey {
        tenant: Tenant::default(),
        run: RunId::new(now, Shard(0), 1),
    };
    let stamp = |n| Stamp {
        at: now,
        nonce: Nonce([n; 16]),
        cause: Cause {
            id: Nonce([n; 16]),
            command: "Create".to_owned(),
        },
    };
    let (mut run, first, created) = Run::create(key, created(), None, stamp(1));
    let mut before = granted(now);
    let after = before.split_off(2);
    let mut records = vec![(first, created), (run.commit(&before, stamp(2)), before)];
    let known = run.clone();
    if stored {
        records.push((run.commit(&after, stamp(3)), after));
    }
    for (record, events) in records {
        let appended = owner.backend.journal.append(&record, &events).await;
        appended.expect("it follows");
    }
    known
}

/// A worker says that the call did what it should.
fn report() -> Mail {
    let output = Value::make(&serde_json::json!({}), Labels::default(), INLINE_BYTES_MAX);
    let command = Command::Report {
        step: StepNo(0),
        attempt: Attempt(1),
        outcome: Outcome::Succeeded {
            output: output.expect("small").value,
        },
        nonce: None,
    };
    let id = Nonce([7; 16]);
    let what = What::OfCall(Asked { id, command }, Digest::ZERO);
    Mail::of(what, From::Inbox(Shard(0), 1))
}

#[tokio::test]
async fn who_may_know_too_little_reads_the_journal_before_it_says_no() {
    for (start, stored) in [
        (Start::Listening, true),
        (Start::Listening, false),
        (Start::Alone, false),
    ] {
        let mut owner = starting(start, false);
        let run = called_elsewhere(&owner, stored).await;
        let key = run.key().clone();
        let mut slot = Box::new(owner.new_slot());
        slot.run = Some(run);
        owner.slots.put(&key, slot);
        owner.post(&key, report());
        owner.drive(&key);
        let said_no = |owner: &Owner| owner.settling.contains_key(&Shard(0));
        assert_eq!(said_no(&owner), start == Start::Alone, "{start:?}");
        if start == Start::Listening {
            let looked = owner.inputs.next().await.expect("the journal is read");
            owner.take(looked).expect("nothing is damaged");
            let slot = owner.slots.get(&key).expect("it has mail");
            assert_eq!(
                slot.run.is_none(),
                stored,
                "there is more: it is read again"
            );
            owner.drive(&key);
            assert_eq!(said_no(&owner), !stored);
        }
    }
}
