//! Promises of the lists of approvals.

use engine::event::ApprovalState;
use engine::id::{ApprovalId, StepNo, Tenant};
use engine::principal::{Permission, Principal, Role};
use engine::time::Timestamp;

use super::super::sample::{Birth, Sample, Terms, consent};
use super::super::{Broken, Verdict, World, cases, first, must, none, refused, same, store};
use crate::port::{ApprovalFilter, ApprovalRow, Page};

cases![
    an_approval_shows_what_is_asked,
    an_approval_of_many_items_shows_what_is_asked,
    an_approval_follows_its_run,
    asking_anew_is_another_approval,
    approvals_are_listed_newest_first,
    pages_of_approvals_have_each_once,
    a_cursor_of_approvals_that_is_none_is_refused,
    approvals_are_listed_by_state,
    approvals_are_listed_by_run,
    approvals_are_listed_for_those_who_may_decide,
    approvals_are_not_listed_for_who_asked,
    approvals_are_listed_for_their_tenant,
    approvals_survive_archiving_and_a_restart,
];

async fn list(world: &World, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>, Broken> {
    let views = &world.backend.views;
    Ok(views
        .approvals(&Tenant::default(), filter, &first(100))
        .await?
        .items)
}

async fn all(world: &World) -> Result<Vec<ApprovalRow>, Broken> {
    list(world, &ApprovalFilter::default()).await
}

/// A run that asks on these terms.
async fn ask(world: &World, number: u64, terms: &Terms) -> Result<Sample, Broken> {
    let mut run = Sample::born(&Birth::number(number));
    run.start().ask(1, terms);
    store(&world.backend, &run).await?;
    Ok(run)
}

fn expected(run: &Sample, asking: u32, terms: &Terms) -> ApprovalRow {
    let step = StepNo(0);
    let at = run.last().0.at;
    ApprovalRow {
        id: ApprovalId {
            run: run.key.run,
            step,
            asking,
        },
        step: "silence".to_owned(),
        workflow: Some("hello".to_owned()),
        state: ApprovalState::Pending,
        action: "alertmanager/create_silence".to_owned(),
        permission: terms.permission,
        requester: Principal::Key("sample".to_owned()),
        by: terms.by.clone(),
        quorum: 1,
        not_requester: terms.not_requester,
        created_at: at,
        expires_at: Timestamp::from_millis(at.millis() - 1_000 + 3_600_000),
    }
}

async fn an_approval_shows_what_is_asked(world: World) -> Verdict {
    let terms = Terms {
        permission: Permission::Admin,
        by: vec![Role::Engineer, Role::Admin],
        not_requester: true,
        ..Terms::default()
    };
    let run = ask(&world, 1, &terms).await?;
    same!(all(&world).await?, [expected(&run, 1, &terms)]);
    Ok(())
}

/// Their bytes are too large for the event.
async fn an_approval_of_many_items_shows_what_is_asked(world: World) -> Verdict {
    let terms = Terms {
        size: 20_000,
        ..Terms::default()
    };
    let mut run = Sample::born(&Birth::number(1));
    run.start();
    store(&world.backend, &run).await?;
    let bytes = consent(&run.key, 1, &terms, run.last().0.at);
    let digest = engine::digest::Digest::of(&bytes);
    world.backend.blobs.put(&run.key, digest, &bytes).await?;
    run.ask(1, &terms);
    world
        .backend
        .journal
        .append(run.last().0, run.last().1)
        .await?;
    same!(all(&world).await?, [expected(&run, 1, &terms)]);
    Ok(())
}

async fn an_approval_follows_its_run(world: World) -> Verdict {
    let mut run = ask(&world, 1, &Terms::default()).await?;
    for state in [ApprovalState::Approved, ApprovalState::Used] {
        run.close(state);
        world
            .backend
            .journal
            .append(run.last().0, run.last().1)
            .await?;
        same!(all(&world).await?.first().map(|row| row.state), Some(state));
    }
    Ok(())
}

async fn asking_anew_is_another_approval(world: World) -> Verdict {
    let mut run = ask(&world, 1, &Terms::default()).await?;
    run.close(ApprovalState::Withdrawn)
        .ask(2, &Terms::default());
    run.close(ApprovalState::Rejected);
    for (record, events) in &run.records[3..] {
        world.backend.journal.append(record, events).await?;
    }
    let states: Vec<_> = all(&world)
        .await?
        .iter()
        .map(|row| (row.id.asking, row.state))
        .collect();
    same!(
        states,
        [(2, ApprovalState::Rejected), (1, ApprovalState::Withdrawn)]
    );
    Ok(())
}

/// Thirty approvals in three states, newest first.
async fn fill(world: &World) -> Result<Vec<ApprovalRow>, Broken> {
    let mut rows = Vec::new();
    for number in 0..30 {
        let terms = Terms {
            permission: if number % 2 == 0 {
                Permission::Modify
            } else {
                Permission::Admin
            },
            by: match number % 5 {
                0 => vec![Role::Operator],
                1 => vec![Role::Admin],
                _ => Vec::new(),
            },
            not_requester: number % 4 == 0,
            ..Terms::default()
        };
        let mut run = ask(world, number, &terms).await?;
        let mut row = expected(&run, 1, &terms);
        if number % 3 != 0 {
            row.state = if number % 3 == 1 {
                ApprovalState::Approved
            } else {
                ApprovalState::Expired
            };
            run.close(row.state);
            world
                .backend
                .journal
                .append(run.last().0, run.last().1)
                .await?;
        }
        rows.push(row);
    }
    rows.reverse();
    Ok(rows)
}

async fn approvals_are_listed_newest_first(world: World) -> Verdict {
    let rows = fill(&world).await?;
    same!(all(&world).await?, rows);
    Ok(())
}

async fn pages_of_approvals_have_each_once(world: World) -> Verdict {
    let rows = fill(&world).await?;
    for state in [vec![], vec![ApprovalState::Pending, ApprovalState::Expired]] {
        let filter = ApprovalFilter {
            state: state.clone(),
            ..ApprovalFilter::default()
        };
        let wanted = rows
            .iter()
            .filter(|row| state.is_empty() || state.contains(&row.state));
        let wanted: Vec<ApprovalRow> = wanted.cloned().collect();
        for limit in [1, 7, 30] {
            same!(walk(&world, &filter, limit).await?, wanted);
        }
    }
    Ok(())
}

async fn walk(
    world: &World,
    filter: &ApprovalFilter,
    limit: usize,
) -> Result<Vec<ApprovalRow>, Broken> {
    let mut page = first(limit);
    let mut all = Vec::new();
    loop {
        let part = world
            .backend
            .views
            .approvals(&Tenant::default(), filter, &page)
            .await?;
        must!(
            part.items.len() <= limit,
            "{} rows in a page of {limit}",
            part.items.len()
        );
        must!(all.len() <= 100, "the list does not end");
        all.extend(part.items);
        match part.next {
            Some(next) => page.after = Some(next),
            None => return Ok(all),
        }
    }
}

async fn a_cursor_of_approvals_that_is_none_is_refused(world: World) -> Verdict {
    for after in ["nonsense", "1.2", ""] {
        let page = Page {
            limit: 5,
            after: Some(after.to_owned()),
        };
        let views = &world.backend.views;
        refused!(
            Conflict,
            views
                .approvals(&Tenant::default(), &ApprovalFilter::default(), &page)
                .await
        );
    }
    Ok(())
}

async fn agree(
    world: &World,
    rows: &[ApprovalRow],
    filter: ApprovalFilter,
    selects: impl Fn(&ApprovalRow) -> bool,
) -> Verdict {
    let wanted: Vec<ApprovalRow> = rows.iter().filter(|row| selects(row)).cloned().collect();
    must!(
        !wanted.is_empty() && wanted.len() < rows.len(),
        "{filter:?} selects all or none"
    );
    same!(list(world, &filter).await?, wanted);
    Ok(())
}

async fn approvals_are_listed_by_state(world: World) -> Verdict {
    let rows = fill(&world).await?;
    for state in [
        vec![ApprovalState::Pending],
        vec![ApprovalState::Approved, ApprovalState::Expired],
    ] {
        let filter = ApprovalFilter {
            state: state.clone(),
            ..ApprovalFilter::default()
        };
        agree(&world, &rows, filter, |row| state.contains(&row.state)).await?;
    }
    Ok(())
}

async fn approvals_are_listed_by_run(world: World) -> Verdict {
    let rows = fill(&world).await?;
    let run = rows[3].id.run;
    let filter = ApprovalFilter {
        run: Some(run),
        ..ApprovalFilter::default()
    };
    agree(&world, &rows, filter, |row| row.id.run == run).await
}

async fn approvals_are_listed_for_those_who_may_decide(world: World) -> Verdict {
    let rows = fill(&world).await?;
    let may = |role: Role, row: &ApprovalRow| {
        let named = row.by.is_empty() || row.by.iter().any(|by| role >= *by);
        role.may_approve(row.permission) && named
    };
    let by_role = |role| ApprovalFilter {
        role: Some(role),
        ..ApprovalFilter::default()
    };
    agree(&world, &rows, by_role(Role::Engineer), |row| {
        may(Role::Engineer, row)
    })
    .await?;
    none!(list(&world, &by_role(Role::Operator)).await?);
    same!(list(&world, &by_role(Role::Admin)).await?, rows);
    Ok(())
}

async fn approvals_are_not_listed_for_who_asked(world: World) -> Verdict {
    let rows = fill(&world).await?;
    let by = |name: &str| ApprovalFilter {
        principal: Some(Principal::Key(name.to_owned())),
        ..ApprovalFilter::default()
    };
    agree(&world, &rows, by("sample"), |row| !row.not_requester).await?;
    same!(list(&world, &by("another")).await?, rows);
    Ok(())
}

async fn approvals_are_listed_for_their_tenant(world: World) -> Verdict {
    ask(&world, 1, &Terms::default()).await?;
    let Some(other) = Tenant::new("other") else {
        return Ok(());
    };
    let views = &world.backend.views;
    let theirs = views
        .approvals(&other, &ApprovalFilter::default(), &first(10))
        .await?;
    none!(theirs.items);
    Ok(())
}

async fn approvals_survive_archiving_and_a_restart(mut world: World) -> Verdict {
    let mut run = ask(&world, 1, &Terms::default()).await?;
    run.close(ApprovalState::Used).end(None);
    for (record, events) in &run.records[3..] {
        world.backend.journal.append(record, events).await?;
    }
    let before = all(&world).await?;
    same!(before.len(), 1);
    world
        .backend
        .archive
        .archive(std::slice::from_ref(&run.key))
        .await?;
    world.restart().await;
    same!(all(&world).await?, before);
    world.backend.archive.remove(&[run.key]).await?;
    none!(all(&world).await?);
    Ok(())
}
