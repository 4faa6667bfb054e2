//! The door of the run machine: which command goes where.

use crate::code::Code;
use crate::command::{Asked, Command};
use crate::event::Event;
use crate::facts::{Facts, Rejection};
use crate::record::{JOURNAL_BYTES_MAX, JOURNAL_EVENTS_MAX};
use crate::run::draft::{Decided, Draft, limit};
use crate::run::{Decision, Run};
use crate::time::Timestamp;

impl Run {
    /// What `asked` makes of the run at `now`: its events, or why not. No events: there is nothing to do, or it is so
    /// already. Changes nothing.
    ///
    /// # Errors
    /// [`Rejection::Missing`]: look these up and ask again. [`Rejection::Stale`]: a report of an attempt that is not the
    /// current one. [`Rejection::Refused`]: the state or the rules do not allow it.
    pub fn decide(
        &self,
        asked: &Asked,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        if self.commands.contains(&asked.id) {
            return Ok(Decision::default());
        }
        if self.state.head.end.is_some() {
            if self.state.is_decided(&asked.command) {
                return Ok(Decision::default());
            }
            return after_the_end(&asked.command);
        }
        let now = now.max(self.at);
        let mut draft = Draft::new(&self.state, facts, now, self.inline_bytes_max())?;
        if self.bytes > JOURNAL_BYTES_MAX || self.events > JOURNAL_EVENTS_MAX {
            draft.give_up(limit(
                "the run's journal is over its bounds (32 MiB, 200,000 events)".to_owned(),
            ));
        } else {
            decide(&mut draft, &asked.command)?;
        }
        if draft.is_over() {
            let message = format!(
                "what follows from {} is more than one record holds (512 KiB): make its names, keys or values fewer or shorter",
                asked.command.name()
            );
            draft = Draft::new(&self.state, facts, now, self.inline_bytes_max())?;
            draft.give_up(limit(message));
        }
        Ok(Decision {
            events: draft.events,
            blobs: draft.blobs,
        })
    }
}

fn decide(draft: &mut Draft<'_>, command: &Command) -> Decided {
    match command {
        Command::Wake { in_hand } => draft.wake(*in_hand),
        Command::Begin {
            step,
            attempt,
            nonce,
            worker,
        } => draft.begin(*step, *attempt, *nonce, worker),
        Command::Report {
            step,
            attempt,
            outcome,
            nonce,
        } => draft.report(*step, *attempt, *nonce, outcome),
        Command::Lose {
            step,
            attempt,
            begun,
            plugin_dead,
        } => draft.lose(*step, *attempt, *begun, *plugin_dead),
        Command::Decide { .. } => draft.decide_approval(command),
        Command::Cancel {
            who,
            reason,
            if_unchanged,
        } => draft.cancel(who, reason.as_deref(), *if_unchanged),
        Command::Resolve { .. } => draft.resolve(command),
        Command::Resume { who } => draft.resume(who),
        Command::Park { failure } => draft.park(failure),
        Command::Ask {
            step,
            attempt,
            words,
            within_ms,
        } => draft.ask_people(*step, *attempt, words, *within_ms),
    }
}

/// Terminal absorbs: nothing follows, and whoever asks is told so.
fn after_the_end(command: &Command) -> Result<Decision, Rejection> {
    match command {
        Command::Wake { .. } | Command::Lose { .. } | Command::Park { .. } => {
            Ok(Decision::default())
        }
        Command::Begin { .. } | Command::Report { .. } | Command::Ask { .. } => {
            Err(Rejection::Stale)
        }
        Command::Cancel {
            if_unchanged: true, ..
        } => Ok(Decision::default()),
        Command::Decide { .. } => Err(Rejection::refused(
            Code::ApprovalClosed,
            "the run has ended, and with it its approvals",
        )),
        Command::Cancel { .. } | Command::Resolve { .. } | Command::Resume { .. } => {
            Err(Rejection::refused(
                Code::RunEnded,
                "the run has ended: nothing about it can be changed any more",
            ))
        }
    }
}

impl Draft<'_> {
    fn resume(&mut self, who: &crate::principal::Principal) -> Decided {
        if self.head().parked.is_none() {
            return Err(Rejection::refused(
                Code::Conflict,
                "the run is not parked: there is nothing to resume",
            ));
        }
        self.emit(Event::RunResumed { who: who.clone() });
        self.take_up_restored();
        self.advance()
    }

    fn park(&mut self, failure: &crate::event::Failure) -> Decided {
        if self.head().parked.is_none() {
            self.emit(Event::RunParked {
                failure: failure.clone(),
            });
        }
        Ok(())
    }
}
