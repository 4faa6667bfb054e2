//! What a plan is: what is written, what people do, and what must come of it, whoever dies when.

use super::people::Cue;

/// A plan, and what must come of it.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// What follows `workflow: NAME`.
    pub(crate) text: &'static str,
    pub(crate) cues: &'static [Cue],
    /// `STATUS by CODE: STEP STATUS, …`, items left out; `|` parts what may both be right.
    pub(crate) ends: &'static str,
    /// What it answers, where that is the same whatever happens.
    pub(crate) outputs: &'static str,
    /// What is special about it.
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A person starts a workflow that is saved.
    Saved,
    /// A person calls an action.
    AdHoc,
    /// An alert starts it.
    Alert,
    /// Nobody goes and looks what became of a change.
    NobodyLooks,
}

/// A plan that a person starts, and that nobody touches.
pub(crate) const fn plan(name: &'static str, text: &'static str, ends: &'static str) -> Plan {
    Plan {
        name,
        text,
        cues: &[],
        ends,
        outputs: "",
        kind: Kind::Saved,
    }
}

impl Plan {
    /// What people do about it.
    pub(crate) const fn cues(self, cues: &'static [Cue]) -> Self {
        Self { cues, ..self }
    }

    /// What it answers.
    pub(crate) const fn outputs(self, outputs: &'static str) -> Self {
        Self { outputs, ..self }
    }

    /// What is special about it.
    pub(crate) const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}
