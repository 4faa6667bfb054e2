use std::collections::BTreeMap;

use engine::event::{ApprovalState, Event};
use engine::id::{RunKey, StepNo};
use engine::record::Record;
use engine::time::Timestamp;

use super::{Invariant, must};
use crate::judge::{Known, Moment, Seen};

/// In calm weather nothing is done later than so many milliseconds after it was due.
const LATE_MS: u64 = 60_000;

/// No timer early and none lost, each fires once; nobody decides after the time for it; time in a journal never runs backwards, nor ahead of the clock.
#[derive(Clone, Default)]
pub(crate) struct Time {
    not_before: BTreeMap<(RunKey, StepNo), Timestamp>,
    waits: BTreeMap<(RunKey, StepNo), Timestamp>,
    expires: BTreeMap<(RunKey, StepNo), Timestamp>,
    last: BTreeMap<RunKey, Timestamp>,
}

impl Invariant for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        if let Moment::Calm { since } = moment {
            return fired(known, *since);
        }
        let Moment::Appended {
            run,
            record,
            events,
            ..
        } = moment
        else {
            return Ok(());
        };
        let before = self.last.insert(record.key.clone(), record.at);
        must(
            before.is_none_or(|b| b <= record.at)
                && (record.at <= known.now || Some(record.at) == before),
            || {
                format!(
                    "{}: record {} is of {}, after {before:?}, at {}",
                    record.key.run, record.n, record.at, known.now
                )
            },
        )?;
        events
            .iter()
            .try_for_each(|event| self.check(run, record, event))
    }
}

impl Time {
    fn check(&mut self, run: &Seen, record: &Record, event: &Event) -> Result<(), String> {
        let place = |step: &StepNo| (record.key.clone(), *step);
        if let Event::ApprovalDecided { step, .. } = event {
            let expires = self.expires.get(&place(step));
            return must(expires.is_some_and(|expires| record.at < *expires), || {
                format!(
                    "{} step {}: decided at {}, and asked until {expires:?}",
                    record.key.run, step.0, record.at
                )
            });
        }
        let (what, step, due) = match event {
            Event::WaitStarted { step, until } => {
                self.waits.insert(place(step), *until);
                return Ok(());
            }
            Event::RetryScheduled { step, at } | Event::SettlementScheduled { step, at, .. } => {
                self.not_before.insert(place(step), *at);
                return Ok(());
            }
            // Its worker was only slow to say so, or a person has looked: there is nothing to be settled any more.
            Event::AttemptNotCalled { step, .. } | Event::StepResolved { step, .. } => {
                self.not_before.remove(&place(step));
                return Ok(());
            }
            Event::ApprovalRequested(asked) => {
                self.expires.insert(place(&asked.step), asked.expires_at);
                return Ok(());
            }
            Event::StepSucceeded { step, .. } => {
                ("a wait ended", step, self.waits.remove(&place(step)))
            }
            Event::AttemptDispatched { step, .. } | Event::LookUpDispatched { step, .. } => (
                "a step was tried again",
                step,
                self.not_before.remove(&place(step)),
            ),
            Event::ApprovalClosed {
                step,
                state: ApprovalState::Expired,
                ..
            } => (
                "an approval expired",
                step,
                self.expires.remove(&place(step)),
            ),
            Event::RunTimedOut => (
                "the run timed out",
                &StepNo(0),
                Some(run.run.state().over_at()),
            ),
            _ => return Ok(()),
        };
        must(due.is_none_or(|due| due <= record.at), || {
            format!(
                "{} step {}: {what} at {}, which was due at {due:?}",
                record.key.run, step.0, record.at
            )
        })
    }
}

/// When nothing goes wrong, what is due is done.
fn fired(known: &Known, since: Timestamp) -> Result<(), String> {
    for (key, seen) in known.sound() {
        let due = seen.run.due().map(|due| due.max(since));
        let late = due.is_some_and(|due| known.now.millis_since(due) > LATE_MS);
        must(!late, || {
            format!(
                "{} was due at {due:?}, and it is {} now",
                key.run, known.now
            )
        })?;
    }
    Ok(())
}
