//! Creating runs: the first record, durable before anybody is told.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::digest::Digest;
use engine::duration;
use engine::event::{Event, Failure, PinnedAction, RunCreated, Trigger, WorkflowRef};
use engine::id::RunKey;
use engine::key::CREATE_WITHIN_MS;
use engine::principal::{Permission, Principal};
use engine::record::{Cause, Encoded, Record};
use engine::run::{Run, Stamp};
use engine::value::{INLINE_BYTES_MAX, INLINE_BYTES_MAX_LONG, Labels, Made, Value};
use serde_json::{Map, Value as Json};
use tokio::time::sleep;

use crate::gate::Gate;
use crate::plans::{Ready, Unready};
use crate::problem::Problem;

/// A hook's run that has not started after this is stale, unless its workflow says otherwise.
const START_WITHIN: duration::Duration = duration::Duration::from_secs(3_600);
/// Inputs that are larger together stand in `Blobs`, so that the first record stays under its bound.
const INPUTS_INLINE_MAX: usize = 128 * 1024;
/// The event of a delivery stands in the first record up to this.
pub(crate) const EVENT_INLINE_MAX: usize = 64 * 1024;
/// A store that does not answer is asked for so long; then 503.
const RETRY_FOR: Duration = Duration::from_secs(5);

/// What a run is made of.
pub(crate) struct Order {
    pub(crate) created: RunCreated,
    /// Values that do not stand in the record.
    pub(crate) blobs: Vec<(Digest, Vec<u8>)>,
    /// The run has ended with it: an event is never swallowed.
    pub(crate) failure: Option<Failure>,
}

/// What is asked for, apart from the workflow.
pub(crate) struct Asking {
    pub(crate) inputs: Labelled,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) requester: Principal,
    pub(crate) trigger: Trigger,
    pub(crate) traceparent: Option<String>,
    /// Of the body, where a key compares it.
    pub(crate) asked: Option<Digest>,
    /// The keys that lead to the run.
    pub(crate) keys: Vec<String>,
}

/// Values with their labels, and the bytes of the large ones.
#[derive(Clone, Default)]
pub(crate) struct Labelled {
    pub(crate) values: BTreeMap<String, Value>,
    pub(crate) blobs: Vec<(Digest, Vec<u8>)>,
}

impl Labelled {
    /// `inputs`, each with its labels.
    ///
    /// # Errors
    /// 413 when one is over 4 MiB.
    pub(crate) fn new(
        inputs: &Map<String, Json>,
        labels: impl Fn(&str) -> Labels,
    ) -> Result<Self, Problem> {
        let all = |inline_max| {
            let mut made = Self::default();
            for (name, json) in inputs {
                let value = Value::make(json, labels(name), inline_max)
                    .map_err(|e| Problem::too_large(format!("the input {name}: {e}")))?;
                made.keep(name, value);
            }
            Ok(made)
        };
        let made = all(INLINE_BYTES_MAX)?;
        if made.inline_bytes() <= INPUTS_INLINE_MAX {
            return Ok(made);
        }
        all(INLINE_BYTES_MAX_LONG)
    }

    fn keep(&mut self, name: &str, made: Made) {
        if let Some(bytes) = made.blob {
            self.blobs.push((made.value.digest, bytes));
        }
        self.values.insert(name.to_owned(), made.value);
    }

    fn inline_bytes(&self) -> usize {
        let inline = self.values.values().filter_map(|v| v.inline.as_ref());
        inline.map(|bytes| bytes.len()).sum()
    }
}

impl Order {
    /// A run of a workflow.
    pub(crate) fn of_workflow(ready: &Ready, asking: Asking, now: engine::time::Timestamp) -> Self {
        let workflow = &ready.plan.workflow;
        let mut labels = workflow.labels.clone();
        labels.extend(asking.labels);
        let from_hook = asking.trigger.hook.is_some();
        let start_within = workflow.start_within.or(from_hook.then_some(START_WITHIN));
        Self {
            created: RunCreated {
                workflow: Some(WorkflowRef {
                    name: ready.name.clone(),
                    revision: ready.revision,
                }),
                definition: ready.plan.digest,
                actions: ready.actions.clone(),
                inputs: asking.inputs.values,
                labels,
                requester: asking.requester,
                trigger: asking.trigger,
                permission: workflow.permission,
                timeout_ms: workflow.timeout.millis(),
                start_by: start_within.map(|within| now.plus(within)),
                traceparent: asking.traceparent,
                asked: asking.asked,
                keys: asking.keys,
            },
            blobs: asking.inputs.blobs,
            failure: None,
        }
    }

