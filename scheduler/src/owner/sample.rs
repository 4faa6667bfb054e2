//! Owners and runs for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::digest::Digest;
use engine::event::{Call, Event, Origin, PinnedAction, RunCreated, Section, Trigger, TriggerKind};
use engine::id::{Attempt, Nonce, RunId, RunKey, Shard, StepNo, Tenant};
use engine::manifest::ActionName;
use engine::principal::{Permission, Principal};
use engine::record::Cause;
use engine::run::{Run, Stamp};
use engine::time::Timestamp;
use engine::value::{INLINE_BYTES_MAX, Labels, Value};
use store::clock::{ProcessClock, SystemRandom};
use store::embedded::{Embedded, Options};

use super::Owner;
use crate::config::{self, Config, Start};

pub(super) fn owner(agents_outlive: bool) -> Owner {
    starting(Start::Alone, agents_outlive)
}

pub(super) fn starting(start: Start, agents_outlive: bool) -> Owner {
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

pub(super) fn action() -> PinnedAction {
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

pub(super) fn created() -> RunCreated {
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
pub(super) fn granted(now: Timestamp) -> Vec<Event> {
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

pub(super) fn run_of(now: Timestamp, events: &[Event]) -> Run {
    run_number(1, now, events)
}

/// One of several runs.
pub(super) fn run_number(n: u64, now: Timestamp, events: &[Event]) -> Run {
    let key = RunKey {
        tenant: Tenant::default(),
        run: RunId::new(now, Shard(0), n),
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
