//! A decision in the making: the events so far, and the state as they leave it.
//!
//! The steps of the run stay where they are; a step is copied when an event first changes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::digest::Digest;
use crate::event::{Event, Failure};
use crate::expression::Budget;
use crate::facts::{Facts, Missing, Rejection};
use crate::id::StepNo;
use crate::plan::{Plan, PlanStep};
use crate::run::state::{Head, State, Step, Steps};
use crate::time::Timestamp;
use crate::value::{INLINE_BYTES_MAX_LONG, Labels, Made, Value};

/// A decision stops adding steps when its events have grown to this, and goes on at the next wake: half a record.
const EVENT_BYTES_MAX: usize = crate::record::RECORD_BYTES_MAX / 2;

/// A decision stops adding steps when the values that it makes have grown to this, too, and makes no more than twice
/// as much: they are all in memory until the record is stored.
const VALUE_BYTES_ENOUGH: usize = 16 * 1024 * 1024;

/// All expressions of one step together take no more evaluation steps, its `for_each` and keys included; the same for
/// `vars` and for `outputs`: half a second, in which the owner of the run does nothing else.
const STEPS_MAX: u64 = 5 * crate::expression::STEPS_MAX;
/// A decision begins no further step when its expressions have taken so many.
const STEPS_ENOUGH: u64 = 2 * crate::expression::STEPS_MAX;

/// The steps of a run with the changed ones laid over them.
pub(crate) struct Overlay<'a> {
    base: &'a [Step],
    changed: BTreeMap<usize, Step>,
    added: Vec<Step>,
}

impl Steps for Overlay<'_> {
    fn get(&self, step: StepNo) -> Option<&Step> {
        let index = step.index();
        match index.checked_sub(self.base.len()) {
            Some(place) => self.added.as_slice().get(place),
            None => self.changed.get(&index).or_else(|| self.base.get(index)),
        }
    }

    fn get_mut(&mut self, step: StepNo) -> Option<&mut Step> {
        let index = step.index();
        match index.checked_sub(self.base.len()) {
            Some(place) => self.added.as_mut_slice().get_mut(place),
            None => {
                let base = self.base.get(index)?;
                Some(self.changed.entry(index).or_insert_with(|| base.clone()))
            }
        }
    }

    fn push(&mut self, step: Step) {
        self.added.push(step);
    }

    fn count(&self) -> usize {
        self.base.len() + self.added.len()
    }
}

/// What comes out of a decision that cannot be made, or nothing.
pub(crate) type Decided<T = ()> = Result<T, Rejection>;

