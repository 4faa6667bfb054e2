//! Defects that tests plant in the product, to show which invariant of the simulation catches each.
//!
//! None of this exists unless the compiler is told `--cfg planted`, and each defect's place only with its name; which
//! one is in force is then chosen per thread, so that one build serves all of them. `docs/decisions` has the reasons.

use std::cell::Cell;

thread_local! {
    static IN_FORCE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// From now on this defect is in force on this thread, or none.
pub fn plant(defect: Option<&'static str>) {
    IN_FORCE.set(defect);
}

/// Whether this defect is in force on this thread.
#[must_use]
pub fn is(defect: &str) -> bool {
    IN_FORCE.get() == Some(defect)
}
