//! Rows of the lists, as records change them.

use engine::event::{ApprovalState, RunStatus};
use engine::id::{RunKey, StepNo};
use engine::principal::Role;
use engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use crate::port::{ApprovalRow, RunRow};
use crate::sqlite::columns::status_no;
use crate::view::{ApprovalChange, Created, Reason, RowChange, ViewChange};

/// What a record changes in the row of its run, or several records.
pub(crate) fn row(conn: &Connection, key: &RunKey, change: &RowChange) -> rusqlite::Result<()> {
    match &change.created {
        Some(created) => insert(conn, key, created)?,
        None => return update(conn, key, change),
    }
    if change.reason == Reason::Look {
        update(conn, key, change)?;
    }
    Ok(())
}

fn insert(conn: &Connection, key: &RunKey, created: &Created) -> rusqlite::Result<()> {
    let row: &RunRow = &created.row;
    let labels = minicbor::to_vec(&row.labels).expect("writing to memory cannot fail");
    let sql = "INSERT OR REPLACE INTO view_run (tenant, id, version, status, reason, started_at, ended_at,
            created_at, workflow, revision, requester, labels, hook, delivery, fingerprint, trouble)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    conn.prepare_cached(sql)?.execute((
        key.tenant.as_str(),
        key.run.as_bytes(),
        row.version,
        status_no(row.status),
        &row.reason,
        row.started_at.map(Timestamp::millis),
        row.ended_at.map(Timestamp::millis),
        row.created_at.millis(),
        &row.workflow,
        row.revision,
        row.requester.to_string(),
        labels,
        &row.hook,
        &created.delivery,
        &row.fingerprint,
        &created.trouble,
    ))?;
    for (name, value) in &row.labels {
        let sql =
            "INSERT OR IGNORE INTO view_label (tenant, name, value, id) VALUES (?1, ?2, ?3, ?4)";
        let row = (key.tenant.as_str(), name, value, key.run.as_bytes());
        conn.prepare_cached(sql)?.execute(row)?;
    }
    Ok(())
}

fn update(conn: &Connection, key: &RunKey, change: &RowChange) -> rusqlite::Result<()> {
    let (mode, reason) = match &change.reason {
        Reason::Same => (0, None),
        Reason::None => (1, None),
        Reason::Is(reason) => (1, Some(reason)),
        Reason::Look => (2, None),
    };
    let sql = "UPDATE view_run SET version = ?3, status = ?4,
            started_at = coalesce(?5, started_at), ended_at = coalesce(?6, ended_at),
            reason = CASE ?7 WHEN 0 THEN reason WHEN 1 THEN ?8
                ELSE iif(EXISTS (SELECT 1 FROM view_approval AS a
                    WHERE a.tenant = ?1 AND a.run = ?2 AND a.state = 0), 'approval', 'timer') END
        WHERE tenant = ?1 AND id = ?2";
    conn.prepare_cached(sql)?.execute((
        key.tenant.as_str(),
        key.run.as_bytes(),
        change.version,
        status_no(change.status),
        change.started_at.map(Timestamp::millis),
        change.ended_at.map(Timestamp::millis),
        mode,
        reason,
    ))?;
    Ok(())
}

/// What a record changes among the approvals of its run.
pub(crate) fn approvals(
    conn: &Connection,
    key: &RunKey,
    change: &ViewChange,
) -> rusqlite::Result<()> {
    for approval in &change.approvals {
        match approval {
            ApprovalChange::Requested(row) => request(conn, key, row)?,
            ApprovalChange::Closed {
                step,
                asking,
                state,
            } => close(conn, key, (*step, *asking), *state)?,
        }
    }
    Ok(())
}

fn request(conn: &Connection, key: &RunKey, row: &ApprovalRow) -> rusqlite::Result<()> {
    let roles: Vec<String> = row.by.iter().map(Role::to_string).collect();
    let sql = "INSERT OR REPLACE INTO view_approval (tenant, run, step, asking, state, at, expires, step_name,
            workflow, action, permission, requester, not_requester, roles, lowest, quorum)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    conn.prepare_cached(sql)?.execute((
        key.tenant.as_str(),
        key.run.as_bytes(),
        row.id.step.0,
        row.id.asking,
        row.state as i64,
        row.created_at.millis(),
        row.expires_at.millis(),
        &row.step,
        &row.workflow,
        &row.action,
        row.permission as i64,
        row.requester.to_string(),
        row.not_requester,
        roles.join(","),
        lowest(row),
        row.quorum,
    ))?;
    Ok(())
}

/// The weakest role that may decide; above all roles when none may.
fn lowest(row: &ApprovalRow) -> i64 {
    let named = |role: Role| row.by.is_empty() || row.by.iter().any(|by| role >= *by);
    let role = Role::ALL
        .into_iter()
        .find(|role| role.may_approve(row.permission) && named(*role));
    role.map_or(i64::MAX, |role| role as i64)
}

fn close(
    conn: &Connection,
    key: &RunKey,
    (step, asking): (StepNo, Option<u32>),
    state: ApprovalState,
) -> rusqlite::Result<()> {
    let sql = "UPDATE view_approval SET state = ?4 WHERE tenant = ?1 AND run = ?2 AND step = ?3
        AND asking = coalesce(?5,
            (SELECT max(asking) FROM view_approval WHERE tenant = ?1 AND run = ?2 AND step = ?3))";
    let row = (
        key.tenant.as_str(),
        key.run.as_bytes(),
        step.0,
        state as i64,
        asking,
    );
    conn.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

/// Shows a run as parked, whatever else is known of it.
pub(crate) fn damaged(conn: &Connection, key: &RunKey) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO view_run (tenant, id, version, status, reason, created_at, requester, labels)
        VALUES (?1, ?2, 0, ?3, 'record_damaged', ?4, 'workflow:unknown', x'a0')
        ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, reason = excluded.reason";
    conn.prepare_cached(sql)?.execute((
        key.tenant.as_str(),
        key.run.as_bytes(),
        status_no(RunStatus::Parked),
        key.run.created_at().millis(),
    ))?;
    Ok(())
}

/// Takes all rows of a run away.
pub(crate) fn removed(conn: &Connection, key: &RunKey) -> rusqlite::Result<()> {
    let named = (key.tenant.as_str(), key.run.as_bytes());
    let sql = "SELECT labels FROM view_run WHERE tenant = ?1 AND id = ?2";
    let labels: Option<Vec<u8>> = conn
        .prepare_cached(sql)?
        .query_row(named, |row| row.get(0))
        .optional()?;
    for (name, value) in super::runs::labels(&labels.unwrap_or_default()) {
        let sql =
            "DELETE FROM view_label WHERE tenant = ?1 AND name = ?2 AND value = ?3 AND id = ?4";
        conn.prepare_cached(sql)?
            .execute((named.0, name, value, named.1))?;
    }
    conn.prepare_cached("DELETE FROM view_approval WHERE tenant = ?1 AND run = ?2")?
        .execute(named)?;
    conn.prepare_cached("DELETE FROM view_run WHERE tenant = ?1 AND id = ?2")?
        .execute(named)?;
    Ok(())
}
