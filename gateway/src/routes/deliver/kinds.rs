//! What each type of hook makes of a delivery that was found authentic.

use engine::definition::Per;
use futures::{StreamExt, TryStreamExt, stream};
use http::HeaderMap;

use super::Door;
use crate::hook::alertmanager::Payload;
use crate::hook::settle::Settle;
use crate::hook::{Came, Delivery, generic, github, trigger};
use crate::plans::Triggered;
use crate::problem::Problem;

/// So many alerts of one delivery are settled at once: their writes share commits.
const ALERTS_AT_ONCE: usize = 64;

impl Door<'_> {
    pub(super) async fn alertmanager(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<Came>, Problem> {
        let unreadable = |why: String| self.malformed(headers, body, &why);
        let payload = Payload::read(body).map_err(unreadable)?;
        let triggered = self.gate.triggered(&self.hook.name).await?;
        let settle = self.settle(&triggered);
        let mut all = Vec::new();
        if trigger::has(&triggered, Per::Alert) {
            let alerts = payload.alerts().map_err(unreadable)?;
            let settle = &settle;
            let settled = stream::iter(alerts)
                .map(|seen| async move { settle.alert(Per::Alert, &seen).await })
                .buffered(ALERTS_AT_ONCE);
            all = settled.try_collect().await?;
        }
        if trigger::has(&triggered, Per::Group)
            && let Some(seen) = payload.group().map_err(unreadable)?
        {
            all.push(settle.alert(Per::Group, &seen).await?);
        }
        Ok(all)
    }

    pub(super) async fn github(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<Came>, Problem> {
        let what =
            github::occurrence(headers, body).map_err(|why| self.malformed(headers, body, &why))?;
        if github::is_ping(&what) {
            return Ok(vec![Came::Unmatched]);
        }
        let triggered = self.gate.triggered(&self.hook.name).await?;
        let identity = Ok(Some(github::identity(body)));
        Ok(vec![self.settle(&triggered).event(&what, identity).await?])
    }

    pub(super) async fn generic(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<Came>, Problem> {
        let what = generic::occurrence(self.hook, &self.id, headers, body)
            .map_err(|why| self.malformed(headers, body, &why))?;
        let triggered = self.gate.triggered(&self.hook.name).await?;
        let identity = generic::identity(self.hook, &what.event);
        Ok(vec![self.settle(&triggered).event(&what, identity).await?])
    }

    fn settle<'a>(&'a self, triggered: &'a Triggered) -> Settle<'a> {
        Settle {
            gate: self.gate,
            tenant: self.tenant,
            delivery: Delivery {
                id: &self.id,
                hook: &self.hook.name,
                traceparent: &self.traceparent,
            },
            triggered,
        }
    }
}
