//! Promises of the lists of runs.

use std::collections::BTreeMap;

use engine::event::{ApprovalState, Event, RunStatus};
use engine::id::{RunId, Shard, StepNo, Tenant};
use engine::principal::Principal;
use engine::time::Timestamp;

use super::super::sample::{Birth, Sample, Terms, failure};
use super::super::{Broken, Verdict, World, cases, first, must, none, refused, same, store};
use crate::port::{Page, Paged, RunFilter, RunRow};

cases![
    a_row_shows_what_the_journal_says,
    a_row_follows_its_run,
    a_waiting_run_says_for_what,
    runs_are_listed_newest_first,
    pages_of_runs_have_each_run_once,
    pages_of_runs_are_stable_while_runs_are_created,
    a_page_of_runs_is_bounded,
    a_cursor_of_runs_that_is_none_is_refused,
    runs_are_listed_by_workflow,
    runs_are_listed_by_status,
    runs_are_listed_by_labels,
    runs_are_listed_by_time,
    runs_are_listed_by_hook,
    runs_are_listed_by_fingerprint,
    runs_are_listed_by_requester,
    runs_are_listed_by_the_end_of_their_id,
    filters_together_are_all_fulfilled,
    runs_are_listed_for_their_tenant,
    archived_runs_are_listed,
    lists_of_runs_survive_a_restart,
    a_damaged_run_is_shown_as_parked,
];

fn tenant() -> Tenant {
    Tenant::default()
}

async fn list(world: &World, filter: &RunFilter, page: &Page) -> Result<Paged<RunRow>, Broken> {
    Ok(world.backend.views.runs(&tenant(), filter, page).await?)
}

async fn only_row(world: &World) -> Result<RunRow, Broken> {
    let rows = list(world, &RunFilter::default(), &first(10)).await?.items;
    let [row] = &rows[..] else {
        return Err(Broken(format!("not one row: {rows:?}")));
    };
    Ok(row.clone())
}

async fn a_row_shows_what_the_journal_says(world: World) -> Verdict {
    let birth = Birth {
        labels: vec![("team", "payments"), ("env", "prod")],
        hook: Some(("alerts", "d".to_owned())),
        fingerprint: Some("f00d"),
        requester: Principal::Hook("alerts".to_owned()),
        ..Birth::number(1)
    };
    let mut run = Sample::born(&birth);
    store(&world.backend, &run).await?;
    let mut expected = RunRow {
        id: run.key.run,
        version: 1,
        workflow: Some("hello".to_owned()),
        revision: Some(3),
        status: RunStatus::Queued,
        reason: None,
        labels: BTreeMap::from(
            [("env", "prod"), ("team", "payments")].map(|(k, v)| (k.to_owned(), v.to_owned())),
        ),
        requester: birth.requester.clone(),
        hook: Some("alerts".to_owned()),
        fingerprint: Some("f00d".to_owned()),
        created_at: birth.at,
        started_at: None,
        ended_at: None,
    };
    same!(only_row(&world).await?, expected);
    run.start().end(Some("timeout"));
    for (record, events) in &run.records[1..] {
        world.backend.journal.append(record, events).await?;
    }
    expected.version = 3;
    expected.status = RunStatus::Failed;
    expected.reason = Some("timeout".to_owned());
    expected.started_at = Some(run.records[1].0.at);
    expected.ended_at = Some(run.records[2].0.at);
    same!(only_row(&world).await?, expected);
    Ok(())
}

async fn a_row_follows_its_run(world: World) -> Verdict {
    let mut run = Sample::born(&Birth::number(1));
    store(&world.backend, &run).await?;
    let mut next = run.clone();
    // A record that changes neither status nor reason counts, too.
    for status in [
        RunStatus::Running,
        RunStatus::Running,
        RunStatus::Waiting,
        RunStatus::Parked,
    ] {
        next.next(status, Vec::new());
    }
    next.end(None);
    for (record, events) in &next.records[1..] {
        world.backend.journal.append(record, events).await?;
        let row = only_row(&world).await?;
        same!((row.status, row.version), (record.summary.status, record.n));
    }
    run.start();
    Ok(())
}

