//! Lists that break a promise.

use std::sync::Arc;

use async_trait::async_trait;
use engine::event::{ApprovalState, Event};
use engine::id::{RunId, RunKey, Shard, Tenant};
use engine::record::Encoded;

use super::{Seen, defects};
use crate::port::{
    ApprovalFilter, ApprovalRow, Delivery, Entry, Journal, NewRun, OpenRuns, Page, Paged,
    RunFilter, RunRow, Views,
};
use crate::{Backend, Error};

defects![
    a_row_shows_what_the_journal_says: HidesLabels,
    a_row_follows_its_run: ShowsTheFirstVersion,
    a_waiting_run_says_for_what: HidesReasons,
    runs_are_listed_newest_first: ListsOldestFirst,
    pages_of_runs_have_each_run_once: RepeatsARun,
    pages_of_runs_are_stable_while_runs_are_created: CountsRowsForItsCursor,
    a_page_of_runs_is_bounded: IgnoresTheLimit,
    a_cursor_of_runs_that_is_none_is_refused: TakesAnyCursorOfRuns,
    runs_are_listed_by_workflow: IgnoresWorkflow,
    runs_are_listed_by_status: IgnoresStatus,
    runs_are_listed_by_labels: IgnoresLabels,
    runs_are_listed_by_time: IgnoresTime,
    runs_are_listed_by_hook: IgnoresHook,
    runs_are_listed_by_fingerprint: IgnoresFingerprint,
    runs_are_listed_by_requester: IgnoresRequester,
    runs_are_listed_by_the_end_of_their_id: IgnoresEnding,
    filters_together_are_all_fulfilled: TakesTheFirstFilter,
    runs_are_listed_for_their_tenant: ListsRunsOfOneTenant,
    archived_runs_are_listed: HidesEndedRuns,
    lists_of_runs_survive_a_restart: ForgetsRunsAtRestart,
    a_damaged_run_is_shown_as_parked: IgnoresDamage,
    an_approval_shows_what_is_asked: HidesWhoMayDecide,
    an_approval_of_many_items_shows_what_is_asked: HidesTheAction,
    an_approval_follows_its_run: ShowsAllAsPending,
    asking_anew_is_another_approval: ShowsTheNewestAsking,
    approvals_are_listed_newest_first: ListsOldestApprovalsFirst,
    pages_of_approvals_have_each_once: RepeatsAnApproval,
    a_cursor_of_approvals_that_is_none_is_refused: TakesAnyCursorOfApprovals,
    approvals_are_listed_by_state: IgnoresState,
    approvals_are_listed_by_run: IgnoresRun,
    approvals_are_listed_for_those_who_may_decide: IgnoresRole,
    approvals_are_not_listed_for_who_asked: IgnoresPrincipal,
    approvals_are_listed_for_their_tenant: ListsApprovalsOfOneTenant,
    approvals_survive_archiving_and_a_restart: HidesUsedApprovals,
    a_delivery_shows_the_runs_that_it_made: ShowsOneRun,
    a_delivery_that_could_not_be_used_says_why: HidesErrors,
    deliveries_without_runs_are_remembered: ForgetsDeliveries,
    deliveries_are_listed_newest_first_in_parts: RepeatsADelivery,
    deliveries_are_those_of_the_hook: ListsDeliveriesOfOneHook,
    deliveries_with_runs_survive_a_restart: ForgetsDeliveriesAtRestart,
];

struct Wrapper {
    inner: Backend,
    how: How,
    seen: Seen<RunId>,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let wrapper = Arc::new(Wrapper {
        inner: backend.clone(),
        how,
        seen: Seen::new(),
    });
    let (journal, views) = (Arc::<Wrapper>::clone(&wrapper), wrapper);
    Backend {
        journal,
        views,
        ..backend
    }
}

/// The page from the start, where `wrong`.
fn from_start(page: &Page, wrong: bool) -> Page {
    let after = page.after.clone().filter(|_| !wrong);
    Page {
        after,
        ..page.clone()
    }
}

/// Shows the first row of a later part twice, where `wrong`.
fn repeat<T: Clone>(part: &mut Paged<T>, page: &Page, wrong: bool) {
    if let (true, Some(_), Some(first)) = (wrong, &page.after, part.items.first().cloned()) {
        part.items.insert(0, first);
    }
}

impl Wrapper {
    fn is(&self, how: How) -> bool {
        self.how == how
    }

    fn filter(&self, filter: &RunFilter) -> RunFilter {
        let mut filter = filter.clone();
        match self.how {
            How::IgnoresWorkflow => filter.workflow.clear(),
            How::IgnoresStatus => filter.status.clear(),
            How::IgnoresLabels => filter.labels.clear(),
            How::IgnoresTime => (filter.since, filter.until) = (None, None),
            How::IgnoresHook => filter.hook.clear(),
            How::IgnoresFingerprint => filter.fingerprint.clear(),
            How::IgnoresRequester => filter.requester.clear(),
            How::IgnoresEnding => filter.ending = None,
            How::TakesTheFirstFilter if !filter.workflow.is_empty() => {
                let workflow = filter.workflow;
                return RunFilter {
                    workflow,
                    ..RunFilter::default()
                };
            }
            _ => {}
        }
        filter
    }

