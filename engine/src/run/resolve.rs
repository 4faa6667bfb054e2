//! `Resolve`: a person says whether the change of a step in doubt was made.

use crate::code::Code;
use crate::command::Command;
use crate::event::{Event, StepStatus};
use crate::facts::Rejection;
use crate::principal::Permission;
use crate::run::draft::{Decided, Draft, failure};
use crate::run::state::{At, State, Step, Steps};

impl Draft<'_> {
    pub(super) fn resolve(&mut self, command: &Command) -> Decided {
        let Command::Resolve {
            step: name,
            done,
            output,
            comment,
            who,
            attempt,
        } = command
        else {
            return Ok(());
        };
        let step = self.find(name)?;
        let no = step.no;
        if step.at != At::Doubt {
            let message = format!("step {name} is not in doubt: there is nothing to resolve");
            return Err(Rejection::refused(Code::Conflict, message));
        }
        let last = step.last_attempt();
        if attempt.is_some_and(|seen| seen != last) {
            let message =
                format!("step {name} was tried again since: look what became of attempt {last}");
            return Err(Rejection::refused(Code::Conflict, message));
        }
        self.was_seen_in_this_life(step, *done)?;
        let permission = self
            .state
            .action(step)
            .map_or(Permission::Admin, |a| a.permission);
        if !self
            .role(who)?
            .is_some_and(|role| role.may_approve(permission))
        {
            let message = format!("{who} may not say what became of a {permission} step");
            return Err(Rejection::refused(Code::Forbidden, message));
        }
        let resolved = Event::StepResolved {
            step: no,
            done: *done,
            who: who.clone(),
            comment: comment.clone(),
        };
        self.emit(resolved);
        if *done {
            self.succeed(no, output.clone());
        } else if self.head().halted {
            let message = format!("{who} said that the change was not made: {comment}");
            self.end_step(
                no,
                StepStatus::Cancelled,
                failure(Code::ResolvedNotDone, message),
            );
        } else {
            self.dispatch(no);
        }
        self.advance()
    }

    /// Whoever says something of a restored run may have looked before the backup, or too early: what was not made then may
    /// be made by now.
    fn was_seen_in_this_life(&self, step: &Step, done: bool) -> Decided {
        let name = &step.name;
        let over = self.over_elsewhere(step).filter(|over| *over > self.now);
        let why = if self.head().parked.is_some() && step.sure_after < self.head().restores {
            format!(
                "the run was restored from a backup and is parked: resume it, then look what became of step {name}"
            )
        } else if let (false, Some(over)) = (done, over) {
            format!(
                "a call of step {name} that was made after the backup may be under way until {over}: look again after that"
            )
        } else {
            return Ok(());
        };
        Err(Rejection::refused(Code::Conflict, why))
    }

    fn find(&self, name: &str) -> Decided<&Step> {
        self.state.named_or_open(name).ok_or_else(|| {
            Rejection::refused(Code::NotFound, format!("the run has no step {name}"))
        })
    }
}

impl<S: Steps> State<S> {
    /// The step of that name: one that was written, or an item that is open.
    #[must_use]
    pub fn named_or_open(&self, name: &str) -> Option<&Step> {
        let open = || self.head.open.iter().filter_map(|no| self.steps.get(*no));
        self.named(name)
            .or_else(|| open().find(|step| step.name == name))
    }
}
