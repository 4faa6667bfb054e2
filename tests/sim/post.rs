//! What arrives long after it was sent, and what rots where it lies.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::id::RunKey;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::world::World;

/// Requests that are still travelling when their sender has long given up, or has died.
#[derive(Default)]
pub(crate) struct Post {
    coming: Mutex<Vec<(u64, BoxFuture<'static, ()>)>>,
    more: Notify,
}

impl Post {
    /// Has it done once more, at so many milliseconds.
    pub(crate) fn send(&self, at_ms: u64, request: BoxFuture<'static, ()>) {
        let mut coming = self.coming.lock().expect("nobody panics with it");
        coming.push((at_ms, request));
        self.more.notify_one();
    }

    /// What is on its way is lost: who would take it is another.
    pub(crate) fn lose(&self) {
        self.coming.lock().expect("nobody panics with it").clear();
    }

    fn arrived(&self, now: u64) -> Result<BoxFuture<'static, ()>, Option<u64>> {
        let mut coming = self.coming.lock().expect("nobody panics with it");
        let next = coming.iter().map(|(at, _)| *at).min();
        let place = coming.iter().position(|(at, _)| *at <= now);
        place.map(|place| coming.remove(place).1).ok_or(next)
    }
}

/// Delivers, for ever.
pub(crate) async fn post(world: Arc<World>) {
    loop {
        let now = world.clock.elapsed_ms();
        match world.post.arrived(now) {
            Ok(request) => {
                world.note(format_args!("a late request arrives"));
                request.await;
            }
            Err(next) => {
                let ms = next.map_or(1_000_000, |next| next - now);
                tokio::select! { biased;
                    () = world.post.more.notified() => {}
                    () = sleep(Duration::from_millis(ms)) => {}
                }
            }
        }
    }
}

/// The stored records of an open run are damaged, and nobody knows it yet.
pub(crate) async fn damage(world: Arc<World>, after: Duration) {
    sleep(after).await;
    let open: Vec<RunKey> = world.judge.known(|known| {
        let open = known
            .runs
            .iter()
            .filter(|(_, seen)| !seen.run.status().is_end());
        open.map(|(key, _)| key.clone()).collect()
    });
    if open.is_empty() || world.weather.is_calm() {
        return;
    }
    let key = world.throw(|dice| dice.pick(&open));
    world.note(format_args!("{} is damaged", key.run));
    world.ground.damage(&key);
    world.judge.damaged(&key);
}
