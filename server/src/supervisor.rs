//! What systemd is told, where it has started us (`Type=notify`): that we are ready, that we live, that we end.

use std::future::pending;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// Requests are answered, or jobs taken.
pub(crate) fn ready() {
    tell(&NotifyState::Ready);
}

/// No more is begun.
pub(crate) fn stopping() {
    tell(&NotifyState::Stopping);
}

/// Says that we live, three times as often as must be, from among everything else that is done: where nothing is done any
/// more, nothing is said, and we are started again.
pub(crate) async fn live() {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else {
        return pending().await;
    };
    let mut turns = interval(within / 3);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        tell(&NotifyState::Watchdog);
    }
}

fn tell(what: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(what)) {
        tracing::debug!(%error, "systemd was not told");
    }
}