async fn a_waiting_run_says_for_what(world: World) -> Verdict {
    let step = StepNo(1);
    let wait = vec![Event::WaitStarted {
        step,
        until: Timestamp::MAX,
    }];
    let (state, reason) = (ApprovalState::Approved, None);
    let close = vec![Event::ApprovalClosed {
        step: StepNo(0),
        state,
        reason,
        asking: None,
    }];
    let doubt = vec![Event::StepInDoubt {
        step,
        reason: "no answer".to_owned(),
    }];
    let parked = vec![Event::RunParked {
        failure: failure("record_damaged"),
    }];
    let mut run = Sample::born(&Birth::number(1));
    run.start()
        .next(RunStatus::Waiting, wait)
        .ask(1, &Terms::default())
        .next(RunStatus::Waiting, Vec::new())
        .next(RunStatus::Waiting, close)
        .next(RunStatus::Waiting, doubt)
        .next(RunStatus::Running, Vec::new())
        .next(RunStatus::Parked, parked)
        .end(None);
    let reasons = [
        None,
        None,
        Some("timer"),
        Some("approval"),
        Some("approval"),
        Some("timer"),
        Some("in_doubt"),
        None,
        Some("record_damaged"),
        None,
    ];
    for ((record, events), reason) in run.records.iter().zip(reasons) {
        world.backend.journal.append(record, events).await?;
        same!(
            (record.n, only_row(&world).await?.reason.as_deref()),
            (record.n, reason)
        );
    }
    Ok(())
}

/// Runs of many kinds: 48 of them in two shards, whatever order they are stored in.
async fn fill(world: &World) -> Result<Vec<RunRow>, Broken> {
    let mut rows = Vec::new();
    for number in 0..48 {
        let birth = kind(number);
        let mut run = Sample::born(&birth);
        match number % 5 {
            0 => {}
            1 => drop(run.start()),
            2 => drop(run.start().end(None)),
            3 => drop(run.end(Some("timeout"))),
            _ => drop(run.next(RunStatus::Waiting, Vec::new())),
        }
        store(&world.backend, &run).await?;
        rows.push(row(&birth, &run));
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.id));
    Ok(rows)
}

