//! `Cancel`: a person, or an alert that resolved.

use crate::code::Code;
use crate::event::{RunStatus, Section};
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
        if if_unchanged && head.changed {
            return Ok(());
        }
        let already = head
            .stop
            .as_ref()
            .is_some_and(|s| s.status == RunStatus::Cancelled);
        if already && (head.halted || head.section == Section::Steps) {
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
