//! SIGTERM and SIGINT: the first asks for a good end, the second ends at once.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::supervisor;

pub(crate) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let term = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
        let int = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
        Ok(Self { term, int })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! { biased;
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Cancels `stop` at the first signal; ends the process at the second.
    pub(crate) async fn obey(mut self, stop: CancellationToken) {
        tokio::select! { biased;
            () = self.next() => tracing::info!("ending in good order; again to end at once"),
            () = stop.cancelled() => {}
        }
        stop.cancel();
        supervisor::stopping();
        self.next().await;
        tracing::warn!("ended at once: what was in hand is found again at the next start");
        std::process::exit(130);
    }
}
