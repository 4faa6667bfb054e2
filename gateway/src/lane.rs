//! One thread for work that takes much memory, one piece at a time. What an allocator keeps back of it for the next
//! piece is then kept once, and not on each of the many threads of a pool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use tokio::sync::oneshot;

type Piece = Box<dyn FnOnce() + Send>;

/// The thread, which begins with the first piece and ends with this.
#[derive(Default)]
pub(crate) struct Lane(OnceLock<Option<Sender<Piece>>>);

impl Lane {
    /// What came of a piece of work; `None` when it panicked, or there is no thread to be had.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let piece = move || {
            // Whoever asked may be gone.
            let _ = tell.send(work());
        };
        self.0
            .get_or_init(start)
            .as_ref()?
            .send(Box::new(piece))
            .ok()?;
        told.await.ok()
    }
}

fn start() -> Option<Sender<Piece>> {
    let (give, take) = channel::<Piece>();
    let run = move || {
        for piece in take {
            if catch_unwind(AssertUnwindSafe(piece)).is_err() {
                tracing::error!("a piece of work panicked");
            }
        }
    };
    match thread::Builder::new().name("lane".to_owned()).spawn(run) {
        Ok(_) => Some(give),
        Err(error) => {
            tracing::error!(%error, "there is no thread to be had");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_one_thread_and_outlives_a_panic() {
        let lane = Lane::default();
        let first = lane.run(|| thread::current().id()).await.expect("done");
        assert_eq!(lane.run(|| panic!("on purpose")).await, None::<()>);
        assert_eq!(lane.run(|| thread::current().id()).await, Some(first));
    }
}
