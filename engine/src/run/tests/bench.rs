//! A run on the bench: a workflow as text, commands at times, and what came of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::code::Code;
use crate::command::{Asked, Command, Outcome};
use crate::digest::Digest;
use crate::event::{
    Event, Failure, PinnedAction, RunCreated, RunStatus, StepStatus, Trigger, TriggerKind,
    WorkflowRef,
};
use crate::facts::{ActionSchemas, Facts, Missing, Rejection, Standing};
use crate::id::{ApprovalId, Attempt, Nonce, RunId, RunKey, Shard, StepNo, Tenant};
use crate::language::{self, Document};
use crate::manifest::{Action, ActionName, Actions, Pinned};
use crate::principal::{Permission, Principal, Role};
use crate::record::{Cause, Record};
use crate::run::{Run, Stamp};
use crate::schema::Schema;
use crate::time::Timestamp;
use crate::value::{INLINE_BYTES_MAX, Labels, Trust, Value};

/// When every run on the bench is created.
pub(super) const START: u64 = 1_763_683_200_000;

pub(super) struct Bench {
    pub(super) run: Run,
    pub(super) records: Vec<Record>,
    pub(super) facts: Facts,
    pub(super) now: Timestamp,
    commands: u8,
    /// The most bytes of values beside the events of one decision.
    pub(super) blob_bytes: usize,
}

fn action(id: &str, permission: Permission) -> Action {
    Action {
        id: id.to_owned(),
        description: String::new(),
        permission,
        input: json!({
            "type": "object",
            "properties": {"key": {"type": "string", "minLength": 1}, "n": {"type": "number"}},
            "required": ["key"],
        }),
        output: Some(json!({
            "type": "object",
            "properties": {"value": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}},
        })),
        idempotent: false,
        lookup: false,
        settle_ms: None,
        timeout_ms: None,
    }
}

pub(super) fn actions() -> Actions {
    let all = [
        action("read", Permission::Read),
        action("change", Permission::Modify),
        Action {
            lookup: true,
            ..action("found", Permission::Modify)
        },
        Action {
            idempotent: true,
            ..action("put", Permission::Modify)
        },
        Action {
            lookup: true,
            idempotent: true,
            ..action("either", Permission::Modify)
        },
        action("drop", Permission::Admin),
    ];
    all.into_iter()
        .map(|a| {
            (
                ActionName {
                    agent: "demo".to_owned(),
                    action: a.id.clone(),
                },
                a,
            )
        })
        .collect()
}

pub(super) fn principal(name: &str) -> Principal {
    Principal::Key(name.to_owned())
}

impl Bench {
    /// A run of the workflow in `text`, with these inputs, just created.
    pub(super) fn new(text: &str, inputs: Json) -> Self {
        let documents = language::check(text, &actions())
            .unwrap_or_else(|p| panic!("the workflow is wrong: {p:#?}"));
        let Some(Document::Workflow(checked)) = documents.into_iter().next() else {
            panic!("no workflow")
        };
        let mut facts = Facts {
            not_requester: true,
            url_base: "http://here/runs".to_owned(),
            ..Facts::default()
        };
        let mut pinned = Vec::new();
        for (name, action) in actions() {
            let pin = Pinned::new(&name.agent, &action);
            let output = action
                .output
                .as_ref()
                .map(|o| Schema::compile(o).expect("a schema"));
            let input = Schema::compile(&action.input).expect("a schema");
            facts
                .schemas
                .insert(pin.digest(), Arc::new(ActionSchemas { input, output }));
            pinned.push(PinnedAction {
                name,
                digest: pin.digest(),
                permission: action.permission,
                idempotent: action.idempotent,
                lookup: action.lookup,
                timeout_ms: action.timeout_ms,
                settle_ms: action.settle_ms,
            });
        }
        for (name, role) in [
            ("olga", Role::Operator),
            ("erik", Role::Engineer),
            ("eva", Role::Engineer),
            ("ada", Role::Admin),
        ] {
            facts
                .standing
                .insert(principal(name), Standing { role: Some(role) });
        }
        facts.settings.insert("demo".to_owned(), 3);
        facts.secrets.insert("token".to_owned(), Some(2));
        let given = inputs.as_object().cloned().unwrap_or_default();
        let given = language::inputs(&checked.definition, &given).expect("inputs that fit");
        facts.values.extend(large(&given));
        let created = created(&checked, pinned, given);
        facts.plan = Some(Arc::new(checked.plan));
        let now = Timestamp::from_millis(START);
        let key = RunKey {
            tenant: Tenant::default(),
            run: RunId::new(now, Shard(0), 1),
        };
        let (run, record, _) = Run::create(key, created, None, stamp(now, 0, "Create"));
        Self {
            run,
            records: vec![record.into_record()],
            facts,
            now,
            commands: 0,
            blob_bytes: 0,
        }
    }

