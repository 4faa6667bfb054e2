//! The gateway without HTTP: what is done once it is known who asks, and that it is valid. The simulation comes this way.

use std::sync::Arc;

use engine::command::Command;
use engine::definition::{Per, Workflow};
use engine::event::{PinnedAction, RunCreated};
use engine::id::{CommandId, RunKey, Tenant};
use engine::language;
use engine::manifest::Actions;

use crate::Gateway;
use crate::command::Asked;
use crate::hook::alertmanager::Payload;
use crate::hook::settle::Settle;
use crate::hook::{Came, Delivery};
use crate::keyed::{Claimed, Keyed};
use crate::plans::{Ready, Triggered};
use crate::problem::Problem;
use crate::submit::Order;

/// Why something was not accepted. Unless it was refused, it is not known whether it happened: ask the same again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not accepted: {0}")]
pub struct NotAccepted(String);

/// Workflows that a hook starts.
#[derive(Debug)]
pub struct Triggers(Triggered);

impl Triggers {
    /// What starts this workflow at its first revision.
    ///
    /// # Errors
    /// Why it does not fit the actions.
    pub fn new(
        workflow: &Workflow,
        pinned: &[PinnedAction],
        actions: &Actions,
    ) -> Result<Self, String> {
        let ready = Ready {
            name: workflow.name.clone(),
            revision: 1,
            plan: language::plan(&workflow.bytes(), actions)?,
            actions: pinned.to_vec(),
        };
        let places = (0..workflow.on.len()).collect();
        let workflow = Arc::new(workflow.clone());
        Ok(Self(vec![(Ok(Arc::new(ready)), workflow, places)]))
    }
}

impl Gateway {
    /// Settles what an Alertmanager has delivered to a hook, and answers the runs that its alerts have. When it answers,
    /// they are durable.
    ///
    /// # Errors
    /// [`NotAccepted`] when the store does not take it, or when the body cannot be read.
    pub async fn deliver(
        &self,
        tenant: &Tenant,
        hook: &str,
        triggers: &Triggers,
        body: &[u8],
    ) -> Result<Vec<RunKey>, NotAccepted> {
        let settle = Settle {
            gate: &self.gate,
            tenant,
            delivery: Delivery {
                id: "delivery",
                hook,
                traceparent: "",
            },
            triggered: &triggers.0,
        };
        let payload = Payload::read(body).map_err(NotAccepted)?;
        let mut runs = Vec::new();
        for seen in payload.alerts().map_err(NotAccepted)? {
            let came = settle.alert(Per::Alert, &seen).await.map_err(refused)?;
            let found = match came {
                Came::Of(found) | Came::Known(found) => found,
                Came::Unmatched => Vec::new(),
            };
            runs.extend(found.iter().map(|f| self.gate.run_key(tenant, f.run)));
        }
        Ok(runs)
    }

    /// Creates the run of `created` under an `Idempotency-Key`, or finds the one that this key has made. When it
    /// answers, the run is durable.
    ///
    /// # Errors
    /// [`NotAccepted`] when the store does not take it, or when the key was used for something else.
    pub async fn submit(
        &self,
        tenant: &Tenant,
        key: &str,
        mut created: RunCreated,
    ) -> Result<RunKey, NotAccepted> {
        let workflow = created.workflow.as_ref().map_or("", |w| w.name.as_str());
        let path = format!("/api/v1/workflows/{workflow}/runs");
        let sent = Keyed::new(&created.requester, &path, key, key.as_bytes());
        let claimed = self.gate.claim(tenant, workflow, &sent).await;
        let run = match claimed.map_err(refused)? {
            Claimed::There(run) => return Ok(self.gate.run_key(tenant, run)),
            Claimed::New(run) => self.gate.run_key(tenant, run),
        };
        created.keys.push(sent.name);
        let order = Order {
            created,
            blobs: Vec::new(),
            failure: None,
        };
        self.gate.create(&run, order).await.map_err(refused)?;
        Ok(run)
    }

    /// Hands a command to a run, durably, and answers whether its owner has decided it in time.
    ///
    /// # Errors
    /// [`NotAccepted`] when the owner refuses it, or the store does not take it.
    pub async fn ask(
        &self,
        run: &RunKey,
        id: CommandId,
        command: &Command,
    ) -> Result<bool, NotAccepted> {
        let asked = self.gate.ask(run, id, command).await;
        match asked.map_err(refused)? {
            Asked::Decided | Asked::Already => Ok(true),
            Asked::Kept => Ok(false),
        }
    }
}

fn refused(problem: Problem) -> NotAccepted {
    NotAccepted(format!("{}: {}", problem.code, problem.detail))
}