fn kind(number: u64) -> Birth {
    let pick = |of: &[&'static str], by: u64| of[usize::try_from(by).unwrap_or(0) % of.len()];
    // Neighbours are stored in another order than they sort.
    let place = if number.is_multiple_of(2) {
        number + 1
    } else {
        number - 1
    };
    let hook =
        (number % 4 == 1).then(|| (pick(&["alerts", "ci"], number / 4), format!("d{number}")));
    Birth {
        shard: Shard(u16::try_from(number % 2).unwrap_or(0)),
        workflow: (!number.is_multiple_of(7))
            .then(|| pick(&["silence", "restart", "rotate"], number)),
        labels: match number % 3 {
            0 => vec![("team", pick(&["a", "b", "c"], number / 3))],
            1 => vec![("team", "a"), ("env", pick(&["prod", "test"], number / 3))],
            _ => Vec::new(),
        },
        requester: Principal::Key(pick(&["ann", "bob", "eve"], number / 5).to_owned()),
        fingerprint: hook.as_ref().map(|_| pick(&["f1", "f2"], number / 8)),
        hook,
        ..Birth::number(place)
    }
}

fn row(birth: &Birth, run: &Sample) -> RunRow {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    RunRow {
        id: run.key.run,
        version: run.last().0.n,
        workflow: birth.workflow.map(str::to_owned),
        revision: None,
        status: run.last().0.summary.status,
        reason: None,
        labels: birth.labels.iter().map(owned).collect(),
        requester: birth.requester.clone(),
        hook: birth.hook.as_ref().map(|(hook, _)| (*hook).to_owned()),
        fingerprint: birth.fingerprint.map(str::to_owned),
        created_at: birth.at,
        started_at: None,
        ended_at: None,
    }
}

fn ids(rows: &[RunRow]) -> Vec<RunId> {
    rows.iter().map(|row| row.id).collect()
}

/// All ids of a list, part by part.
async fn walk(world: &World, filter: &RunFilter, limit: usize) -> Result<Vec<RunId>, Broken> {
    let mut page = first(limit);
    let mut all = Vec::new();
    loop {
        let part = list(world, filter, &page).await?;
        must!(
            part.items.len() <= limit,
            "{} rows in a page of {limit}",
            part.items.len()
        );
        must!(!part.incomplete, "nothing is being rebuilt");
        must!(all.len() <= 1_000, "the list does not end");
        all.extend(ids(&part.items));
        match part.next {
            Some(_) if part.items.is_empty() => {
                return Err(Broken("an empty part has a next".to_owned()));
            }
            Some(next) => page.after = Some(next),
            None => return Ok(all),
        }
    }
}

async fn runs_are_listed_newest_first(world: World) -> Verdict {
    let rows = fill(&world).await?;
    same!(
        walk(&world, &RunFilter::default(), 1_000).await?,
        ids(&rows)
    );
    Ok(())
}

async fn pages_of_runs_have_each_run_once(world: World) -> Verdict {
    let rows = fill(&world).await?;
    for limit in [1, 7, 16, 48, 49] {
        same!(
            walk(&world, &RunFilter::default(), limit).await?,
            ids(&rows)
        );
    }
    Ok(())
}

async fn pages_of_runs_are_stable_while_runs_are_created(world: World) -> Verdict {
    let rows = fill(&world).await?;
    let part = list(&world, &RunFilter::default(), &first(20)).await?;
    for number in 100..130 {
        store(&world.backend, &Sample::born(&Birth::number(number))).await?;
    }
    let rest = Page {
        limit: 100,
        after: part.next,
    };
    same!(
        ids(&list(&world, &RunFilter::default(), &rest).await?.items),
        ids(&rows)[20..]
    );
    Ok(())
}

async fn a_page_of_runs_is_bounded(world: World) -> Verdict {
    fill(&world).await?;
    for limit in [1, 5] {
        same!(
            list(&world, &RunFilter::default(), &first(limit))
                .await?
                .items
                .len(),
            limit
        );
    }
    Ok(())
}

async fn a_cursor_of_runs_that_is_none_is_refused(world: World) -> Verdict {
    let after = Some("nonsense".to_owned());
    let page = Page { limit: 5, after };
    refused!(
        Conflict,
        world
            .backend
            .views
            .runs(&tenant(), &RunFilter::default(), &page)
            .await
    );
    Ok(())
}

/// The list by a filter is the rows that the filter's own words select.
async fn agree(world: &World, rows: &[RunRow], filter: RunFilter) -> Verdict {
    let wanted: Vec<RunRow> = rows
        .iter()
        .filter(|row| selects(&filter, row))
        .cloned()
        .collect();
    must!(!wanted.is_empty(), "the filter selects nothing: {filter:?}");
    for limit in [3, 1_000] {
        let found = walk(world, &filter, limit).await?;
        must!(
            found == ids(&wanted),
            "{filter:?} in parts of {limit}: {found:?}"
        );
    }
    Ok(())
}

/// What the port says of a filter, in plain words.
fn selects(filter: &RunFilter, row: &RunRow) -> bool {
    let one_of = |wanted: &[String], have: Option<&str>| {
        wanted.is_empty() || have.is_some_and(|have| wanted.iter().any(|want| want == have))
    };
    let has_label = |(name, values): &(String, Vec<String>)| {
        row.labels
            .get(name)
            .is_some_and(|have| values.contains(have))
    };
    one_of(&filter.workflow, row.workflow.as_deref())
        && one_of(&filter.hook, row.hook.as_deref())
        && one_of(&filter.fingerprint, row.fingerprint.as_deref())
        && one_of(&filter.requester, Some(&row.requester.to_string()))
        && (filter.status.is_empty() || filter.status.contains(&row.status))
        && filter.labels.iter().all(has_label)
        && filter.since.is_none_or(|since| row.created_at >= since)
        && filter.until.is_none_or(|until| row.created_at < until)
        && filter
            .ending
            .as_ref()
            .is_none_or(|ending| row.id.to_string().ends_with(ending))
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn labels(labels: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let one = |(name, values): &(&str, &[&str])| ((*name).to_owned(), texts(values));
    labels.iter().map(one).collect()
}

async fn runs_are_listed_by_workflow(world: World) -> Verdict {
    let rows = fill(&world).await?;
    for workflow in [texts(&["silence"]), texts(&["silence", "rotate", "none"])] {
        agree(
            &world,
            &rows,
            RunFilter {
                workflow,
                ..RunFilter::default()
            },
        )
        .await?;
    }
    Ok(())
}

async fn runs_are_listed_by_status(world: World) -> Verdict {
    let rows = fill(&world).await?;
    let several = vec![RunStatus::Failed, RunStatus::Waiting, RunStatus::Rejected];
    for status in [
        vec![RunStatus::Succeeded],
        vec![RunStatus::Running],
        several,
    ] {
        agree(
            &world,
            &rows,
            RunFilter {
                status,
                ..RunFilter::default()
            },
        )
        .await?;
    }
    Ok(())
}

async fn runs_are_listed_by_labels(world: World) -> Verdict {
    let rows = fill(&world).await?;
    let both = labels(&[("team", &["a"]), ("env", &["prod"])]);
    for labels in [
        labels(&[("team", &["b"])]),
        labels(&[("team", &["a", "c"])]),
        both,
    ] {
        agree(
            &world,
            &rows,
            RunFilter {
                labels,
                ..RunFilter::default()
            },
        )
        .await?;
    }
    Ok(())
}

async fn runs_are_listed_by_time(world: World) -> Verdict {
    let rows = fill(&world).await?;
    let at = |number| Some(Birth::number(number).at);
    for (since, until) in [
        (at(40), None),
        (None, at(10)),
        (at(10), at(11)),
        (at(5), at(40)),
    ] {
        agree(
            &world,
            &rows,
            RunFilter {
                since,
                until,
                ..RunFilter::default()
            },
        )
        .await?;
    }
    Ok(())
}

async fn runs_are_listed_by_hook(world: World) -> Verdict {
    let rows = fill(&world).await?;
    for hook in [texts(&["ci"]), texts(&["ci", "alerts"])] {
        agree(
            &world,
            &rows,
            RunFilter {
                hook,
                ..RunFilter::default()
            },
        )
        .await?;
    }
    Ok(())
}

async fn runs_are_listed_by_fingerprint(world: World) -> Verdict {
    let rows = fill(&world).await?;
    for fingerprint in [texts(&["f2"]), texts(&["f1", "f2"])] {
        agree(
            &world,
            &rows,
            RunFilter {
                fingerprint,
                ..RunFilter::default()
            },
        )
        .await?;
    }
    Ok(())
}

async fn runs_are_listed_by_requester(world: World) -> Verdict {
    let rows = fill(&world).await?;
    for requester in [texts(&["key:eve"]), texts(&["key:ann", "key:bob"])] {
        agree(
            &world,
            &rows,
            RunFilter {
                requester,
                ..RunFilter::default()
            },
        )
        .await?;
    }
    Ok(())
}

async fn runs_are_listed_by_the_end_of_their_id(world: World) -> Verdict {
    let rows = fill(&world).await?;
    let id = rows[7].id.to_string();
    for length in [1, 2, 5, 6, 12, 13, 36] {
        let ending = Some(id[id.len() - length..].to_owned());
        agree(
            &world,
            &rows,
            RunFilter {
                ending,
                ..RunFilter::default()
            },
        )
        .await?;
    }
    for ending in ["zzzzzz", "%", "é"] {
        let filter = RunFilter {
            ending: Some(ending.to_owned()),
            ..RunFilter::default()
        };
        none!(walk(&world, &filter, 10).await?);
    }
    Ok(())
}

async fn filters_together_are_all_fulfilled(world: World) -> Verdict {
    let rows = fill(&world).await?;
    let none = RunFilter::default;
    let together = [
        RunFilter {
            workflow: texts(&["silence", "restart"]),
            status: vec![RunStatus::Failed, RunStatus::Queued],
            ..none()
        },
        RunFilter {
            status: vec![RunStatus::Succeeded],
            labels: labels(&[("team", &["a", "b"])]),
            since: Some(Birth::number(10).at),
            ..none()
        },
        RunFilter {
            hook: texts(&["alerts"]),
            fingerprint: texts(&["f1", "f2"]),
            requester: texts(&["key:ann", "key:eve"]),
            until: Some(Birth::number(45).at),
            ..none()
        },
        RunFilter {
            requester: texts(&["key:ann", "key:bob"]),
            workflow: texts(&["restart"]),
            labels: labels(&[("team", &["a"]), ("env", &["test", "prod"])]),
            ..none()
        },
    ];
    for filter in together {
        agree(&world, &rows, filter).await?;
    }
    Ok(())
}

async fn runs_are_listed_for_their_tenant(world: World) -> Verdict {
    let mut birth = Birth {
        labels: vec![("team", "a")],
        ..Birth::number(1)
    };
    store(&world.backend, &Sample::born(&birth)).await?;
    let Some(other) = Tenant::new("other") else {
        return Ok(());
    };
    birth.tenant = other.clone();
    birth.number = 2;
    let theirs = Sample::born(&birth);
    store(&world.backend, &theirs).await?;
    let by_label = RunFilter {
        labels: labels(&[("team", &["a"])]),
        ..RunFilter::default()
    };
    let by_workflow = RunFilter {
        workflow: texts(&["hello"]),
        ..RunFilter::default()
    };
    for filter in [RunFilter::default(), by_label, by_workflow] {
        let rows = world
            .backend
            .views
            .runs(&other, &filter, &first(10))
            .await?
            .items;
        same!(ids(&rows), [theirs.key.run]);
    }
    Ok(())
}

async fn archived_runs_are_listed(world: World) -> Verdict {
    let run = Sample::whole(&Birth::number(1));
    store(&world.backend, &run).await?;
    let before = only_row(&world).await?;
    world.backend.archive.archive(&[run.key]).await?;
    same!(only_row(&world).await?, before);
    Ok(())
}

async fn lists_of_runs_survive_a_restart(mut world: World) -> Verdict {
    let rows = fill(&world).await?;
    let before = list(&world, &RunFilter::default(), &first(100))
        .await?
        .items;
    world.restart().await;
    same!(ids(&before), ids(&rows));
    same!(
        list(&world, &RunFilter::default(), &first(100))
            .await?
            .items,
        before
    );
    Ok(())
}

async fn a_damaged_run_is_shown_as_parked(world: World) -> Verdict {
    let (sick, well) = (
        Sample::born(&Birth::number(1)),
        Sample::born(&Birth::number(2)),
    );
    store(&world.backend, &sick).await?;
    store(&world.backend, &well).await?;
    world
        .backend
        .views
        .note_damaged(&sick.key, "record 1")
        .await?;
    let filter = RunFilter {
        status: vec![RunStatus::Parked],
        ..RunFilter::default()
    };
    let rows = list(&world, &filter, &first(10)).await?.items;
    same!(ids(&rows), [sick.key.run]);
    same!(rows[0].status, RunStatus::Parked);
    same!(rows[0].reason.as_deref(), Some("record_damaged"));
    Ok(())
}
