//! What a server has, counted: in its lists, and in its own figures.

use anyhow::{Context as _, bail};
use http::{Method, StatusCode};
use serde::Deserialize;

use super::{Api, told};

/// How many runs one page of a list shows.
const PAGE: u32 = 1000;

#[derive(Deserialize)]
struct Page {
    items: Vec<serde::de::IgnoredAny>,
    next_cursor: Option<String>,
}

impl Api {
    /// Counts the runs that the server has of a workflow.
    ///
    /// # Errors
    /// A request fails.
    pub(crate) async fn count(&self, workflow: &str) -> anyhow::Result<u64> {
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let path = format!("/api/v1/runs?workflow={workflow}&limit={PAGE}{cursor}");
            let (status, body) = self.call(Method::GET, &path, None, String::new()).await?;
            if status != StatusCode::OK {
                bail!("the runs of {workflow}: {}", told(status, &body));
            }
            let page: Page = serde_json::from_slice(&body).context("a page of runs")?;
            count += u64::try_from(page.items.len())?;
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(count),
            }
        }
    }

    /// What the server has counted under this name; 0 where it has counted nothing yet.
    ///
    /// # Errors
    /// The request fails.
    pub(crate) async fn counted(&self, name: &str) -> anyhow::Result<u64> {
        let asked = self.call(Method::GET, "/metrics", None, String::new());
        let (status, body) = asked.await?;
        if status != StatusCode::OK {
            bail!("/metrics: {}", told(status, &body));
        }
        Ok(counted(&String::from_utf8_lossy(&body), name))
    }
}

/// Of Prometheus' text format: the figure of this name, which has no labels.
fn counted(metrics: &str, name: &str) -> u64 {
    let figure = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(figure).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn a_figure_is_read_by_its_whole_name() {
        let text = "# TYPE a_total counter\na_total_more 7\na_total 12\nb_total{x=\"y\"} 3\n";
        let read = (counted(text, "a_total"), counted(text, "b_total"));
        assert_eq!(read, (12, 0));
    }
}
