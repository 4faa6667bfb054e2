//! Decides what is in a run's mail, as far as that goes without waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::code::Code;
use engine::command::{Asked, Command};
use engine::event::Failure;
use engine::facts::{Facts, Missing, Rejection};
use engine::id::{CommandId, RunKey};
use engine::job::call_digest;
use engine::record::Cause;
use engine::run::{Decision, Run, Stamp};
use engine::time::Timestamp;

use super::Owner;
use super::check::is_unwanted;
use super::input::Writing;
use crate::facts::forget_live;
use crate::figures;
use crate::mail::{Came, Mail, Verdict, What};
use crate::slots::{Doing, Slot};

/// So many records of one run are appended together.
const RECORDS_MAX: usize = 256;
/// So often facts are looked up for one command; what needs more would never be decided.
const ROUNDS_MAX: u32 = 10_000;

/// The name of the command that parks a run.
const PARK: &str = "Park";

/// What was decided about one run, to be stored together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) writing: Writing,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) woke: bool,
}

/// How one command went.
enum Went {
    Decided(Decision),
    /// It changes nothing.
    Unchanged(Came),
    Missing(Vec<Missing>),
    Panicked(String),
}

impl Owner {
    /// Does what is in a run's mail, if nothing else is being done with the run.
    pub(super) fn drive(&mut self, key: &RunKey) {
        let Some(mut slot) = self.slots.take(key) else {
            return;
        };
        slot.ready = false;
        let is_free = slot.doing == Doing::Nothing;
        let wants = !slot.mail.is_empty() || !slot.unsure.is_empty();
        if is_free && wants && slot.run.is_none() {
            self.load(key, &mut slot);
        } else if is_free && wants {
            let batch = self.decide_mail(key, &mut slot);
            self.close_batch(key, &mut slot, batch);
        }
        let broken = slot.broken.take();
        self.keep(key, slot);
        if let Some(what) = broken {
            self.damage(key, what);
        }
    }

    fn decide_mail(&mut self, key: &RunKey, slot: &mut Slot) -> Batch {
        if slot.facts_of != self.known.changes() {
            forget_live(&mut slot.facts);
            slot.facts_of = self.known.changes();
        }
        let mut batch = Batch::default();
        while batch.writing.records.len() < RECORDS_MAX && slot.run.is_some() {
            let Some(mail) = slot.mail.pop_front() else {
                break;
            };
            if !self.do_mail(key, slot, mail, &mut batch) {
                break;
            }
        }
        batch
    }

    /// Answers whether the next mail can follow at once.
    fn do_mail(
        &mut self,
        key: &RunKey,
        slot: &mut Slot,
        mut mail: Mail,
        batch: &mut Batch,
    ) -> bool {
        let woken;
        if is_unwanted(slot, &mail) && self.must_check(&mail) {
            self.check(key, slot, mail, batch);
            return false;
        }
        let asked = match &mail.what {
            What::Offer(step, attempt) => {
                self.waiting -= 1;
                self.build_job(key, slot, *step, *attempt);
                return true;
            }
            What::Look(step, attempt) => {
                self.waiting -= 1;
                self.look_at(key, slot, *step, *attempt);
                return true;
            }
            What::Wake => {
                batch.woke = true;
                woken = self.waking(key);
                &woken
            }
            What::Ask(asked) | What::OfCall(asked, _) => asked,
        };
        let fresh = mail.asks_for_rights();
        if fresh && !mail.fresh {
            slot.facts.standing.clear();
        }
        let went = if is_of_other_call(slot, &mail) {
            Went::Unchanged(Came::Already(slot.n()))
        } else {
            self.decide(key, slot, asked, fresh)
        };
        let (id, command) = (asked.id, asked.command.name());
        mail.fresh = fresh;
        match went {
            Went::Decided(decision) => self.commit(slot, mail, (id, command), decision, batch),
            Went::Unchanged(_) if self.must_check(&mail) => {
                self.check(key, slot, mail, batch);
                false
            }
            Went::Unchanged(came) => {
                batch.verdicts.push(verdict(slot, mail, id, came));
                true
            }
            Went::Missing(missing) => {
                mail.sure = false;
                slot.mail.push_front(mail);
                if batch.writing.records.is_empty() {
                    self.fetch(slot, missing);
                }
                false
            }
            Went::Panicked(what) => {
                self.panicked(slot, mail, (id, command), &what, batch);
                slot.broken.is_none()
            }
        }
    }

    fn waking(&mut self, key: &RunKey) -> Asked {
        let command = Command::Wake {
            in_hand: self.detector.is_held(key),
        };
        let id = self.backend.random.nonce();
        Asked { id, command }
    }

