//! `Cancel`: a person, or an alert that resolved.

use crate::code::Code;
use crate::event::Section;
use crate::principal::Principal;
use crate::run::draft::{Decided, Draft};

impl Draft<'_> {
    pub(super) fn cancel(
        &mut self,
        who: &Principal,
        reason: Option<&str>,
        if_unchanged: bool,
    ) -> Decided {
        let head = self.head();
        // What a restored run has changed since its backup, nobody here knows.
        if if_unchanged && (head.changed || head.restores > 0) {
            return Ok(());
        }
        if head.cancelled && (head.halted || head.section == Section::Steps) {
            return Ok(());
        }
        let code = if if_unchanged {
            Code::AlertResolved
        } else {
            Code::Cancelled
        };
        self.stop_for(who, reason.map(str::to_owned), code)
    }
}
