//! The gateway without HTTP: what is done once it is known who asks, and that it is valid. The simulation comes this way.

use engine::command::Command;
use engine::event::RunCreated;
use engine::id::{CommandId, RunKey, Tenant};

use crate::Gateway;
use crate::command::Asked;
use crate::keyed::{Claimed, Keyed};
use crate::problem::Problem;
use crate::submit::Order;

/// Why something was not accepted. Unless it was refused, it is not known whether it happened: ask the same again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not accepted: {0}")]
pub struct NotAccepted(String);

impl Gateway {
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