    /// A run that has ended before it began, of a workflow that may not even be startable.
    pub(crate) fn failed(
        made: &Result<std::sync::Arc<Ready>, Unready>,
        asking: Asking,
        failure: Failure,
    ) -> Self {
        let (name, revision, definition) = match made {
            Ok(ready) => (&ready.name, ready.revision, ready.plan.digest),
            Err(unready) => (&unready.name, unready.revision, unready.digest),
        };
        let actions: Vec<PinnedAction> = match made {
            Ok(ready) => ready.actions.clone(),
            Err(_) => Vec::new(),
        };
        Self {
            created: RunCreated {
                workflow: Some(WorkflowRef {
                    name: name.clone(),
                    revision,
                }),
                definition,
                actions,
                inputs: asking.inputs.values,
                labels: asking.labels,
                requester: asking.requester,
                trigger: asking.trigger,
                permission: Permission::Read,
                timeout_ms: 0,
                start_by: None,
                traceparent: asking.traceparent,
                asked: asking.asked,
                keys: asking.keys,
            },
            blobs: asking.inputs.blobs,
            failure: Some(failure),
        }
    }
}

impl Gate {
    /// Appends the first record of a run. Answers the run that this call has made, as it is then; `None`: it was there.
    ///
    /// # Errors
    /// 503 when the store does not take it; the run may exist all the same.
    pub(crate) async fn create(
        &self,
        key: &RunKey,
        order: Order,
    ) -> Result<Option<Box<Run>>, Problem> {
        for (digest, bytes) in &order.blobs {
            self.backend.blobs.put(key, *digest, bytes).await?;
        }
        let random = &self.backend.random;
        let stamp = Stamp {
            at: self.now(),
            nonce: random.nonce(),
            cause: Cause {
                id: random.nonce(),
                command: "Create".to_owned(),
            },
        };
        let (run, record, events) = Run::create(key.clone(), order.created, order.failure, stamp);
        let made = self.append_first(key, &record, &events).await?;
        Ok(made.then(|| Box::new(run)))
    }

    async fn append_first(
        &self,
        key: &RunKey,
        record: &Encoded,
        events: &[Event],
    ) -> Result<bool, Problem> {
        if engine::planted!("accept_before_commit") {
            let (backend, record, events) = (self.backend.clone(), record.clone(), events.to_vec());
            let append = async move { backend.journal.append(&record, &events).await.is_ok() };
            self.tasks.spawn(append);
            return Ok(true);
        }
        let mut pause = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        loop {
            if !self.may_create(key.run) {
                let late = "creating the run took too long for its id: send the request again";
                return Err(Problem::unavailable(late));
            }
            match self.backend.journal.append(record, events).await {
                Ok(()) => return Ok(true),
                // After an ambiguous answer the conflict may be with ourselves: then it is ours.
                Err(store::Error::Conflict(_)) if waited.is_zero() => return Ok(false),
                Err(store::Error::Conflict(_)) => return self.is_ours(key, record).await,
                Err(store::Error::Unavailable(_)) if waited < RETRY_FOR => {
                    sleep(pause).await;
                    waited += pause;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn is_ours(&self, key: &RunKey, record: &Record) -> Result<bool, Problem> {
        let entries = self.backend.journal.read(key, 0).await?;
        Ok(entries
            .first()
            .is_some_and(|entry| entry.record.nonce == record.nonce))
    }

    /// Whether a run has a first record.
    ///
    /// # Errors
    /// 503.
    pub(crate) async fn exists(&self, key: &RunKey) -> Result<bool, Problem> {
        match self.backend.journal.read(key, 0).await {
            Ok(entries) => Ok(!entries.is_empty()),
            // A damaged run is there.
            Err(store::Error::Corrupt(_)) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a run of that id may still be created. After that, whoever finds its key without a run plans another id,
    /// and both must not become runs. What was planned in another life of the data may have been a run then.
    pub(crate) fn may_create(&self, run: engine::id::RunId) -> bool {
        let planned = run.created_at();
        let in_this_life = self.parts.life_began.is_none_or(|began| planned >= began);
        in_this_life && self.now().millis_since(planned) < CREATE_WITHIN_MS
    }
}
