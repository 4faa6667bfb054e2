//! What must hold, over what was seen. It knows nothing of how that came about.

use super::{Errand, Shown};
use std::collections::{BTreeMap, BTreeSet};

/// What everybody saw, when all is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observations {
    /// What the clients were told. An errand's name is also its key, its run's label, and what its silence matches.
    pub errands: Vec<Errand>,
    /// The runs that the product has.
    pub stored: Vec<Stored>,
    /// The queries that came to Prometheus, in the order of arrival.
    pub queries: Vec<String>,
    /// The silences that Alertmanager has.
    pub silences: Vec<Silence>,
}

/// A run in the product's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The errand that it is for.
    pub errand: String,
    /// Its id.
    pub id: String,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// A silence in the real Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The errand that it is for.
    pub errand: String,
    /// Its id.
    pub id: String,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Complaint {
    /// The client went on until it had to give up.
    #[error("{errand} never got its 202: {seen}")]
    NeverAccepted {
        /// Whose.
        errand: String,
        /// What it saw last.
        seen: String,
    },
    /// Accepted, and then it did not end.
    #[error("{errand} got a 202 and its run did not end: {seen}")]
    Lost {
        /// Whose.
        errand: String,
        /// What was seen last.
        seen: String,
    },
    /// It ended in another way than with success.
    #[error("the run of {errand} did not succeed: {seen}")]
    Unsuccessful {
        /// Whose.
        errand: String,
        /// The run.
        seen: String,
    },
    /// One key, not one run.
    #[error("{errand} has not one run but {runs:?}")]
    NotOneRun {
        /// Whose.
        errand: String,
        /// The runs that it was told of or that are stored for it.
        runs: BTreeSet<String>,
    },
    /// A client was told that it had ended, and then it ended again.
    #[error("{errand} was told that its run ended at {told}, and it ended at {stored:?}")]
    EndedAgain {
        /// Whose.
        errand: String,
        /// What it was told.
        told: String,
        /// What is stored.
        stored: Option<String>,
    },
    /// A consent that was taken was asked for again.
    #[error("{errand} had consented to {consented} and was asked again, by {asked}")]
    AskedAgain {
        /// Whose.
        errand: String,
        /// The approval that it had decided.
        consented: String,
        /// The approval that it was asked for.
        asked: String,
    },
    /// A query was sent again although its step was over.
    #[error("{query} appeared again, as number {number}, after its step had been shown succeeded")]
    QueriedAgain {
        /// Which.
        query: String,
        /// Its place in the order of arrival.
        number: usize,
    },
    /// A step was shown as succeeded and its query never came.
    #[error("the step of {query} was shown succeeded and nobody had asked")]
    NeverQueried {
        /// Which.
        query: String,
    },
    /// Alertmanager does not have one silence for it.
    #[error("{errand} has not one silence but {silences:?}")]
    NotOneSilence {
        /// Whose.
        errand: String,
        /// Its silences.
        silences: Vec<String>,
    },
    /// The run says that it made another silence than the one that is there.
    #[error("the run of {errand} names the silence {named}, and there is {there}")]
    OtherSilence {
        /// Whose.
        errand: String,
        /// What the run says.
        named: String,
        /// What is there.
        there: String,
    },
}

impl Complaint {
    /// Whether something is not there that was answered as accepted, decided or ended. All else may have other reasons: a
    /// run that takes too long, an agent that did something twice.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::EndedAgain { .. } | Self::AskedAgain { .. } => true,
            // Of what nobody has accepted there is none.
            Self::NotOneRun { runs, .. } => !runs.is_empty(),
            Self::NeverAccepted { .. }
            | Self::Unsuccessful { .. }
            | Self::QueriedAgain { .. }
            | Self::NeverQueried { .. }
            | Self::NotOneSilence { .. }
            | Self::OtherSilence { .. } => false,
        }
    }
}

/// Everything that is wrong.
#[must_use]
pub fn verdict(seen: &Observations) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut runs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for stored in &seen.stored {
        let runs = runs.entry(&stored.errand).or_default();
        runs.insert(stored.id.clone());
    }
    for errand in &seen.errands {
        complaints.extend(ended(errand));
        complaints.extend(ended_once(errand, &seen.stored));
        complaints.extend(asked_once(errand));
        let runs = runs.remove(errand.name.as_str()).unwrap_or_default();
        complaints.extend(one_run(errand, runs));
        complaints.extend(one_silence(errand, &seen.silences));
        for shown in &errand.shown {
            complaints.extend(queried_once(shown, &seen.queries));
        }
    }
    let unasked = runs.into_iter();
    complaints.extend(unasked.map(|(errand, runs)| Complaint::NotOneRun {
        errand: errand.to_owned(),
        runs,
    }));
    complaints
}

fn ended(errand: &Errand) -> Option<Complaint> {
    let (name, seen) = (errand.name.clone(), errand.last.clone());
    if errand.accepted.is_empty() {
        return Some(Complaint::NeverAccepted { errand: name, seen });
    }
    match errand.status.as_deref() {
        None => Some(Complaint::Lost { errand: name, seen }),
        Some("succeeded") => None,
        Some(_) => Some(Complaint::Unsuccessful { errand: name, seen }),
    }
}

/// What the client was told and what is stored is one and the same run.
fn one_run(errand: &Errand, stored: BTreeSet<String>) -> Option<Complaint> {
    let told: BTreeSet<String> = errand.accepted.iter().cloned().collect();
    let one = stored.len() == 1 && told == stored;
    (!one).then(|| Complaint::NotOneRun {
        errand: errand.name.clone(),
        runs: told.union(&stored).cloned().collect(),
    })
}

fn one_silence(errand: &Errand, silences: &[Silence]) -> Option<Complaint> {
    let its = silences.iter().filter(|s| s.errand == errand.name);
    let its: Vec<String> = its.map(|s| s.id.clone()).collect();
    let [there] = its.as_slice() else {
        return Some(Complaint::NotOneSilence {
            errand: errand.name.clone(),
            silences: its,
        });
    };
    let named = errand.silence.clone()?;
    (named != *there).then(|| Complaint::OtherSilence {
        errand: errand.name.clone(),
        named,
        there: there.clone(),
    })
}

/// What was told of its end is what is stored.
fn ended_once(errand: &Errand, stored: &[Stored]) -> Option<Complaint> {
    let told = errand.ended_at.clone()?;
    let its = stored.iter().find(|run| run.errand == errand.name)?;
    (its.ended_at.as_ref() != Some(&told)).then(|| Complaint::EndedAgain {
        errand: errand.name.clone(),
        told,
        stored: its.ended_at.clone(),
    })
}

fn asked_once(errand: &Errand) -> Option<Complaint> {
    Some(Complaint::AskedAgain {
        errand: errand.name.clone(),
        consented: errand.consented.clone()?,
        asked: errand.asked_again.clone()?,
    })
}

fn queried_once(shown: &Shown, queries: &[String]) -> Option<Complaint> {
    let query = &shown.query;
    let numbered = queries.iter().enumerate();
    let numbers = numbered.filter_map(|(number, asked)| (asked == query).then_some(number));
    let mut numbers = numbers.peekable();
    if numbers.peek().is_none() {
        let query = query.clone();
        return Some(Complaint::NeverQueried { query });
    }
    let number = numbers.find(|number| *number >= shown.at)?;
    let query = query.clone();
    Some(Complaint::QueriedAgain { query, number })
}

#[cfg(test)]
mod tests;
