//! Runs that are read again after a crash or a fault of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::command::Outcome;
use engine::digest::Digest;
use engine::event::{Call, RunStatus};
use engine::event::{Event, Origin, PinnedAction, RunCreated, Section, Trigger, TriggerKind};
use engine::id::{Attempt, Nonce, RunId, StepNo, Tenant};
use engine::job::AttemptKey;
use engine::manifest::ActionName;
use engine::principal::{Permission, Principal};
use engine::record::Cause;
use engine::run::Stamp;
use engine::value::{INLINE_BYTES_MAX, Labels, Value};
use futures::StreamExt;
use store::clock::{ProcessClock, SystemRandom};
use store::embedded::{Embedded, Options};

use super::*;
use crate::config::{self, Config};
use crate::detector::Place;
use crate::mail::From;

fn owner(agents_outlive: bool) -> Owner {
    starting(Start::Alone, agents_outlive)
}

fn starting(start: Start, agents_outlive: bool) -> Owner {
    let options = Options::new(Arc::new(ProcessClock::start()), Arc::new(SystemRandom));
    let memory = store::embedded::Place::Memory;
    let (backend, _) = Embedded::inline(memory, options).expect("an empty store");
    let place = config::Place {
        shards: vec![Shard(0)],
        of: 1,
        start,
        agents_outlive,
        not_requester: true,
        url_base: "http://here/runs".to_owned(),
    };
    Owner::new(Config::default(), place, Arc::new(backend))
}

fn action() -> PinnedAction {
    let name = ActionName {
        agent: "demo".to_owned(),
        action: "change".to_owned(),
    };
    PinnedAction {
        name,
        digest: Digest::ZERO,
        permission: Permission::Modify,
        idempotent: false,
        lookup: true,
        timeout_ms: None,
        settle_ms: None,
    }
}

fn created() -> RunCreated {
    RunCreated {
        workflow: None,
        definition: Digest::ZERO,
        actions: vec![action()],
        inputs: BTreeMap::new(),
        labels: BTreeMap::new(),
        requester: Principal::Key("ann".to_owned()),
        trigger: Trigger {
            kind: TriggerKind::Api,
            hook: None,
            delivery: None,
            redelivery_of: None,
            fingerprint: None,
            event: None,
        },
        permission: Permission::Modify,
        timeout_ms: 3_600_000,
        start_by: None,
        traceparent: None,
        asked: None,
        keys: Vec::new(),
    }
}

/// What happened up to the grant of a change.
fn granted(now: Timestamp) -> Vec<Event> {
    let (step, attempt) = (StepNo(0), Attempt(1));
    let params = Value::make(&serde_json::json!({}), Labels::default(), INLINE_BYTES_MAX);
    let call = Call {
        action: 0,
        params: params.expect("small").value,
        secrets: Vec::new(),
        time_range: None,
        timeout_ms: 1_000,
        sources: BTreeMap::new(),
    };
    let origin = Origin::Written {
        section: Section::Steps,
        index: 0,
        needs: Vec::new(),
    };
    let vars = BTreeMap::new();
    let name = "a".to_owned();
    let call = Box::new(call);
    vec![
        Event::RunStarted { vars },
        Event::StepAdded { step, name, origin },
        Event::StepPrepared { step, call },
        Event::AttemptDispatched { step, attempt },
        Event::AttemptGranted {
            step,
            attempt,
            nonce: Nonce([1; 16]),
            start_by: now,
            worker: "w".to_owned(),
        },
    ]
}

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

fn run_of(now: Timestamp, events: &[Event]) -> Run {
    let key = RunKey {
        tenant: Tenant::default(),
        run: RunId::new(now, Shard(0), 1),
    };
    let stamp = Stamp {
        at: now,
        nonce: Nonce([0; 16]),
        cause: Cause {
            id: Nonce([0; 16]),
            command: "Create".to_owned(),
        },
    };
    let (mut run, _, _) = Run::create(key, created(), None, stamp.clone());
    let _ = run.commit(events, stamp);
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
