//! Deliveries of hooks: a view over the runs that they made, and a ring of the others.

use std::collections::{BTreeMap, VecDeque};

use engine::id::{RunId, Tenant};
use engine::time::Timestamp;
use rusqlite::{Connection, Row};

use super::{limit, paged};
use crate::port::{Delivery, DeliveryOutcome, Page, Paged};
use crate::sqlite::columns::out_of_range;
use crate::sqlite::fault::is_bad_value;

/// Deliveries without runs that are remembered for each hook.
const KEPT: usize = 1_000;
/// Bytes of headers and bodies that are remembered for all hooks together.
const BYTES_KEPT: usize = 64 * 1024 * 1024;

/// The last deliveries that made no run.
#[derive(Default)]
pub(crate) struct Ring {
    hooks: BTreeMap<(Tenant, String), VecDeque<Delivery>>,
    bytes: usize,
}

impl Ring {
    /// The deliveries of one hook.
    pub(crate) fn of(&self, tenant: &Tenant, hook: &str) -> Vec<Delivery> {
        let name = (tenant.clone(), hook.to_owned());
        let kept = self.hooks.get(&name);
        kept.map(|kept| kept.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Remembers one; the same id again takes the place of the first.
    pub(crate) fn note(&mut self, tenant: &Tenant, delivery: Delivery) {
        let name = (tenant.clone(), delivery.hook.clone());
        let kept = self.hooks.entry(name.clone()).or_default();
        self.bytes += weight(&delivery);
        if let Some(same) = kept.iter_mut().find(|kept| kept.id == delivery.id) {
            self.bytes -= weight(same);
            *same = delivery;
        } else {
            kept.push_back(delivery);
        }
        if kept.len() > KEPT {
            self.forget_oldest(&name);
        }
        while self.bytes > BYTES_KEPT {
            // The hook that takes the most room gives way, so that a flood drives out none but its own.
            let size = |kept: &VecDeque<Delivery>| kept.iter().map(weight).sum::<usize>();
            let largest = self.hooks.iter().max_by_key(|(_, kept)| size(kept));
            let Some(name) = largest.map(|(name, _)| name.clone()) else {
                return;
            };
            self.forget_oldest(&name);
        }
    }

    fn forget_oldest(&mut self, name: &(Tenant, String)) {
        let oldest = self.hooks.get_mut(name).and_then(VecDeque::pop_front);
        self.bytes -= oldest.as_ref().map_or(0, weight);
        if oldest.is_none() {
            self.hooks.remove(name);
        }
    }
}

fn weight(delivery: &Delivery) -> usize {
    let headers = delivery
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len());
    let texts = [&delivery.body, &delivery.error];
    let texts = texts.into_iter().flatten().map(String::len);
    256 + headers.sum::<usize>() + texts.sum::<usize>() + 16 * delivery.runs.len()
}

/// One part of the list of a hook's deliveries: those with runs, and `noted` ones between them.
pub(crate) fn list(
    conn: &Connection,
    tenant: &Tenant,
    hook: &str,
    noted: Vec<Delivery>,
    page: &Page,
) -> rusqlite::Result<Paged<Delivery>> {
    let limit = limit(page);
    let after = page.after.as_deref();
    let mut all: BTreeMap<String, Delivery> = noted
        .into_iter()
        .filter(|delivery| after.is_none_or(|after| delivery.id.as_str() < after))
        .map(|delivery| (delivery.id.clone(), delivery))
        .collect();
    let (made, damaged) = with_runs(conn, tenant, hook, after, limit + 1)?;
    all.extend(made);
    let newest = all.into_values().rev().take(limit + 1).collect();
    Ok(Paged {
        incomplete: damaged,
        ..paged(newest, limit, |delivery: &Delivery| delivery.id.clone())
    })
}

/// The newest deliveries that made runs, at most `max`, and whether a row is damaged and left out.
fn with_runs(
    conn: &Connection,
    tenant: &Tenant,
    hook: &str,
    after: Option<&str>,
    max: usize,
) -> rusqlite::Result<(BTreeMap<String, Delivery>, bool)> {
    let sql = "SELECT delivery, id, created_at, trouble FROM view_run INDEXED BY view_run_delivery
        WHERE tenant = ?1 AND hook = ?2 AND delivery IS NOT NULL AND (?3 IS NULL OR delivery < ?3)
        ORDER BY delivery DESC, id DESC";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map((tenant.as_str(), hook, after), run_made)?;
    let (mut found, mut damaged) = (BTreeMap::<String, Delivery>::new(), false);
    for row in rows {
        let RunMade {
            id,
            run,
            at,
            trouble,
        } = match row {
            Ok(row) => row,
            Err(error) if is_bad_value(&error) => {
                tracing::warn!(%error, "a row of a list is damaged and left out");
                damaged = true;
                continue;
            }
            Err(error) => return Err(error),
        };
        if !found.contains_key(&id) && found.len() == max {
            break;
        }
        let delivery = found
            .entry(id.clone())
            .or_insert_with(|| made_runs(id, hook, at));
        delivery.runs.insert(0, run);
        if let Some(trouble) = trouble {
            delivery.outcome = DeliveryOutcome::Error;
            delivery.error = Some(trouble);
        }
    }
    Ok((found, damaged))
}

/// A run, and the delivery that made it.
struct RunMade {
    id: String,
    run: RunId,
    at: Timestamp,
    trouble: Option<String>,
}

fn run_made(row: &Row<'_>) -> rusqlite::Result<RunMade> {
    Ok(RunMade {
        id: row.get(0)?,
        run: RunId::from_bytes(row.get(1)?).ok_or_else(|| out_of_range(1))?,
        at: Timestamp::from_millis(row.get(2)?),
        trouble: row.get(3)?,
    })
}

fn made_runs(id: String, hook: &str, at: Timestamp) -> Delivery {
    // A delivery's id is a UUIDv7 as a run's is, and tells when it came.
    let came = id.parse::<RunId>().map_or(at, RunId::created_at);
    Delivery {
        id,
        hook: hook.to_owned(),
        at: came,
        outcome: DeliveryOutcome::Accepted,
        runs: Vec::new(),
        error: None,
        headers: BTreeMap::new(),
        body: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(hook: &str, n: usize, size: usize) -> Delivery {
        Delivery {
            body: Some("x".repeat(size)),
            outcome: DeliveryOutcome::Unmatched,
            ..made_runs(format!("{n:08}"), hook, Timestamp::from_millis(1))
        }
    }

    #[test]
    fn each_hook_remembers_its_last_thousand() {
        let (tenant, mut ring) = (Tenant::default(), Ring::default());
        for n in 0..KEPT + 5 {
            ring.note(&tenant, delivery("a", n, 10));
            ring.note(&tenant, delivery("b", n / 10, 10));
        }
        let kept = ring.of(&tenant, "a");
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0].id, "00000005");
        assert_eq!(ring.of(&tenant, "b").len(), KEPT / 10 + 1);
    }

    #[test]
    fn a_flood_drives_out_none_but_its_own() {
        let (tenant, mut ring) = (Tenant::default(), Ring::default());
        ring.note(&tenant, delivery("quiet", 1, 10));
        for n in 0..200 {
            ring.note(&tenant, delivery("loud", n, 1024 * 1024));
        }
        assert!(ring.bytes <= BYTES_KEPT, "{}", ring.bytes);
        assert_eq!(ring.of(&tenant, "quiet").len(), 1);
    }
}