/// A decision in the making.
pub(crate) struct Draft<'a> {
    pub(crate) state: State<Overlay<'a>>,
    pub(crate) facts: &'a Facts,
    pub(crate) plan: &'a Plan,
    pub(crate) now: Timestamp,
    pub(crate) events: Vec<Event>,
    pub(crate) blobs: Vec<(Digest, Vec<u8>)>,
    inline_max: usize,
    bytes: usize,
    inlined: usize,
    blob_bytes: usize,
    /// Values of `blobs` that are looked at again.
    read: BTreeMap<Digest, Arc<Json>>,
    /// What the expressions of the step at hand may still cost.
    pub(super) budget: Budget,
    /// What those before it cost.
    spent: u64,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(
        base: &'a State<Vec<Step>>,
        facts: &'a Facts,
        now: Timestamp,
        inline_max: usize,
    ) -> Decided<Self> {
        let definition = base.head.created.definition;
        let plan = facts.plan.as_deref().filter(|p| p.digest == definition);
        let plan = plan.ok_or_else(|| Rejection::missing(Missing::Plan(definition)))?;
        let steps = Overlay {
            base: &base.steps,
            changed: BTreeMap::new(),
            added: Vec::new(),
        };
        let state = State {
            head: base.head.clone(),
            steps,
        };
        Ok(Self {
            state,
            facts,
            plan,
            now,
            events: Vec::new(),
            blobs: Vec::new(),
            inline_max,
            bytes: 0,
            inlined: 0,
            blob_bytes: 0,
            read: BTreeMap::new(),
            budget: Budget::new(STEPS_MAX),
            spent: 0,
        })
    }

    /// Decides `event`.
    pub(crate) fn emit(&mut self, event: Event) {
        if !self.state.head.questions.is_empty() {
            self.silence(&event);
        }
        self.state.apply(&event, self.now);
        self.bytes += minicbor::len(&event);
        self.events.push(event);
    }

    /// Whether the record has no room for another step.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes > EVENT_BYTES_MAX
            || self.blob_bytes > VALUE_BYTES_ENOUGH
            || self.spent() > STEPS_ENOUGH
    }

    fn spent(&self) -> u64 {
        self.spent + STEPS_MAX - self.budget.left()
    }

    /// What comes next is computed with a budget of its own.
    pub(super) fn renew_budget(&mut self) {
        self.spent = self.spent();
        self.budget = Budget::new(STEPS_MAX);
    }

    /// Whether the events are more than one record may hold.
    pub(crate) fn is_over(&self) -> bool {
        self.bytes > crate::record::EVENT_BYTES_MAX
    }

    /// Up to how many bytes a value stands in its event: the values of one event share the room of a record.
    fn inline_max(&self) -> usize {
        if self.inlined > EVENT_BYTES_MAX {
            self.inline_max.min(INLINE_BYTES_MAX_LONG)
        } else {
            self.inline_max
        }
    }

    pub(crate) fn head(&self) -> &Head {
        &self.state.head
    }

    /// A step that is known to exist.
    pub(crate) fn step(&self, no: StepNo) -> &Step {
        self.state
            .steps
            .get(no)
            .expect("its number came out of this state")
    }

    /// What is written about a step; of an item, about its fan-out.
    pub(crate) fn written(&self, no: StepNo) -> &'a PlanStep {
        let step = self.step(no);
        let holder = step.item().map_or(step, |(of, _)| self.step(of));
        let (section, index) = holder.written().expect("a fan-out is written");
        &self.plan.section(section)[index as usize]
    }

    /// A value for an event; the bytes of a large one are put beside the events.
    pub(crate) fn value(&mut self, json: &Json, labels: Labels) -> Result<Value, Failure> {
        let made = Value::make(json, labels, self.inline_max());
        let value = self.keep(made.map_err(|e| limit(e.to_string()))?);
        if self.blob_bytes > 2 * VALUE_BYTES_ENOUGH {
            return Err(limit(format!(
                "the values that are made at once are together more than {} MiB",
                2 * VALUE_BYTES_ENOUGH / 1024 / 1024
            )));
        }
        Ok(value)
    }

    /// The same of a value that is looked at again in this decision: it is not read anew each time.
    pub(crate) fn lasting_value(&mut self, json: Json, labels: Labels) -> Result<Value, Failure> {
        let value = self.value(&json, labels)?;
        if value.inline.is_none() {
            self.read.insert(value.digest, Arc::new(json));
        }
        Ok(value)
    }

    /// The value of `made`; its bytes are put beside the events where they are too many to stand in one.
    pub(crate) fn keep(&mut self, made: Made) -> Value {
        let Made { mut value, blob } = made;
        let inline_max = self.inline_max();
        let moved = value.inline.take_if(|bytes| bytes.len() > inline_max);
        self.inlined += value.inline.as_ref().map_or(0, |bytes| bytes.len());
        if let Some(bytes) = blob.or_else(|| moved.map(Vec::from))
            && !self.blobs.iter().any(|(known, _)| *known == value.digest)
        {
            self.blob_bytes += bytes.len();
            self.blobs.push((value.digest, bytes));
        }
        value
    }

    /// The JSON of a value, or what must be fetched.
    pub(super) fn json_of(&self, value: &Value) -> Decided<Json> {
        Ok(Arc::unwrap_or_clone(self.shared(value)?))
    }

    /// The same, shared: what is large is not copied.
    pub(super) fn shared(&self, value: &Value) -> Decided<Arc<Json>> {
        if let Some(json) = self.facts.values.get(&value.digest) {
            return Ok(json.clone());
        }
        if let Some(json) = value.inline_json() {
            return Ok(Arc::new(json));
        }
        if let Some(json) = self.read.get(&value.digest) {
            return Ok(json.clone());
        }
        let made = self.blobs.iter().find(|(made, _)| *made == value.digest);
        let made = made.ok_or_else(|| Rejection::missing(Missing::Value(value.digest)))?;
        Ok(Arc::new(
            serde_json::from_slice(&made.1).unwrap_or(Json::Null),
        ))
    }

    /// Whether the JSON of a value is at hand.
    pub(super) fn is_known(&self, value: &Value) -> bool {
        value.inline.is_some()
            || self.facts.values.contains_key(&value.digest)
            || self.blobs.iter().any(|(made, _)| *made == value.digest)
    }

    /// The bytes of a value: inline, made in this decision, or from the facts.
    pub(crate) fn bytes_of(&self, value: &Value) -> Decided<Vec<u8>> {
        if let Some(inline) = &value.inline {
            return Ok(inline.to_vec());
        }
        if let Some((_, bytes)) = self
            .blobs
            .iter()
            .find(|(digest, _)| *digest == value.digest)
        {
            return Ok(bytes.clone());
        }
        let json = self.facts.values.get(&value.digest);
        let json = json.ok_or_else(|| Rejection::missing(Missing::Value(value.digest)))?;
        Ok(crate::value::canonical(json))
    }
}

/// The failure of a bound.
pub(crate) fn limit(message: String) -> Failure {
    failure(crate::code::Code::Limit, message)
}

/// A failure that trying again does not help.
pub(crate) fn failure(code: crate::code::Code, message: impl Into<String>) -> Failure {
    Failure {
        code: code.as_str().to_owned(),
        message: message.into(),
        retryable: false,
        not_made: false,
        step: None,
    }
}
