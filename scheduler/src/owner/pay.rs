//! Pays what is owed: answers to those who asked, attempts to workers.

use engine::command::Command;
use engine::id::{Attempt, RunKey};
use engine::job::{Answer, AttemptKey};
use engine::pool::Pool;
use engine::principal::Permission;
use engine::run::{Owed, Question, Run};
use store::port::{News, Topic};
use tokio::time::Instant;

use super::{Owner, input};
use crate::detector::{LOST_AFTER, Place};
use crate::figures;
use crate::mail::{Came, From, Mail, Verdict, What};
use crate::slots::Slot;

impl Owner {
    /// Tells what came of a mail. Only what is durable, or changed nothing, may be told.
    pub(super) fn tell(&mut self, verdict: Verdict) {
        self.waiting -= 1;
        figures::decided(name(&verdict.mail), verdict.came.as_str());
        match verdict.mail.from {
            From::Owner => {}
            From::Worker(reply) => {
                if let Some(answer) = verdict.answer {
                    // Who hung up says it again.
                    let _ = reply.send(answer);
                }
            }
            From::Inbox(shard, sequence) => {
                let news = news(&verdict.came);
                self.backend.live.publish(Topic::Command(verdict.id), news);
                self.settling.entry(shard).or_default().push(sequence);
            }
        }
    }

    /// Drops from the inbox what has been told.
    pub(super) fn settle(&mut self) {
        for (shard, sequences) in std::mem::take(&mut self.settling) {
            self.wait_for(input::settle(self.backend.clone(), shard, sequences));
        }
    }

    /// Brings what is known of attempts in line with what the run owes. Before its records are durable, only first calls
    /// of READ are offered: if the records are not stored, they were made in vain, and nobody believes their reports.
    pub(super) fn sync(&mut self, key: &RunKey, slot: &Slot, durable: bool) {
        let Some(run) = &slot.run else { return };
        let owed: Vec<(AttemptKey, Owed)> = run.owed().map(|o| (attempt_key(key, o), o)).collect();
        for (attempt, owed) in &owed {
            let is_new = match self.detector.place(attempt) {
                None => durable || is_first_read(run, *owed),
                // Somebody had it from an owner before this one: it never gets a turn, and is missed from now on.
                Some(Place::Backlog) => durable && owed.granted,
                Some(_) => false,
            };
            if is_new {
                self.owe(slot, attempt, *owed);
            }
        }
        if durable {
            for attempt in self.detector.of(key) {
                // They are in the order of the steps, each of which owes one attempt.
                if owed.binary_search_by(|(a, _)| a.cmp(&attempt)).is_err() {
                    self.no_longer_owed(attempt);
                }
            }
        }
    }

    fn owe(&mut self, slot: &Slot, attempt: &AttemptKey, owed: Owed) {
        let now = Instant::now();
        let pool = self.pool_of(slot, attempt);
        if let Some(since) = self.hands.remove(attempt)
            && since + LOST_AFTER > now
        {
            self.detector.add(attempt, Place::Held(since), pool);
        } else if owed.granted {
            self.detector.add(attempt, Place::Gone(now), pool);
        } else {
            self.wait_for_turn(slot.class(), attempt, pool);
        }
    }

    /// The pool that has the agent of a step that is owed.
    pub(super) fn pool_of(&self, slot: &Slot, attempt: &AttemptKey) -> Pool {
        let state = slot.run.as_ref().map(Run::state);
        let step = state.and_then(|state| state.steps.get(attempt.step.index()));
        let action = state.zip(step).and_then(|(state, step)| state.action(step));
        action.map_or_else(Pool::default, |action| {
            self.pools.of(&attempt.key.tenant, &action.name.agent)
        })
    }

    fn no_longer_owed(&mut self, attempt: AttemptKey) {
        if let Some(Place::Held(_)) = self.detector.remove(&attempt) {
            self.unwanted.insert(attempt);
        }
    }
}

/// What a worker is answered.
pub(super) fn answer(mail: &Mail, came: &Came, run: Option<&Run>) -> Option<Answer> {
    match &mail.asked()?.command {
        Command::Begin {
            step,
            attempt,
            nonce,
            ..
        } => {
            let granted = run.and_then(|r| r.granted(*step, *attempt, *nonce));
            Some(match granted {
                Some(start_by) => Answer::Granted { start_by },
                None => Answer::Denied {
                    reason: why_denied(came),
                },
            })
        }
        Command::Report { .. } => Some(Answer::Heard {
            unwanted: Vec::new(),
        }),
        Command::Ask {
            step,
            attempt,
            words,
            ..
        } => {
            let step = run.and_then(|r| r.state().steps.get(step.index()));
            let question = step.and_then(|s| s.answered(words.digest(), *attempt));
            Some(match question {
                Some(question) => standing(question),
                None => Answer::Denied {
                    reason: why_denied(came),
                },
            })
        }
        Command::Wake { .. }
        | Command::Lose { .. }
        | Command::Decide { .. }
        | Command::Cancel { .. }
        | Command::Resolve { .. }
        | Command::Resume { .. }
        | Command::Park { .. } => None,
    }
}

/// Where a question stands.
fn standing(question: &Question) -> Answer {
    let decision = question.decision.as_ref().map(|(decision, _)| decision);
    Answer::Question {
        state: question.state,
        reviewer: decision.map(|decision| decision.who.clone()),
        comment: decision.map_or_else(|| question.reason.clone(), |d| d.comment.clone()),
    }
}

fn why_denied(came: &Came) -> String {
    match came {
        Came::Refused(code, why) => format!("{code}: {why}"),
        Came::Decided(_) | Came::Already(_) => {
            "this attempt is not wanted any more, or somebody else has its grant".to_owned()
        }
    }
}

fn news(came: &Came) -> News {
    let (n, already, refused) = match came {
        Came::Decided(n) => (*n, false, None),
        Came::Already(n) => (*n, true, None),
        Came::Refused(code, why) => (0, false, Some((*code, why.clone()))),
    };
    News::Answered {
        n,
        already,
        refused,
    }
}

fn name(mail: &Mail) -> &'static str {
    match &mail.what {
        What::Ask(asked) | What::OfCall(asked, _) => asked.command.name(),
        What::Wake => "Wake",
        What::Offer(..) => "Offer",
        What::Look(..) => "Look",
    }
}

fn attempt_key(key: &RunKey, owed: Owed) -> AttemptKey {
    AttemptKey {
        key: key.clone(),
        step: owed.step,
        attempt: owed.attempt,
    }
}

fn is_first_read(run: &Run, owed: Owed) -> bool {
    let step = run.state().steps.get(owed.step.index());
    let action = step.and_then(|s| run.state().action(s));
    owed.attempt == Attempt(1) && action.is_some_and(|a| a.permission == Permission::Read)
}