    /// The same, taken up by its owner.
    pub(super) fn started(text: &str, inputs: Json) -> Self {
        let mut bench = Self::new(text, inputs);
        bench.wake();
        bench
    }

    /// What a command makes of the run; it is committed, and the fold of all records must be the live run.
    pub(super) fn ask(&mut self, command: Command) -> Result<Vec<Event>, Rejection> {
        self.commands += 1;
        let asked = Asked {
            id: Nonce([self.commands; 16]),
            command,
        };
        let decision = self.run.decide(&asked, &self.facts, self.now)?;
        let bytes = decision.blobs.iter().map(|(_, bytes)| bytes.len()).sum();
        self.blob_bytes = self.blob_bytes.max(bytes);
        for (digest, bytes) in &decision.blobs {
            let json = serde_json::from_slice(bytes).expect("values are JSON");
            self.facts.values.insert(*digest, Arc::new(json));
        }
        if decision.events.is_empty() {
            return Ok(Vec::new());
        }
        let stamp = stamp(self.now, self.commands, asked.command.name());
        let record = self.run.commit(&decision.events, stamp);
        assert!(
            record.encode().len() <= crate::record::RECORD_BYTES_MAX,
            "the record is over its bound"
        );
        self.records.push(record.into_record());
        let folded = Run::fold(
            self.records
                .iter()
                .map(|r| (r.clone(), crate::digest::Digest::of(&r.encode()))),
        );
        assert_eq!(
            folded.as_ref(),
            Ok(&self.run),
            "the fold of the journal is the live run"
        );
        Ok(decision.events)
    }

    pub(super) fn must(&mut self, command: Command) -> Vec<Event> {
        self.ask(command)
            .unwrap_or_else(|r| panic!("refused: {r:?}"))
    }

    pub(super) fn wake(&mut self) -> Vec<Event> {
        self.must(Command::Wake { in_hand: false })
    }

    /// Whatever is left to do now is done.
    pub(super) fn go_on(&mut self) {
        while self.run.due().is_some_and(|due| due <= self.now) {
            assert!(
                !self.wake().is_empty(),
                "a run is due and has nothing to do"
            );
        }
    }

    /// Time passes, and whatever is due is done.
    pub(super) fn later(&mut self, ms: u64) -> Vec<Event> {
        self.now = Timestamp::from_millis(self.now.millis() + ms);
        self.wake()
    }

    pub(super) fn no(&self, name: &str) -> StepNo {
        let step = self.run.state().steps.iter().rev().find(|s| s.name == name);
        step.unwrap_or_else(|| panic!("no step {name}")).no
    }

    pub(super) fn step(&self, name: &str) -> &crate::run::Step {
        &self.run.state().steps[self.no(name).index()]
    }

    pub(super) fn status(&self, name: &str) -> StepStatus {
        self.step(name).status
    }

    pub(super) fn run_status(&self) -> RunStatus {
        self.run.status()
    }

    pub(super) fn code(&self) -> Option<String> {
        let end = self.run.state().head.end.as_ref()?;
        end.failure.as_ref().map(|f| f.code.clone())
    }

    /// Names of the steps whose attempts are owed.
    pub(super) fn owed(&self) -> Vec<String> {
        let owed = self.run.owed();
        owed.map(|o| self.run.state().steps[o.step.index()].name.clone())
            .collect()
    }

    pub(super) fn attempt(&self, name: &str) -> Attempt {
        self.step(name)
            .attempts
            .last()
            .map_or(Attempt(0), |t| t.attempt)
    }

    pub(super) fn value(json: Json) -> Value {
        let labels = Labels::new(Trust::Plugin, "step:x", "default");
        Value::make(&json, labels, INLINE_BYTES_MAX)
            .expect("small")
            .value
    }

    pub(super) fn report(&mut self, name: &str, outcome: Outcome) -> Result<Vec<Event>, Rejection> {
        let (step, attempt) = (self.no(name), self.attempt(name));
        let nonce = self.step(name).attempts.last().and_then(|t| t.nonce);
        self.ask(Command::Report {
            step,
            attempt,
            outcome,
            nonce,
        })
    }

    pub(super) fn succeed(&mut self, name: &str, output: Json) -> Vec<Event> {
        self.report(
            name,
            Outcome::Succeeded {
                output: Self::value(output),
            },
        )
        .expect("a current attempt")
    }

