//! Waiting for facts.

use anyhow::{Context as _, Result};
use std::time::Duration;

/// How long a fact may take to come: generous, for a loaded machine with two cores builds beside the tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks. Short, for most facts come within milliseconds.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks until `look` finds what is wanted, for at most [`PATIENCE`].
///
/// # Errors
/// Says what was waited for and what the last look found instead.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    until_within(PATIENCE, what, look).await
}

/// [`until`] with a limit of its own.
///
/// # Errors
/// As [`until`].
pub async fn until_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let mut last = None;
    let looking = async {
        loop {
            match look().await {
                Ok(found) => return found,
                Err(reason) => last = Some(reason),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    match tokio::time::timeout(limit, looking).await {
        Ok(found) => Ok(found),
        Err(_) => {
            let last = last.unwrap_or_else(|| anyhow::anyhow!("the first look has not come back"));
            Err(last).with_context(|| format!("waited {} s in vain for {what}", limit.as_secs()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_is_found() {
        let mut looks = 0;
        let found = until("the third look", async || {
            looks += 1;
            if looks < 3 {
                bail!("look {looks}")
            } else {
                Ok(looks)
            }
        });
        assert_eq!(found.await.expect("it comes"), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_is_named_with_the_last_reason() {
        let error = until("a miracle", async || -> Result<()> { bail!("not today") })
            .await
            .expect_err("it never comes");
        assert_eq!(
            format!("{error:#}"),
            "waited 30 s in vain for a miracle: not today"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_is_given_up() {
        let error = until("an answer", async || -> Result<()> {
            std::future::pending().await
        })
        .await
        .expect_err("it hangs");
        assert!(format!("{error:#}").contains("not come back"));
    }
}
