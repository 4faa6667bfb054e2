use std::collections::BTreeMap;

use async_trait::async_trait;
use engine::event::{ApprovalState, RunStatus};
use engine::id::{ApprovalId, RunId, RunKey, Tenant};
use engine::principal::{Permission, Principal, Role};
use engine::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Error;

/// What lists and searches show. May be lost; rebuilt from the journals.
#[async_trait]
pub trait Views: Send + Sync {
    /// Runs, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn runs(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Paged<RunRow>, Error>;

    /// Approvals, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn approvals(
        &self,
        tenant: &Tenant,
        filter: &ApprovalFilter,
        page: &Page,
    ) -> Result<Paged<ApprovalRow>, Error>;

    /// Deliveries of a hook, newest first: those that made runs, and a ring of the last 1,000 others.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn deliveries(
        &self,
        tenant: &Tenant,
        hook: &str,
        page: &Page,
    ) -> Result<Paged<Delivery>, Error>;

    /// Notes a delivery in the ring.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn note_delivery(&self, tenant: &Tenant, delivery: &Delivery) -> Result<(), Error>;

    /// Shows a run as parked although its journal cannot say so, because it is damaged.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn note_damaged(&self, key: &RunKey, what: &str) -> Result<(), Error>;
}

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many (1 to 1,000).
    pub limit: usize,
    /// After this one: `next` of the page before.
    pub after: Option<String>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next part begins, if there is one.
    pub next: Option<String>,
    /// Whether rows may be missing, because the view is being rebuilt or is damaged.
    pub incomplete: bool,
}

/// Which runs. Each list is an OR; all of them together an AND. An empty list asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of these workflows.
    pub workflow: Vec<String>,
    /// In one of these states.
    pub status: Vec<RunStatus>,
    /// With all of these labels, each with one of these values.
    pub labels: Vec<(String, Vec<String>)>,
    /// Created then or later.
    pub since: Option<Timestamp>,
    /// Created before.
    pub until: Option<Timestamp>,
    /// From one of these hooks.
    pub hook: Vec<String>,
    /// For one of these alerts.
    pub fingerprint: Vec<String>,
    /// Asked for by one of these.
    pub requester: Vec<String>,
    /// Whose id ends so.
    pub ending: Option<String>,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// The number of its last record.
    pub version: u64,
    /// Its workflow; `None` for an ad-hoc call.
    pub workflow: Option<String>,
    /// Its workflow's revision.
    pub revision: Option<u64>,
    /// Its status.
    pub status: RunStatus,
    /// The code of its failure, or why it waits.
    pub reason: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Who asked.
    pub requester: Principal,
    /// The hook that it came from.
    pub hook: Option<String>,
    /// The alert that it is for.
    pub fingerprint: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was taken up.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Which approvals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    /// In one of these states.
    pub state: Vec<ApprovalState>,
    /// Of this run.
    pub run: Option<RunId>,
    /// That somebody with this role may decide.
    pub role: Option<Role>,
    /// That this principal did not ask for, where that matters.
    pub principal: Option<Principal>,
}

/// An approval in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRow {
    /// Its id.
    pub id: ApprovalId,
    /// The step's name.
    pub step: String,
    /// The workflow; `None` for an ad-hoc call.
    pub workflow: Option<String>,
    /// What has become of it.
    pub state: ApprovalState,
    /// `agent/action`.
    pub action: String,
    /// What the step does to the world.
    pub permission: Permission,
    /// Who asked for the run.
    pub requester: Principal,
    /// Roles that may decide.
    pub by: Vec<Role>,
    /// How many must agree.
    pub quorum: u32,
    /// Whether the requester's own consent does not count.
    pub not_requester: bool,
    /// When people were asked.
    pub created_at: Timestamp,
    /// Until when the question stands.
    pub expires_at: Timestamp,
}

/// A delivery to a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id: a UUIDv7.
    pub id: String,
    /// To which hook.
    pub hook: String,
    /// When it came.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: DeliveryOutcome,
    /// The runs that it made or found.
    pub runs: Vec<RunId>,
    /// Why it was refused or went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its headers without credentials, when it made no run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The first 4 KiB of its body, when it made no run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What came of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryOutcome {
    /// It made runs.
    Accepted,
    /// It was known already.
    Duplicate,
    /// No workflow wanted it.
    Unmatched,
    /// It was not authentic or not readable.
    Refused,
    /// It made a run that failed at once: an expression or an input is wrong.
    Error,
}
