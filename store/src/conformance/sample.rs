//! Runs to be stored: as small as they can be, and legal.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::approval::Approval;
use engine::definition::{OnReject, OnTimeout};
use engine::digest::Digest;
use engine::event::{
    ApprovalRequested, ApprovalState, Event, Failure, RunCreated, RunStatus, Trigger, TriggerKind,
    WorkflowRef,
};
use engine::id::{Nonce, RunId, RunKey, Shard, StepNo, Tenant};
use engine::manifest::ActionName;
use engine::principal::{Permission, Principal, Role};
use engine::record::{Cause, Encoded, FORMAT, Record, Summary, encode_events};
use engine::time::Timestamp;
use engine::value::{INLINE_BYTES_MAX, Labels, Value};

/// A run that grows record by record, as its owner would let it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which run.
    pub key: RunKey,
    /// Its records so far, with their events.
    pub records: Vec<(Encoded, Vec<Event>)>,
    /// What time it is for the next record; without it, a second after the last.
    pub now: Option<Timestamp>,
}

/// What a sample run is created with.
#[derive(Clone, Debug)]
pub struct Birth {
    /// Whose.
    pub tenant: Tenant,
    /// In which shard.
    pub shard: Shard,
    /// When: in its id, and in its first record.
    pub at: Timestamp,
    /// Tells runs of the same moment apart.
    pub number: u64,
    /// Its workflow; `None` for an ad-hoc call.
    pub workflow: Option<&'static str>,
    /// Its labels.
    pub labels: Vec<(&'static str, &'static str)>,
    /// Who asked.
    pub requester: Principal,
    /// Its hook, with the delivery's id.
    pub hook: Option<(&'static str, String)>,
    /// The alert that it is for.
    pub fingerprint: Option<&'static str>,
}

impl Birth {
    /// Run `number` of the default tenant in shard 0, a second after the run before.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self {
            tenant: Tenant::default(),
            shard: Shard(0),
            at: Timestamp::from_millis(1_800_000_000_000 + number * 1_000),
            number,
            workflow: Some("hello"),
            labels: Vec::new(),
            requester: Principal::Key("sample".to_owned()),
            hook: None,
            fingerprint: None,
        }
    }

    fn created(&self) -> RunCreated {
        let kind = if self.hook.is_some() {
            TriggerKind::Hook
        } else {
            TriggerKind::Api
        };
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        RunCreated {
            workflow: self.workflow.map(|name| WorkflowRef {
                name: name.to_owned(),
                revision: 3,
            }),
            definition: Digest::of(b"definition"),
            actions: Vec::new(),
            inputs: BTreeMap::new(),
            labels: self.labels.iter().map(owned).collect(),
            requester: self.requester.clone(),
            trigger: Trigger {
                kind,
                hook: self.hook.as_ref().map(|(hook, _)| (*hook).to_owned()),
                delivery: self.hook.as_ref().map(|(_, delivery)| delivery.clone()),
                redelivery_of: None,
                fingerprint: self.fingerprint.map(str::to_owned),
                event: None,
            },
            permission: Permission::Read,
            timeout_ms: 60_000,
            start_by: None,
            traceparent: None,
            asked: None,
            keys: Vec::new(),
        }
    }
}

impl Sample {
    /// A run with its first record.
    #[must_use]
    pub fn born(birth: &Birth) -> Self {
        Self::born_with(birth, RunStatus::Queued, Vec::new())
    }

    /// A run whose first record has more than its creation.
    #[must_use]
    pub fn born_with(birth: &Birth, status: RunStatus, more: Vec<Event>) -> Self {
        let key = RunKey {
            tenant: birth.tenant.clone(),
            run: RunId::new(birth.at, birth.shard, birth.number),
        };
        let mut run = Self {
            key,
            records: Vec::new(),
            now: None,
        };
        let mut events = vec![Event::RunCreated(Arc::new(birth.created()))];
        events.extend(more);
        run.add(birth.at, status, events);
        run
    }

    /// Its last record with its events.
    ///
    /// # Panics
    /// Never: a sample has at least one.
    #[must_use]
    pub fn last(&self) -> (&Encoded, &[Event]) {
        let (record, events) = self.records.last().expect("it was born with one");
        (record, events)
    }

