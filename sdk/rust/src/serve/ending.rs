//! Why a plugin ends.

use std::{io::Read, thread, time::Duration};

use rustix::process::getppid;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

/// How often the parent is looked at. Closing of standard input is noticed at once; this catches a starter
/// whose end of the pipe somebody else still holds.
const PARENT_EVERY: Duration = Duration::from_millis(500);

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By SIGTERM or SIGINT: running calls may end first.
    Asked,
    /// The process that started it is gone, and with it everybody who waits for an answer.
    Orphaned,
}

/// Watches for the end.
pub(crate) struct Ending {
    terminate: Signal,
    interrupt: Signal,
    starter: Option<Starter>,
}

struct Starter {
    input_closed: oneshot::Receiver<()>,
    pid: Option<rustix::process::Pid>,
}

impl Ending {
    /// Signals end every plugin. Standard input and the parent are watched only where the engine started
    /// the plugin (`started`), for elsewhere both mean nothing.
    pub(crate) fn watch(started: bool) -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            starter: started.then(Starter::watch),
        })
    }

    /// Waits for the next reason to end.
    pub(crate) async fn next(&mut self) -> End {
        let gone = async {
            match &mut self.starter {
                Some(starter) => starter.gone().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = gone => End::Orphaned,
            _ = self.terminate.recv() => End::Asked,
            _ = self.interrupt.recv() => End::Asked,
        }
    }
}

impl Starter {
    fn watch() -> Self {
        let pid = getppid();
        let (closed, input_closed) = oneshot::channel();
        // A thread of its own, because a blocking read cannot be cancelled. It ends with the process.
        thread::spawn(move || {
            drain(std::io::stdin().lock());
            drop(closed);
        });
        Self { input_closed, pid }
    }

    async fn gone(&mut self) {
        let mut looks = interval(PARENT_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let parent_changed = async {
            while getppid() == self.pid {
                looks.tick().await;
            }
        };
        tokio::select! {
            biased;
            _ = &mut self.input_closed => {}
            () = parent_changed => {}
        }
    }
}

/// Reads to the end; what it says means nothing.
fn drain(mut input: impl Read) {
    let mut buffer = [0; 256];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