    pub(super) fn fail(&mut self, name: &str, retryable: bool) -> Vec<Event> {
        self.report(
            name,
            Outcome::Failed {
                failure: failure(retryable, false),
            },
        )
        .expect("a current attempt")
    }

    pub(super) fn begin(&mut self, name: &str) -> Result<Vec<Event>, Rejection> {
        let (step, attempt) = (self.no(name), self.attempt(name));
        self.ask(Command::Begin {
            step,
            attempt,
            nonce: Nonce([9; 16]),
            worker: "w1".to_owned(),
        })
    }

    pub(super) fn lose(
        &mut self,
        name: &str,
        begun: bool,
        plugin_dead: bool,
    ) -> Result<Vec<Event>, Rejection> {
        let (step, attempt) = (self.no(name), self.attempt(name));
        self.ask(Command::Lose {
            step,
            attempt,
            begun,
            plugin_dead,
        })
    }

    pub(super) fn decide(
        &mut self,
        name: &str,
        who: &str,
        approve: bool,
    ) -> Result<Vec<Event>, Rejection> {
        let step = self.step(name);
        let consent = step.approval.as_ref().expect("somebody was asked");
        let approval = ApprovalId {
            run: self.run.key().run,
            step: step.no,
            asking: consent.asked.asking,
        };
        let digest = consent.asked.bytes.digest;
        self.ask(Command::Decide {
            approval,
            digest,
            who: principal(who),
            approve,
            comment: None,
            key_id: None,
            signature: None,
        })
    }

    /// It stands in a backup, and the backup is restored.
    pub(super) fn restore(&mut self) {
        self.commands += 1;
        let events = self.run.restored(self.now);
        let stamp = stamp(self.now, self.commands, "Restore");
        let record = self.run.commit(&events, stamp);
        self.records.push(record.into_record());
    }

    pub(super) fn resume(&mut self) -> Vec<Event> {
        self.must(Command::Resume {
            who: principal("erik"),
        })
    }

    pub(super) fn cancel(&mut self) -> Vec<Event> {
        self.must(Command::Cancel {
            who: principal("olga"),
            reason: None,
            if_unchanged: false,
        })
    }
}

/// The inputs that do not stand in the first event.
fn large(given: &serde_json::Map<String, Json>) -> impl Iterator<Item = (Digest, Arc<Json>)> {
    given.values().filter_map(|json| {
        let made = Value::make(json, Labels::default(), INLINE_BYTES_MAX).expect("small");
        made.blob
            .map(|_| (made.value.digest, Arc::new(json.clone())))
    })
}

fn created(
    checked: &language::CheckedWorkflow,
    actions: Vec<PinnedAction>,
    inputs: serde_json::Map<String, Json>,
) -> RunCreated {
    let value = |(name, json): (String, Json)| {
        let labels = Labels::new(Trust::Person, &format!("input:{name}"), "default");
        let made = Value::make(&json, labels, INLINE_BYTES_MAX).expect("small");
        (name, made.value)
    };
    let workflow = &checked.definition;
    RunCreated {
        workflow: Some(WorkflowRef {
            name: workflow.name.clone(),
            revision: 1,
        }),
        definition: workflow.digest(),
        actions,
        inputs: inputs.into_iter().map(value).collect(),
        labels: BTreeMap::new(),
        requester: principal("olga"),
        trigger: Trigger {
            kind: TriggerKind::Api,
            hook: None,
            delivery: None,
            redelivery_of: None,
            fingerprint: None,
            event: None,
        },
        permission: workflow.permission,
        timeout_ms: workflow.timeout.millis(),
        start_by: workflow
            .start_within
            .map(|d| Timestamp::from_millis(START).plus(d)),
        traceparent: None,
        asked: None,
        keys: Vec::new(),
    }
}

fn stamp(at: Timestamp, nonce: u8, command: &str) -> Stamp {
    let cause = Cause {
        id: Nonce([nonce; 16]),
        command: command.to_owned(),
    };
    Stamp {
        at,
        nonce: Nonce([nonce; 16]),
        cause,
    }
}

pub(super) fn failure(retryable: bool, not_made: bool) -> Failure {
    Failure {
        code: "broken".to_owned(),
        message: "it broke".to_owned(),
        retryable,
        not_made,
        step: None,
    }
}

/// The code of a refusal.
pub(super) fn refused(result: Result<Vec<Event>, Rejection>) -> Code {
    match result {
        Err(Rejection::Refused { code, .. }) => code,
        other => panic!("this was to be refused: {other:?}"),
    }
}

pub(super) fn missing(result: Result<Vec<Event>, Rejection>) -> Vec<Missing> {
    match result {
        Err(Rejection::Missing(missing)) => missing,
        other => panic!("this was to miss something: {other:?}"),
    }
}
