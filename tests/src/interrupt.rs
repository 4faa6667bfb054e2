//! Being told to end, in any of the ways that a terminal, a shell and a supervisor have.

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C, SIGTERM or the end of the terminal. Who dies of one of these unasked leaves behind what it started:
/// some servers take the end of their terminal for the wish to read their files again.
///
/// # Errors
/// Signals cannot be listened to.
pub async fn interrupted() -> Result<()> {
    let on = |kind| signal(kind).context("listening to signals");
    let mut int = on(SignalKind::interrupt())?;
    let mut term = on(SignalKind::terminate())?;
    let mut hup = on(SignalKind::hangup())?;
    tokio::select! { biased;
        _ = int.recv() => {}
        _ = term.recv() => {}
        _ = hup.recv() => {}
    }
    Ok(())
}
