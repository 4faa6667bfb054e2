//! Decides what is in a run's mail, as far as that goes without waiting.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::code::Code;
use engine::command::{Asked, Command};
use engine::digest::Digest;
use engine::event::Failure;
use engine::facts::{Facts, Missing, Rejection};
use engine::id::{CommandId, RunKey};
use engine::job::call_digest;
use engine::record::Cause;
use engine::run::{Decision, Run, Stamp};
use engine::time::Timestamp;

use super::Owner;
use super::input::{self, Writing};
use crate::facts::{Fact, Found, NoFact, forget_live, put};
use crate::mail::{Came, Mail, Verdict, What};
use crate::slots::{Doing, Slot};
use crate::{Error, figures};

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
    Refused(Came),
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
            What::OfCall(asked, call) if !is_of_call(slot, asked, *call) => {
                let (id, already) = (asked.id, Came::Already(slot.n()));
                batch.verdicts.push(verdict(slot, mail, id, already));
                return true;
            }
            What::Ask(asked) | What::OfCall(asked, _) => asked,
        };
        let fresh = mail.asks_for_rights();
        if fresh && !mail.fresh {
            slot.facts.standing.clear();
        }
        let went = self.decide(key, slot, asked, fresh);
        let (id, command) = (asked.id, asked.command.name());
        mail.fresh = fresh;
        match went {
            Went::Decided(decision) => self.commit(slot, mail, (id, command), decision, batch),
            Went::Refused(came) => {
                batch.verdicts.push(verdict(slot, mail, id, came));
                true
            }
            Went::Missing(missing) => {
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
                    return Went::Decided(decision);
                }
                Ok(Err(Rejection::Stale)) => return Went::Refused(Came::Already(run.n())),
                Ok(Err(Rejection::Refused { code, message })) => {
                    slot.rounds = 0;
                    return Went::Refused(Came::Refused(code, message));
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
        if events.is_empty() {
            let came = Came::Already(run.n());
            batch.verdicts.push(verdict(slot, mail, id, came));
            return true;
        }
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
    fn parking(&mut self, code: Code, why: String) -> Mail {
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

    fn fetch(&mut self, slot: &mut Slot, missing: Vec<Missing>) {
        let Some(run) = &slot.run else { return };
        let of = self.known.changes();
        let fetch = input::fetch(self.backend.clone(), run, of, missing);
        slot.doing = Doing::Fetching;
        self.wait_for(fetch);
    }

    pub(super) fn fetched(
        &mut self,
        key: &RunKey,
        of: u64,
        found: Vec<(Missing, Result<Fact, NoFact>)>,
    ) -> Result<(), Error> {
        let Some(mut slot) = self.slots.take(key) else {
            return Ok(());
        };
        slot.doing = Doing::Nothing;
        let why_not = self.keep_facts(key, &mut slot, of, found);
        let lost_plan = match why_not {
            None => {
                slot.tries = 0;
                None
            }
            Some((_, NoFact::Unavailable(why))) => {
                self.rest_slot(key, &mut slot, &store::Error::Unavailable(why));
                None
            }
            // Without its plan nothing can be decided about a run, not even that it is parked.
            Some((Missing::Plan(_), NoFact::Lost(why))) => Some(why),
            Some((_, NoFact::Lost(why))) => {
                self.park_for_loss(&mut slot, why);
                None
            }
        };
        self.slots.put(key, slot);
        match lost_plan {
            Some(why) => self.damage(key, why),
            None => self.make_ready(key),
        }
        Ok(())
    }
}

impl Owner {
    /// Keeps what was found, and answers what was not.
    fn keep_facts(
        &mut self,
        key: &RunKey,
        slot: &mut Slot,
        of: u64,
        found: Vec<(Missing, Result<Fact, NoFact>)>,
    ) -> Option<(Missing, NoFact)> {
        let run = slot.run.as_ref()?;
        let origin = Found {
            run: &run.state().head.created,
            tenant: &key.tenant,
            of,
        };
        let mut why_not = None;
        for (what, fact) in found {
            match fact {
                Ok(fact) => {
                    self.known.keep(&origin, &what, &fact);
                    slot.weight += put(&mut slot.facts, what, fact);
                }
                Err(no) => why_not = Some((what, no)),
            }
        }
        why_not
    }

    /// What the first mail needs is gone for good: nothing more can be decided about it, and the run is parked.
    fn park_for_loss(&mut self, slot: &mut Slot, why: String) {
        if let Some(mail) = slot.mail.pop_front() {
            self.tell_at_once(mail, Came::Refused(Code::RecordDamaged, why.clone()));
        }
        let parking = self.parking(Code::RecordDamaged, why);
        slot.mail.push_front(parking);
    }
}

/// Whether a worker's word is about the call that the run knows under these numbers. A job may be offered before it is
/// durable, and then never be: whatever such a call answers or asks is nobody's.
fn is_of_call(slot: &Slot, asked: &Asked, reported: Digest) -> bool {
    let (Command::Report { step, .. } | Command::Ask { step, .. }) = &asked.command else {
        return false;
    };
    let Some(run) = &slot.run else { return false };
    let step = run.state().steps.get(step.index());
    let call = step.and_then(|s| Some((run.state().action(s)?, s.call.as_deref()?)));
    call.is_some_and(|(action, call)| call_digest(action, call) == reported)
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
