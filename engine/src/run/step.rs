//! One step, from its beginning.

use crate::duration::Duration;
use crate::event::{Origin, Section, StepStatus};
use crate::id::StepNo;
use crate::run::state::{At, Step};

impl Step {
    /// A step that was just added.
    pub(super) fn new(no: StepNo, name: &str, origin: &Origin) -> Self {
        Self {
            no,
            name: name.to_owned(),
            origin: origin.clone(),
            status: StepStatus::Pending,
            at: At::Nothing,
            unmet: 0,
            dependents: Vec::new(),
            call: None,
            approval: None,
            questions: Vec::new(),
            fan_out: None,
            attempts: Vec::new(),
            failed_tries: 0,
            lost: 0,
            vague_lookups: 0,
            unknown_since: None,
            unknown_wait: Duration::default(),
            unknown_from: None,
            sure_after: 0,
            output: None,
            failure: None,
            skipped: None,
            started_at: None,
            ended_at: None,
        }
    }

    /// The section that it is written in; of an item, the section of its fan-out is the present one.
    #[must_use]
    pub fn written(&self) -> Option<(Section, u32)> {
        match &self.origin {
            Origin::Written { section, index, .. } => Some((*section, *index)),
            Origin::Item { .. } => None,
        }
    }

    /// The fan-out that it is an item of, and its place there.
    #[must_use]
    pub fn item(&self) -> Option<(StepNo, u32)> {
        match self.origin {
            Origin::Written { .. } => None,
            Origin::Item { of, index } => Some((of, index)),
        }
    }

    /// The number of the last attempt, 0 when there was none.
    #[must_use]
    pub fn last_attempt(&self) -> u32 {
        self.attempts.last().map_or(0, |t| t.attempt.0)
    }
}
