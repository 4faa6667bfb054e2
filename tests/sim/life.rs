//! One life of a role, from its start to its end, and what may befall a call that it makes.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use store::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backup;
use crate::weather::Fault;
use crate::world::{Plot, World};

/// One life of a role or of a whole process. Whoever is dead does nothing any more, wherever it was.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) name: String,
    calls: AtomicU64,
    effects: AtomicU64,
    /// Until then it stands still, in milliseconds since the simulation began.
    stopped_ms: AtomicU64,
    crash: Crash,
    died: CancellationToken,
}

/// How a life ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// It does not.
    Never,
    /// At that call of a port, before it is done.
    Before(u64),
    /// At that call of a port, when it is done and before it is answered.
    After(u64),
    /// When its future was polled so often: between any two awaits.
    Polls(u64),
    /// When so many of its effects are done, and before it knows.
    Effects(u64),
}

impl Life {
    pub(crate) fn new(name: String, crash: Crash) -> Arc<Self> {
        Arc::new(Self {
            name,
            calls: AtomicU64::new(0),
            effects: AtomicU64::new(0),
            stopped_ms: AtomicU64::new(0),
            crash,
            died: CancellationToken::new(),
        })
    }

    /// How much it has changed.
    pub(crate) fn effects(&self) -> u64 {
        self.effects.load(Ordering::Relaxed)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.died.is_cancelled()
    }

    pub(crate) fn die(&self) {
        self.died.cancel();
    }

    /// Waits for `answer` from somebody of this life; nothing comes when it dies.
    pub(crate) async fn ask<T>(&self, answer: impl Future<Output = T>) -> Option<T> {
        tokio::select! { biased;
            () = self.died.cancelled() => None,
            answer = answer => Some(answer),
        }
    }

    /// Lives `work` until it ends, answering its result, or until this life does.
    pub(crate) async fn live<T>(&self, world: &World, work: impl Future<Output = T>) -> Option<T> {
        let polls = match self.crash {
            Crash::Polls(polls) => polls,
            Crash::Never | Crash::Before(_) | Crash::After(_) | Crash::Effects(_) => u64::MAX,
        };
        let work = Polled {
            work: Box::pin(work),
            left: polls,
            world,
        };
        tokio::select! { biased;
            () = self.died.cancelled() => None,
            done = work => {
                if done.is_none() {
                    self.die();
                }
                done
            }
        }
    }
}

/// Ends, with nothing, when it was polled so often.
struct Polled<'a, F> {
    work: Pin<Box<F>>,
    left: u64,
    world: &'a World,
}

impl<F: Future> Future for Polled<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 && !self.world.weather.is_calm() {
            return Poll::Ready(None);
        }
        self.work.as_mut().poll(context).map(Some)
    }
}

/// What stands between a role and the ports: the weather, and its own mortality.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) world: Arc<World>,
    pub(crate) life: Arc<Life>,
}

impl Gate {
    /// A call that may be made twice. Of one that takes something away, what the first answered is lost then.
    pub(crate) async fn call<T, W>(
        &self,
        name: &'static str,
        mut call: impl FnMut() -> W,
    ) -> Result<T, Error>
    where
        W: Future<Output = Result<T, Error>>,
    {
        let fault = self.before(name).await?;
        let mut answer = call().await;
        if fault.twice {
            answer = call().await;
        }
        self.after(fault).await?;
        answer
    }

    /// A call that changes something and may be made twice.
    pub(crate) async fn change<T, W>(
        &self,
        name: &'static str,
        call: impl FnMut() -> W,
    ) -> Result<T, Error>
    where
        W: Future<Output = Result<T, Error>>,
    {
        let answer = self.call(name, call).await;
        self.effect(name).await;
        answer
    }

    /// Something outside is no longer as it was, and whoever did it may die of it.
    pub(crate) async fn effect(&self, name: &'static str) {
        let effects = self.life.effects.fetch_add(1, Ordering::Relaxed) + 1;
        backup::effect(&self.world, &self.life);
        if let Plot::Told(told) = &self.world.plot {
            told.effect();
        }
        if self.life.crash == Crash::Effects(effects) {
            self.world.note(format_args!("effect {effects}: {name}"));
            self.crash().await;
        }
        self.alive().await;
    }

    /// A request that is still on its way when everybody has forgotten it.
    pub(crate) fn late<F>(&self, request: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(ms) = self.world.weather.late() {
            let at = self.world.clock.elapsed_ms() + ms;
            self.world.post.send(at, Box::pin(request()));
        }
    }

    /// What is read may be damaged.
    pub(crate) fn spoil(&self, value: &mut [u8]) {
        if let Some(at) = self.world.weather.spoils(value.len()) {
            self.world.note(format_args!("byte {at} is damaged"));
            value[at] ^= 1;
        }
    }

    async fn before(&self, name: &'static str) -> Result<Fault, Error> {
        self.alive().await;
        let fault = self.world.weather.fault();
        let calls = self.life.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.world
            .note(format_args!("{} {name} {fault:?}", self.life.name));
        if self.life.crash == Crash::Before(calls) {
            self.crash().await;
        }
        if fault.wait_ms > 0 {
            sleep(Duration::from_millis(fault.wait_ms)).await;
            self.alive().await;
        }
        if fault.not_done {
            return Err(lost());
        }
        Ok(Fault {
            crash: self.life.crash == Crash::After(calls),
            ..fault
        })
    }

    async fn after(&self, fault: Fault) -> Result<(), Error> {
        self.alive().await;
        if fault.crash {
            self.crash().await;
        }
        self.stop(fault.stop_ms).await;
        if fault.answer_ms > 0 {
            sleep(Duration::from_millis(fault.answer_ms)).await;
            self.alive().await;
        }
        if fault.not_answered {
            return Err(lost());
        }
        Ok(())
    }

    async fn crash(&self) {
        if !self.world.weather.is_calm() {
            self.world.note(format_args!("{} crashes", self.life.name));
            self.life.die();
            pending::<()>().await;
        }
    }

    /// Whoever makes this call stands still for so long, with all that it is about.
    pub(crate) async fn stop(&self, ms: u64) {
        if ms > 0 {
            let until = self.world.clock.elapsed_ms() + ms;
            self.world
                .note(format_args!("{} stands still for {ms} ms", self.life.name));
            self.life.stopped_ms.fetch_max(until, Ordering::Relaxed);
            self.alive().await;
        }
    }

    /// The dead wait for ever, and who stands still until that is over.
    pub(crate) async fn alive(&self) {
        loop {
            if self.life.is_dead() {
                pending::<()>().await;
            }
            let until = self.life.stopped_ms.load(Ordering::Relaxed);
            let left = until.saturating_sub(self.world.clock.elapsed_ms());
            if left == 0 || self.world.weather.is_calm() {
                return;
            }
            sleep(Duration::from_millis(left.min(1_000))).await;
        }
    }
}

fn lost() -> Error {
    Error::Unavailable("the simulation lost it".to_owned())
}
