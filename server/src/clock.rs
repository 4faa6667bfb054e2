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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use store::clock::Reading;
    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn lines(&self) -> Vec<String> {
            let text = self.0.lock().expect("no panic").clone();
            let text = String::from_utf8(text).expect("UTF-8");
            text.lines().map(str::to_owned).collect()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    const HOUR_MS: u64 = 3_600_000;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_while_this_runs_is_told_once_and_shown_until_it_is_right() {
        let log = Log::default();
        let format = tracing_subscriber::fmt().with_ansi(false).without_time();
        let logged = format.with_writer(log.clone()).finish();
        let _logged = tracing::subscriber::set_default(logged);
        // The wall's clock says so when the machine starts, and somebody sets it.
        let set = Arc::new(AtomicU64::new(24 * HOUR_MS));
        let (at, boot) = (set.clone(), Instant::now());
        let drift = Arc::new(Drift::of(move || {
            let boot = u64::try_from(boot.elapsed().as_millis()).expect("short");
            let wall = at.load(Ordering::Relaxed) + boot;
            Reading { wall, boot }
        }));
        let _watch = JoinSet::from_iter([watch(drift.clone())]);
        let shown = Clock(drift);
        let state = async || {
            // A few looks, in time that passes at once, and then it is between two of them.
            sleep(LOOK * 7 / 2).await;
            let state = shown.state().await;
            assert!(state.ok, "nothing here moves with it");
            (state.detail, log.lines().len())
        };
        assert_eq!(state().await, (String::new(), 0));

        set.fetch_add(HOUR_MS, Ordering::Relaxed);
        let (detail, told) = state().await;
        assert!(detail.contains("it is 1h ahead of"), "{detail}");
        assert_eq!(told, 1, "{:?}", log.lines());
        let line = log.lines().remove(0);
        for part in [
            " WARN ",
            "was=1970-01-02T00:00:40.000Z",
            "is=1970-01-02T01:00:40.000Z",
            "ours=1970-01-02T00:00:40.000Z",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }

        set.fetch_sub(2 * HOUR_MS, Ordering::Relaxed);
        let (detail, told) = state().await;
        assert!(detail.contains("it is 1h behind the"), "{detail}");
        assert_eq!(told, 2, "{:?}", log.lines());
        set.fetch_add(HOUR_MS, Ordering::Relaxed);
        assert_eq!(state().await, (String::new(), 3), "{:?}", log.lines());
    }
}