    /// A part of the list whose cursor is the number of rows before it.
    async fn counted(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Paged<RunRow>, Error> {
        let whole = Page {
            limit: 1_000,
            after: None,
        };
        let mut all = self.inner.views.runs(tenant, filter, &whole).await?;
        let skip = page
            .after
            .as_ref()
            .and_then(|after| after.parse().ok())
            .unwrap_or(0);
        all.items = all.items.into_iter().skip(skip).take(page.limit).collect();
        all.next = Some((skip + page.limit).to_string());
        Ok(all)
    }

    fn show(&self, rows: &mut Vec<RunRow>) {
        match self.how {
            How::HidesLabels => rows.iter_mut().for_each(|row| row.labels.clear()),
            How::ShowsTheFirstVersion => rows.iter_mut().for_each(|row| row.version = 1),
            How::HidesReasons => rows.iter_mut().for_each(|row| row.reason = None),
            How::ListsOldestFirst => rows.reverse(),
            How::HidesEndedRuns => rows.retain(|row| !row.status.is_end()),
            How::ForgetsRunsAtRestart => rows.retain(|row| self.seen.has(&row.id)),
            _ => {}
        }
    }

    fn show_approvals(&self, rows: &mut Vec<ApprovalRow>) {
        match self.how {
            How::HidesWhoMayDecide => rows.iter_mut().for_each(|row| row.by.clear()),
            How::HidesTheAction => rows.iter_mut().for_each(|row| row.action.clear()),
            How::ShowsAllAsPending => rows
                .iter_mut()
                .for_each(|row| row.state = ApprovalState::Pending),
            How::ShowsTheNewestAsking => rows.dedup_by_key(|row| (row.id.run, row.id.step)),
            How::ListsOldestApprovalsFirst => rows.reverse(),
            How::HidesUsedApprovals => rows.retain(|row| row.state != ApprovalState::Used),
            _ => {}
        }
    }
}

#[async_trait]
impl Views for Wrapper {
    async fn runs(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Paged<RunRow>, Error> {
        if self.is(How::CountsRowsForItsCursor) {
            return self.counted(tenant, filter, page).await;
        }
        let one_tenant = self.is(How::ListsRunsOfOneTenant);
        let tenant = if one_tenant {
            Tenant::default()
        } else {
            tenant.clone()
        };
        let nonsense = page.after.as_deref() == Some("nonsense");
        let mut page = from_start(page, nonsense && self.is(How::TakesAnyCursorOfRuns));
        if self.is(How::IgnoresTheLimit) {
            page.limit = 1_000;
        }
        let mut part = self
            .inner
            .views
            .runs(&tenant, &self.filter(filter), &page)
            .await?;
        self.show(&mut part.items);
        repeat(&mut part, &page, self.is(How::RepeatsARun));
        Ok(part)
    }

    async fn approvals(
        &self,
        tenant: &Tenant,
        filter: &ApprovalFilter,
        page: &Page,
    ) -> Result<Paged<ApprovalRow>, Error> {
        let one_tenant = self.is(How::ListsApprovalsOfOneTenant);
        let tenant = if one_tenant {
            Tenant::default()
        } else {
            tenant.clone()
        };
        let mut filter = filter.clone();
        match self.how {
            How::IgnoresState => filter.state.clear(),
            How::IgnoresRun => filter.run = None,
            How::IgnoresRole => filter.role = None,
            How::IgnoresPrincipal => filter.principal = None,
            _ => {}
        }
        let page = from_start(page, self.is(How::TakesAnyCursorOfApprovals));
        let mut part = self.inner.views.approvals(&tenant, &filter, &page).await?;
        self.show_approvals(&mut part.items);
        repeat(&mut part, &page, self.is(How::RepeatsAnApproval));
        Ok(part)
    }

    async fn deliveries(
        &self,
        tenant: &Tenant,
        hook: &str,
        page: &Page,
    ) -> Result<Paged<Delivery>, Error> {
        let hook = if self.is(How::ListsDeliveriesOfOneHook) {
            "alerts"
        } else {
            hook
        };
        let mut part = self.inner.views.deliveries(tenant, hook, page).await?;
        match self.how {
            How::ShowsOneRun => part
                .items
                .iter_mut()
                .for_each(|delivery| delivery.runs.truncate(1)),
            How::HidesErrors => part
                .items
                .iter_mut()
                .for_each(|delivery| delivery.error = None),
            How::ForgetsDeliveriesAtRestart => {
                part.items
                    .retain(|delivery| delivery.runs.iter().all(|run| self.seen.has(run)));
            }
            _ => {}
        }
        repeat(&mut part, page, self.is(How::RepeatsADelivery));
        Ok(part)
    }

    async fn note_delivery(&self, tenant: &Tenant, delivery: &Delivery) -> Result<(), Error> {
        if self.is(How::ForgetsDeliveries) {
            return Ok(());
        }
        self.inner.views.note_delivery(tenant, delivery).await
    }

    async fn note_damaged(&self, key: &RunKey, what: &str) -> Result<(), Error> {
        if self.is(How::IgnoresDamage) {
            return Ok(());
        }
        self.inner.views.note_damaged(key, what).await
    }
}

#[async_trait]
impl Journal for Wrapper {
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error> {
        self.seen.add(record.key.run);
        self.inner.journal.append(record, events).await
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        self.inner.journal.read(key, after).await
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        self.inner.journal.open_runs(shard).await
    }

    async fn new_runs(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<NewRun>, Error> {
        self.inner.journal.new_runs(shard, sequence, max).await
    }
}
