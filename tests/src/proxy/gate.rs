//! Where a request can be held.

use super::Seen;
use crate::wait::PATIENCE;
use anyhow::{Context as _, Result};
use tokio::sync::oneshot;

/// The points of a request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is here whole, and the server behind knows nothing of it.
    Arrived,
    /// It is handed to the server behind, which may or may not have carried it out.
    Forwarded,
    /// The server behind has answered, and the sender knows nothing of it.
    Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Cut,
}

/// Waits for one request. Dropping it disarms it.
#[derive(Debug)]
pub struct Gate {
    stage: Stage,
    caught: oneshot::Receiver<Held>,
}

impl Gate {
    /// Waits until a request stands at the gate.
    ///
    /// # Errors
    /// None comes in time.
    pub async fn reached(self) -> Result<Held> {
        let caught = tokio::time::timeout(PATIENCE, self.caught).await;
        let caught = caught.with_context(|| format!("no such request came to {:?}", self.stage))?;
        caught.context("the proxy is gone")
    }
}

/// A request that stands still. Dropping it lets it pass.
#[derive(Debug)]
pub struct Held {
    seen: Seen,
    decide: oneshot::Sender<Verdict>,
}

impl Held {
    pub(super) fn new(seen: Seen, decide: oneshot::Sender<Verdict>) -> Self {
        Self { seen, decide }
    }

    /// The request, as it stood when it came to the gate.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Lets it go on, be its sender alive or not.
    pub fn pass(self) {
        self.end(Verdict::Pass);
    }

    /// Ends it here: a request that has arrived is never forwarded, the answer of one that was is never passed on. The
    /// sender sees its connection closed.
    pub fn cut(self) {
        self.end(Verdict::Cut);
    }

    fn end(self, verdict: Verdict) {
        // Refused only when the proxy is gone, and then nothing is left to decide.
        let _ = self.decide.send(verdict);
    }
}

/// The proxy's end of a gate.
pub(super) struct Armed {
    stage: Stage,
    such: Box<dyn Fn(&Seen) -> bool + Send>,
    caught: oneshot::Sender<Held>,
}

impl Armed {
    pub(super) fn new(stage: Stage, such: impl Fn(&Seen) -> bool + Send + 'static) -> (Self, Gate) {
        let (sender, caught) = oneshot::channel();
        let armed = Self {
            stage,
            such: Box::new(such),
            caught: sender,
        };
        (armed, Gate { stage, caught })
    }

    pub(super) fn is_watched(&self) -> bool {
        !self.caught.is_closed()
    }

    pub(super) fn wants(&self, stage: Stage, seen: &Seen) -> bool {
        self.stage == stage && (self.such)(seen)
    }

    /// Whether somebody took it.
    pub(super) fn hold(self, held: Held) -> bool {
        self.caught.send(held).is_ok()
    }
}
