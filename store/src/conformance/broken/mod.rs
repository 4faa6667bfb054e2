//! Wrappers that break one promise each: the proof that its case can fail.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a wrapper does one thing wrong and everything else right"
)]

mod archive;
mod blobs;
mod inbox;
mod jobs;
mod journal;
mod keys;
mod live;
mod memory;
mod registry;
mod views;

use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::Backend;

/// A backend that breaks a promise.
#[derive(Clone, Copy)]
pub struct Defect {
    /// The case that must fail.
    pub case: &'static str,
    /// What it does wrong.
    pub name: &'static str,
    /// Puts it around a backend.
    pub wrap: fn(Backend) -> Backend,
}

/// Every defect; each case has at least one.
#[must_use]
pub fn every_defect() -> Vec<Defect> {
    let all = [
        journal::DEFECTS,
        archive::DEFECTS,
        keys::DEFECTS,
        inbox::DEFECTS,
        jobs::DEFECTS,
        registry::DEFECTS,
        memory::DEFECTS,
        blobs::DEFECTS,
        views::DEFECTS,
        live::DEFECTS,
    ];
    all.concat()
}

/// The defects of a file: `case: Kind, …`, where `wrap(backend, Kind)` makes the wrapper.
macro_rules! defects {
    ($($case:ident: $kind:ident),* $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum How { $($kind),* }

        pub(super) const DEFECTS: &[$crate::conformance::broken::Defect] = &[
            $($crate::conformance::broken::Defect {
                case: stringify!($case),
                name: stringify!($kind),
                wrap: |backend| wrap(backend, How::$kind),
            }),*
        ];
    };
}

use defects;

/// Does not wait: what is not there at once never comes.
async fn asleep<T>(call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    match futures::poll!(&mut call) {
        Poll::Ready(done) => done,
        Poll::Pending => pending().await,
    }
}

/// A set that a wrapper remembers.
struct Seen<T>(Mutex<BTreeSet<T>>);

impl<T: Ord> Seen<T> {
    fn new() -> Self {
        Self(Mutex::new(BTreeSet::new()))
    }

    /// Whether it is new.
    fn add(&self, item: T) -> bool {
        self.lock().insert(item)
    }

    fn has(&self, item: &T) -> bool {
        self.lock().contains(item)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
