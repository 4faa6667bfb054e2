//! Looks up what a decision needs to know besides the run.

use engine::code::Code;
use engine::facts::Missing;
use engine::id::RunKey;

use super::{Owner, input};
use crate::Error;
use crate::facts::{Fact, Found, NoFact, put};
use crate::mail::Came;
use crate::slots::{Doing, Slot};

impl Owner {
    pub(super) fn fetch(&mut self, slot: &mut Slot, missing: Vec<Missing>) {
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
