//! Tells when somebody sets the machine's clock while the program runs. Its own goes on as before.

use std::sync::Arc;
use std::time::Duration;

use gateway::{Component, ComponentState};
use store::clock::{Drift, Jump};
use tokio::time::{MissedTickBehavior, interval};

/// The clock is looked at so often.
const LOOK: Duration = Duration::from_secs(10);

/// Says it in the log, once for each jump. Never ends.
pub(crate) async fn watch(drift: Arc<Drift>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(Jump { was, is }) = drift.look() {
            tracing::warn!(
                %was,
                %is,
                ours = %drift.ours(),
                "the machine's clock was set from `was` to `is`. Nothing here moves with it: this process counts its \
                 own time, `ours`, from its start. If `is` is right, start again in good order; if not, set the clock \
                 right before the next start"
            );
        }
    }
}

/// How far the two clocks are apart, for whoever looks how the program is.
pub(crate) struct Clock(pub(crate) Arc<Drift>);

#[async_trait::async_trait]
impl Component for Clock {
    fn name(&self) -> &str {
        "clock"
    }

    async fn state(&self) -> ComponentState {
        let detail = self.0.apart().map(|ms| {
            let (by, way) = (ms.unsigned_abs(), if ms > 0 { "ahead of" } else { "behind" });
            let by = engine::duration::Duration::from_millis(by);
            format!("the machine's clock was set while this runs: it is {by} {way} the time that is counted here")
        });
        ComponentState {
            ok: true,
            detail: detail.unwrap_or_default(),
        }
    }
}