    /// Decides with what is known, and as much more as needs no waiting.
    fn decide(&mut self, key: &RunKey, slot: &mut Slot, asked: &Asked, fresh: bool) -> Went {
        loop {
            let Some(run) = &slot.run else {
                return Went::Missing(Vec::new());
            };
            let now = self.backend.clock.now();
            match decide(run, asked, &slot.facts, now) {
                Err(panic) => return Went::Panicked(panic),
                Ok(Ok(decision)) => {
                    slot.rounds = 0;
                    if decision.events.is_empty() {
                        return Went::Unchanged(Came::Already(run.n()));
                    }
                    return Went::Decided(decision);
                }
                Ok(Err(Rejection::Stale)) => return Went::Unchanged(Came::Already(run.n())),
                Ok(Err(Rejection::Refused { code, message })) => {
                    slot.rounds = 0;
                    return Went::Unchanged(Came::Refused(code, message));
                }
                Ok(Err(Rejection::Missing(missing))) => {
                    slot.rounds += 1;
                    if slot.rounds > ROUNDS_MAX {
                        return Went::Panicked(format!("more facts are missing: {missing:?}"));
                    }
                    let (facts, created) = (&mut slot.facts, &run.state().head.created);
                    let rest = self.known.fill(facts, created, &key.tenant, missing, fresh);
                    if !rest.is_empty() {
                        return Went::Missing(rest);
                    }
                }
            }
        }
    }

    fn commit(
        &mut self,
        slot: &mut Slot,
        mail: Mail,
        (id, command): (CommandId, &'static str),
        decision: Decision,
        batch: &mut Batch,
    ) -> bool {
        let Decision { events, blobs } = decision;
        let Some(run) = &mut slot.run else {
            return false;
        };
        if engine::planted!("grant_without_intent") && command == "Begin" {
            let start_by = self
                .backend
                .clock
                .now()
                .plus(engine::duration::Duration::from_secs(30));
            let mut verdict = verdict(slot, mail, id, Came::Already(slot.n()));
            verdict.answer = Some(engine::job::Answer::Granted { start_by });
            batch.verdicts.push(verdict);
            return true;
        }
        let stamp = Stamp {
            at: self.backend.clock.now(),
            nonce: self.backend.random.nonce(),
            cause: Cause {
                id,
                command: command.to_owned(),
            },
        };
        let nonce = stamp.nonce;
        let Ok(record) = catch_unwind(AssertUnwindSafe(|| run.commit(&events, stamp))) else {
            let what = "the events do not apply";
            self.panicked(slot, mail, (id, command), what, batch);
            // What is in memory may be half done: it is read again.
            slot.run = None;
            return false;
        };
        let n = record.n;
        slot.weight += 512 + record.payload.len();
        batch.writing.blobs.extend(blobs);
        batch.writing.records.push((record, events));
        let mut verdict = verdict(slot, mail, id, Came::Decided(n));
        verdict.record = Some((n, nonce));
        batch.verdicts.push(verdict);
        true
    }

    /// A fault of this program in one run parks that run and nothing else.
    fn panicked(
        &mut self,
        slot: &mut Slot,
        mail: Mail,
        (id, command): (CommandId, &'static str),
        what: &str,
        batch: &mut Batch,
    ) {
        let why = format!("a fault of this program: deciding {command} went wrong ({what})");
        tracing::error!(run = ?slot.run.as_ref().map(|r| r.key().run), why, "a run is parked");
        if command == PARK {
            slot.broken = Some(why);
        } else {
            let parking = self.parking(Code::Internal, why);
            slot.mail.push_front(parking);
        }
        let came = Came::Refused(Code::Internal, "a fault of this program".to_owned());
        batch.verdicts.push(verdict(slot, mail, id, came));
    }

    /// The mail that parks a run.
    pub(super) fn parking(&mut self, code: Code, why: String) -> Mail {
        figures::parked(code.as_str());
        self.waiting += 1;
        let failure = Failure {
            code: code.as_str().to_owned(),
            message: why,
            retryable: false,
            not_made: false,
            step: None,
        };
        let id = self.backend.random.nonce();
        let command = Command::Park { failure };
        Mail::own(What::Ask(Asked { id, command }))
    }
}

/// Whether a worker's word is about another call than the run knows under these numbers. A job may be offered before it
/// is durable, and then never be: whatever such a call answers or asks is nobody's.
fn is_of_other_call(slot: &Slot, mail: &Mail) -> bool {
    let What::OfCall(asked, reported) = &mail.what else {
        return false;
    };
    let (Command::Report { step, .. } | Command::Ask { step, .. }) = &asked.command else {
        return true;
    };
    let Some(run) = &slot.run else { return true };
    let step = run.state().steps.get(step.index());
    let call = step.and_then(|s| Some((run.state().action(s)?, s.call.as_deref()?)));
    call.is_none_or(|(action, call)| call_digest(action, call) != *reported)
}

fn verdict(slot: &Slot, mail: Mail, id: CommandId, came: Came) -> Verdict {
    let answer = super::pay::answer(&mail, &came, slot.run.as_ref());
    Verdict {
        mail,
        id,
        came,
        record: None,
        answer,
    }
}

/// Deciding changes nothing, so that a panic leaves the run as it was.
fn decide(
    run: &Run,
    asked: &Asked,
    facts: &Facts,
    now: Timestamp,
) -> Result<Result<Decision, Rejection>, String> {
    catch_unwind(AssertUnwindSafe(|| run.decide(asked, facts, now)))
        .map_err(|panic| text_of(panic.as_ref()))
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}