    /// The hash of its last record.
    ///
    /// # Panics
    /// Never: a sample has at least one.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.last().0.hash()
    }

    /// The next record.
    pub fn next(&mut self, status: RunStatus, events: Vec<Event>) -> &mut Self {
        let last = self.last().0.at;
        let later = Timestamp::from_millis(last.millis() + 1_000);
        self.add(self.now.map_or(later, |now| now.max(last)), status, events);
        self
    }

    /// Its owner takes it up.
    pub fn start(&mut self) -> &mut Self {
        let vars = BTreeMap::new();
        self.next(RunStatus::Running, vec![Event::RunStarted { vars }])
    }

    /// It ends well, or fails with a code.
    pub fn end(&mut self, code: Option<&str>) -> &mut Self {
        let status = if code.is_some() {
            RunStatus::Failed
        } else {
            RunStatus::Succeeded
        };
        let failure = code.map(failure);
        let outputs = BTreeMap::new();
        self.next(
            status,
            vec![Event::RunEnded {
                status,
                outputs,
                failure,
            }],
        )
    }

    /// People are asked about step 0, by these terms.
    pub fn ask(&mut self, asking: u32, terms: &Terms) -> &mut Self {
        let asked = asked(&self.key, asking, terms, self.last().0.at);
        let event = Event::ApprovalRequested(Box::new(asked));
        self.next(RunStatus::Waiting, vec![event])
    }

    /// The approval of step 0 is closed, and the run goes on.
    pub fn close(&mut self, state: ApprovalState) -> &mut Self {
        let (step, reason) = (StepNo(0), None);
        let event = Event::ApprovalClosed {
            step,
            state,
            reason,
            asking: None,
        };
        self.next(RunStatus::Running, vec![event])
    }

    /// A small run from its birth to its end, in three records.
    #[must_use]
    pub fn whole(birth: &Birth) -> Self {
        let mut run = Self::born(birth);
        run.start().end(None);
        run
    }

    fn add(&mut self, at: Timestamp, status: RunStatus, events: Vec<Event>) {
        let n = self.records.len() as u64 + 1;
        let tail = self.key.run.as_bytes()[15];
        let last = self.records.last();
        let due = (!status.is_end()).then(|| Timestamp::from_millis(at.millis() + 60_000));
        let record = Record {
            format: FORMAT,
            key_id: None,
            codec: 0,
            key: self.key.clone(),
            n,
            prev_hash: last.map_or(Digest::ZERO, |(record, _)| record.hash()),
            at,
            nonce: Nonce((u128::from(n) << 8 | u128::from(tail)).to_be_bytes()),
            cause: Cause {
                id: Nonce([7; 16]),
                command: "Wake".to_owned(),
            },
            summary: Summary {
                status,
                due,
                owes: status == RunStatus::Running,
            },
            payload: encode_events(&events),
        };
        self.records.push((Encoded::of(record), events));
    }
}

/// Who may decide about a sample's approval.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What the step does.
    pub permission: Permission,
    /// Which roles may decide.
    pub by: Vec<Role>,
    /// Whether the requester may not.
    pub not_requester: bool,
    /// Bytes of the parameters: above 8 KiB they go into `Blobs`.
    pub size: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            permission: Permission::Modify,
            by: Vec::new(),
            not_requester: false,
            size: 10,
        }
    }
}

/// The bytes that people consent to in a sample with these terms.
#[must_use]
pub fn consent(key: &RunKey, asking: u32, terms: &Terms, at: Timestamp) -> Vec<u8> {
    let approval = Approval {
        kind: engine::approval::TYPE.to_owned(),
        tenant: key.tenant.clone(),
        run: key.run,
        step: "silence".to_owned(),
        asking,
        action: action(),
        permission: terms.permission,
        manifest: Digest::of(b"manifest"),
        calls: vec![engine::approval::ApprovedCall {
            key: None,
            params: "x".repeat(terms.size),
            secrets: Vec::new(),
            sources: BTreeMap::new(),
            time_range: None,
        }],
        timeout_ms: 1_000,
        settings: 1,
        environment: None,
        compensate: None,
        workflow: Some(WorkflowRef {
            name: "hello".to_owned(),
            revision: 3,
        }),
        definition: Digest::of(b"definition"),
        requester: Principal::Key("sample".to_owned()),
        by: terms.by.clone(),
        quorum: 1,
        not_requester: terms.not_requester,
        expires_at: expires(at),
    };
    approval.bytes()
}

fn asked(key: &RunKey, asking: u32, terms: &Terms, at: Timestamp) -> ApprovalRequested {
    let bytes = consent(key, asking, terms, at);
    let digest = Digest::of(&bytes);
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let fits = bytes.len() <= INLINE_BYTES_MAX;
    ApprovalRequested {
        step: StepNo(0),
        asking,
        bytes: Value {
            digest,
            size,
            labels: Labels::default(),
            inline: fits.then(|| bytes.into()),
        },
        permission: terms.permission,
        by: terms.by.clone(),
        quorum: 1,
        not_requester: terms.not_requester,
        expires_at: expires(at),
        on_reject: OnReject::Stop,
        on_timeout: OnTimeout::Reject,
    }
}

fn expires(at: Timestamp) -> Timestamp {
    Timestamp::from_millis(at.millis() + 3_600_000)
}

fn action() -> ActionName {
    ActionName {
        agent: "alertmanager".to_owned(),
        action: "create_silence".to_owned(),
    }
}

/// A failure with this code.
#[must_use]
pub fn failure(code: &str) -> Failure {
    Failure {
        code: code.to_owned(),
        message: format!("it failed: {code}"),
        retryable: false,
        not_made: false,
        step: None,
    }
}
