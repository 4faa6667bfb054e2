//! What must hold after everything that happens: the invariants that exist by now, one in each file.

mod authority;
mod bounds;
mod cancel;
mod conservation;
mod dependencies;
mod effect_once;
mod fencing;
mod legal_states;
mod lists;
mod losable_memory;
mod pinning;
mod poison;
mod questions;
mod second_life;
mod time;
mod values;
mod write_ahead;

use engine::event::Event;
use engine::id::StepNo;

use crate::judge::{Known, Moment};

/// What an invariant knows goes back with the store that it is about.
pub(crate) trait Keep {
    /// As it is now.
    fn keep(&self) -> Box<dyn Invariant>;
}

impl<T: Invariant + Clone + 'static> Keep for T {
    fn keep(&self) -> Box<dyn Invariant> {
        Box::new(self.clone())
    }
}

/// Something that must hold at any time.
pub(crate) trait Invariant: Keep + Send {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Looks at what just happened.
    ///
    /// # Errors
    /// What does not hold.
    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String>;
}

/// All of them.
pub(crate) fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(conservation::Conservation::default()),
        Box::new(fencing::Fencing::default()),
        Box::new(effect_once::EffectOnce::default()),
        Box::new(write_ahead::WriteAhead::default()),
        Box::new(legal_states::LegalStates),
        Box::new(losable_memory::LosableMemory),
        Box::new(dependencies::Dependencies::default()),
        Box::new(pinning::Pinning),
        Box::new(time::Time::default()),
        Box::new(values::Values),
        Box::new(cancel::Cancel::default()),
        Box::new(poison::Poison::default()),
        Box::new(bounds::Bounds::default()),
        Box::new(authority::Authority::default()),
        Box::new(questions::Questions::default()),
        Box::new(second_life::SecondLife::default()),
        Box::new(lists::Lists),
    ]
}

/// Fails with a sentence unless it holds.
pub(crate) fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The step whose outcome an event is.
pub(crate) fn outcome_of(event: &Event) -> Option<StepNo> {
    if let Event::StepSucceeded { step, .. }
    | Event::StepEnded { step, .. }
    | Event::StepSkipped { step, .. } = event
    {
        return Some(*step);
    }
    None
}
