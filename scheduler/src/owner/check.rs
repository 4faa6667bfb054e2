//! "No" is said only by who knows: another owner of the shard may have stored what is not in memory here.

use engine::id::RunKey;
use store::port::Entry;

use super::decide::Batch;
use super::{Owner, input};
use crate::Error;
use crate::config::Start;
use crate::mail::{From, Mail, What};
use crate::slots::{Doing, Slot};

impl Owner {
    /// Another owner of the shard may have stored what is not known here. Then "no" would be a lie: whoever called is told
    /// that its result is not wanted, and the result is lost.
    pub(super) fn must_check(&self, mail: &Mail) -> bool {
        let is_told = matches!(mail.what, What::Look(..)) || !matches!(mail.from, From::Owner);
        is_told && !mail.sure && self.place.start == Start::Listening
    }

    /// Looks whether the journal tells more than is known here, before the mail is decided again.
    pub(super) fn check(&mut self, key: &RunKey, slot: &mut Slot, mail: Mail, batch: &Batch) {
        slot.mail.push_front(mail);
        if batch.writing.records.is_empty() {
            slot.doing = Doing::Checking;
            self.wait_for(input::check(self.backend.clone(), key.clone(), slot.n()));
        }
    }

    pub(super) fn checked(
        &mut self,
        key: &RunKey,
        more: Result<Vec<Entry>, store::Error>,
    ) -> Result<(), Error> {
        let Some(mut slot) = self.slots.take(key) else {
            return Ok(());
        };
        slot.doing = Doing::Nothing;
        let mut damaged = None;
        match more {
            Ok(more) if more.is_empty() => {
                if let Some(mail) = slot.mail.front_mut() {
                    mail.sure = true;
                }
            }
            // It is read again as a whole.
            Ok(_) => slot.run = None,
            Err(store::Error::Corrupt(what)) => damaged = Some(what),
            Err(error) => self.rest_slot(key, &mut slot, &error),
        }
        self.slots.put(key, slot);
        match damaged {
            Some(what) => self.damage(key, what),
            None => self.make_ready(key),
        }
        Ok(())
    }
}

/// Whether a worker would be told that nobody wants what its attempt brings.
pub(super) fn is_unwanted(slot: &Slot, mail: &Mail) -> bool {
    let What::Look(step, attempt) = mail.what else {
        return false;
    };
    let wanted = slot.run.as_ref().is_some_and(|r| r.wanted(step, attempt));
    !wanted
}
