//! Lists of approvals.

use engine::event::ApprovalState;
use engine::id::{ApprovalId, RunId, StepNo, Tenant};
use engine::principal::{Permission, Role};
use engine::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::{limit, no_cursor, paged, readable};
use crate::Error;
use crate::port::{ApprovalFilter, ApprovalRow, Page, Paged};
use crate::sqlite::columns::{int, out_of_range};
use crate::sqlite::fault::Fault;

const STATES: [ApprovalState; 6] = [
    ApprovalState::Pending,
    ApprovalState::Approved,
    ApprovalState::Rejected,
    ApprovalState::Expired,
    ApprovalState::Withdrawn,
    ApprovalState::Used,
];
const PERMISSIONS: [Permission; 3] = [Permission::Read, Permission::Modify, Permission::Admin];

/// One part of the list of a tenant's approvals.
pub(crate) fn list(
    conn: &Connection,
    tenant: &Tenant,
    filter: &ApprovalFilter,
    page: &Page,
) -> Result<Paged<ApprovalRow>, Fault> {
    let after = page.after.as_deref().map(read_cursor).transpose()?;
    let limit = limit(page);
    let states: Vec<_> = match filter.state.as_slice() {
        [] => vec![None],
        states => states.iter().copied().map(Some).collect(),
    };
    let (mut rows, mut damaged) = (Vec::new(), false);
    for state in states {
        let (sql, values) = query(tenant, filter, after.as_ref(), state);
        let mut statement = conn.prepare(&sql)?;
        let some = statement.query_map(params_from_iter(values), from_row)?;
        rows.extend(readable(some, limit + 1, &mut damaged)?);
    }
    let place = |row: &ApprovalRow| (row.created_at, row.id.clone());
    rows.sort_by_key(|row| std::cmp::Reverse(place(row)));
    rows.dedup_by_key(|row| row.id.clone());
    Ok(Paged {
        incomplete: damaged,
        ..paged(rows, limit, |row| cursor(&place(row)))
    })
}

/// When people were asked, and which approval: the place in the list.
type Place = (Timestamp, ApprovalId);

fn cursor((at, id): &Place) -> String {
    format!("{}.{id}", at.millis())
}

fn read_cursor(text: &str) -> Result<Place, Error> {
    let parts = text.split_once('.');
    let place = parts.and_then(|(at, id)| {
        let at = Timestamp::from_millis(at.parse().ok()?);
        Some((at, id.parse().ok()?))
    });
    place.ok_or_else(|| no_cursor(text))
}

/// The newest approvals in one state, or in any, that fulfil the rest of the filter.
fn query(
    tenant: &Tenant,
    filter: &ApprovalFilter,
    after: Option<&Place>,
    state: Option<ApprovalState>,
) -> (String, Vec<Value>) {
    let mut sql = format!("SELECT {COLUMNS} FROM view_approval WHERE tenant = ?");
    let mut values = vec![Value::Text(tenant.as_str().to_owned())];
    let mut add = |condition: &str, more: Vec<Value>| {
        sql.push_str(condition);
        values.extend(more);
    };
    if let Some(state) = state {
        add(" AND state = ?", vec![Value::Integer(state as i64)]);
    }
    if let Some((at, id)) = after {
        let place = vec![
            Value::Integer(int(at.millis())),
            Value::Blob(id.run.as_bytes().to_vec()),
            Value::Integer(id.step.0.into()),
            Value::Integer(id.asking.into()),
        ];
        add(" AND (at, run, step, asking) < (?, ?, ?, ?)", place);
    }
    if let Some(run) = &filter.run {
        add(" AND run = ?", vec![Value::Blob(run.as_bytes().to_vec())]);
    }
    if let Some(role) = filter.role {
        add(" AND lowest <= ?", vec![Value::Integer(role as i64)]);
    }
    if let Some(principal) = &filter.principal {
        let not_mine = " AND NOT (not_requester AND requester = ?)";
        add(not_mine, vec![Value::Text(principal.to_string())]);
    }
    add(
        " ORDER BY at DESC, run DESC, step DESC, asking DESC",
        Vec::new(),
    );
    (sql, values)
}

const COLUMNS: &str =
    "run, step, asking, step_name, workflow, state, action, permission, requester, roles, quorum,
    not_requester, at, expires";

fn from_row(row: &Row<'_>) -> rusqlite::Result<ApprovalRow> {
    let state: usize = row.get(5)?;
    let permission: usize = row.get(7)?;
    let (requester, roles): (String, String) = (row.get(8)?, row.get(9)?);
    Ok(ApprovalRow {
        id: ApprovalId {
            run: RunId::from_bytes(row.get(0)?).ok_or_else(|| out_of_range(0))?,
            step: StepNo(row.get(1)?),
            asking: row.get(2)?,
        },
        step: row.get(3)?,
        workflow: row.get(4)?,
        state: *STATES.get(state).ok_or_else(|| out_of_range(5))?,
        action: row.get(6)?,
        permission: *PERMISSIONS.get(permission).ok_or_else(|| out_of_range(7))?,
        requester: requester.parse().map_err(|_| out_of_range(8))?,
        by: roles
            .split(',')
            .filter_map(|role| role.parse::<Role>().ok())
            .collect(),
        quorum: row.get(10)?,
        not_requester: row.get(11)?,
        created_at: Timestamp::from_millis(row.get(12)?),
        expires_at: Timestamp::from_millis(row.get(13)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_permissions_are_read_as_they_are_written() {
        for (number, state) in STATES.into_iter().enumerate() {
            assert_eq!(state as usize, number);
        }
        for (number, permission) in PERMISSIONS.into_iter().enumerate() {
            assert_eq!(permission as usize, number);
        }
    }
}
