//! The thread that starts plugins.
//!
//! The kernel's "die with your parent" follows the parent *thread*, not the process: a child started from a thread that
//! ends is killed although its parent lives. So all are started from one thread, which lives as long as they may.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Starts processes. When it is dropped, the thread ends, and what it started dies.
pub(super) struct Starter(mpsc::Sender<Order>);

struct Order {
    command: Command,
    started: oneshot::Sender<io::Result<Child>>,
}

impl Starter {
    pub(super) fn new(runtime: &Handle) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel::<Order>();
        let runtime = runtime.clone();
        thread::Builder::new()
            .name("plugin-starter".to_owned())
            .spawn(move || {
                let _entered = runtime.enter();
                while let Ok(mut order) = inbox.recv() {
                    // Nobody waits any more: the child is killed as it is dropped.
                    let _ = order.started.send(order.command.spawn());
                }
            })?;
        Ok(Self(orders))
    }

    pub(super) async fn start(&self, command: Command) -> io::Result<Child> {
        let (started, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts plugins is gone");
        self.0
            .send(Order { command, started })
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
