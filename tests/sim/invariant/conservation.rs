use std::collections::BTreeMap;

use engine::command::Command;
use engine::event::RunStatus;
use engine::id::{CommandId, RunKey};

use super::{Invariant, must};
use crate::client::request_of;
use crate::judge::{Known, Moment};

/// Every request that was answered 202 has exactly one run, from that moment on, and so has every alert; what was said
/// to be decided is in the journal; and in the end every run has ended.
#[derive(Clone, Default)]
pub(crate) struct Conservation {
    of_request: BTreeMap<String, RunKey>,
    accepted: BTreeMap<String, RunKey>,
}

impl Invariant for Conservation {
    fn name(&self) -> &'static str {
        "conservation"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        match moment {
            Moment::Appended { run, record, .. } if record.n == 1 => {
                let request = request_of(&run.run.state().head.created);
                let other = self.of_request.insert(request.clone(), record.key.clone());
                must(other.is_none(), || {
                    format!("{request} has two runs: {other:?} and {}", record.key.run)
                })
            }
            Moment::Accepted { request, run } => {
                must(known.runs.contains_key(run), || {
                    format!("{request} was answered 202, and {} is not durable", run.run)
                })?;
                let before = self.accepted.insert((*request).to_owned(), (*run).clone());
                must(before.as_ref().is_none_or(|b| b == *run), || {
                    format!(
                        "{request} was answered with {before:?} and with {}",
                        run.run
                    )
                })
            }
            Moment::Settled { run, id, command } => settled(run, *id, command, known),
            Moment::End => self.all_ended(known),
            _ => Ok(()),
        }
    }
}

impl Conservation {
    fn all_ended(&self, known: &Known) -> Result<(), String> {
        for run in self.accepted.values() {
            must(known.runs.contains_key(run), || {
                format!("{} is gone", run.run)
            })?;
        }
        for (key, seen) in known.sound() {
            let status: RunStatus = seen.run.status();
            must(status.is_end(), || {
                let open = &seen.run.state().head.open;
                let at: Vec<_> = open
                    .iter()
                    .map(|no| &seen.run.state().steps[no.index()].at)
                    .collect();
                format!(
                    "{} is still {} long after everything went well: {at:?}",
                    key.run,
                    status.as_str()
                )
            })?;
        }
        Ok(())
    }
}

/// Who was told that a command is decided finds it in the journal, or finds that it is so already.
fn settled(key: &RunKey, id: CommandId, command: &Command, known: &Known) -> Result<(), String> {
    let seen = known
        .runs
        .get(key)
        .ok_or("a command of no run was decided")?;
    let decided = seen.entries.iter().any(|(record, _)| record.cause.id == id);
    let state = seen.run.state();
    let already = match command {
        Command::Cancel { if_unchanged, .. } => *if_unchanged || state.head.stop.is_some(),
        Command::Decide { approval, who, .. } => {
            let consent = state.steps[approval.step.index()].approval.as_deref();
            let question = state.question(approval);
            let decided = consent.into_iter().flat_map(|c| &c.decisions);
            let mut decided = decided.chain(question.and_then(|q| q.decision.as_ref()));
            decided.any(|(decision, _)| decision.who == *who)
        }
        _ => false,
    };
    must(decided || already, || {
        let name = command.name();
        format!(
            "{name} of {} was said to be decided, and is in no record",
            key.run
        )
    })
}
