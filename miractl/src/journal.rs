//! `miractl run journal`: the records of a run, and whether their chain holds.

use clap::Args;
use serde_json::{Value, json};

use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::human::{count, short};
use crate::list::{Paging, fetch};
use crate::model::{text, time};
use crate::names;
use crate::output::Format;
use crate::paint::Tone;
use crate::table::{Table, cell};
use crate::timeline::{Timeline, clock};

/// Show a run's journal and check its chain of hashes
///
/// Each record names the hash of the one before it. The chain is checked as the server prints it:
/// numbers without a gap, and each record's previous hash equal to the hash before. A chain that
/// does not hold ends with exit code 1.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl run journal @last
  miractl run journal 9f3a21bc -o json > evidence.json")]
pub(crate) struct Cmd {
    /// The run: an id, an ending of it, @last or @last:WORKFLOW
    run: String,
}

/// Shows the journal.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    let api = ctx.api()?;
    let id = names::run_id(api, &cmd.run).await?;
    let records = fetch(
        api,
        Call::get(v1(["runs", &id, "journal"])),
        Paging {
            limit: 0,
            all: true,
        },
    )
    .await?
    .items;
    if !ctx
        .out
        .structured(&json!({ "items": records, "next_cursor": null }))?
    {
        print(ctx, &records)?;
    }
    match broken(&records) {
        None => {
            let last = records.last().map(|r| text(r, "hash")).unwrap_or_default();
            ctx.out.say(&format!("chain of {} holds; last hash {last}", count(records.len(), "record")));
            Ok(Exit::Ok)
        }
        Some(why) => Err(Failure::new(Exit::RunFailed, format!("the chain of run {id} does not hold: {why}"))
            .hint("the journal was changed after it was written, or the server is damaged: keep this output and tell its operator")),
    }
}

fn print(ctx: &Ctx, records: &[Value]) -> Result<()> {
    if ctx.out.format == Format::Name {
        return records
            .iter()
            .try_for_each(|r| ctx.out.data(text(r, "hash")));
    }
    let mut timeline = Timeline::default();
    let mut table = Table::new(&["N", "AT", "HASH", "~WHAT"]);
    for record in records {
        let lines = timeline.lines(record);
        let said: Vec<String> = lines
            .iter()
            .map(|l| format!("{} {}", l.subject, l.text))
            .collect();
        let kinds = || {
            let events = record["events"].as_array().cloned().unwrap_or_default();
            events
                .iter()
                .map(|e| text(e, "type").to_owned())
                .collect::<Vec<_>>()
                .join(", ")
        };
        table.row(vec![
            number(record)
                .map(|n| n.to_string())
                .unwrap_or_default()
                .into(),
            time(record, "at").map(clock).unwrap_or_default().into(),
            cell(
                bare(record, "hash").chars().take(12).collect::<String>(),
                Tone::Dim,
            ),
            if said.is_empty() {
                cell(kinds(), Tone::Dim)
            } else {
                said.join("; ").into()
            },
        ]);
    }
    ctx.out.data(&table.render(&ctx.out))
}

/// Where the chain breaks, if it does.
fn broken(records: &[Value]) -> Option<String> {
    if records.is_empty() {
        return Some("there are no records".to_owned());
    }
    for (at, record) in records.iter().enumerate() {
        let expected = at as u64 + 1;
        match number(record) {
            Some(n) if n == expected => {}
            Some(n) => return Some(format!("record {n} stands where record {expected} should")),
            None => return Some(format!("record {expected} has no number")),
        }
        let hash = bare(record, "hash");
        if hash.is_empty() {
            return Some(format!("record {expected} has no hash"));
        }
        let before = bare(record, "prev_hash");
        if at == 0 {
            if before.chars().any(|c| c != '0') {
                return Some("the first record names one before it".to_owned());
            }
        } else if before != bare(&records[at - 1], "hash") {
            let shown = short(before).chars().take(12).collect::<String>();
            return Some(format!(
                "record {expected} follows {shown}…, which is not the hash of record {at}"
            ));
        }
    }
    None
}

fn number(record: &Value) -> Option<u64> {
    record["n"].as_u64()
}

/// A hash without the name of its algorithm.
fn bare<'a>(record: &'a Value, field: &str) -> &'a str {
    let hash = text(record, field);
    hash.strip_prefix("sha256:").unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<Value> {
        vec![
            json!({"n": 1, "prev_hash": "0000", "hash": "aa"}),
            json!({"n": 2, "prev_hash": "aa", "hash": "bb"}),
            json!({"n": 3, "prev_hash": "bb", "hash": "cc"}),
        ]
    }

    #[test]
    fn a_whole_chain_holds() {
        assert_eq!(broken(&chain()), None);
    }

    #[test]
    fn a_gap_a_swap_a_change_and_an_absence_are_found() {
        let mut gap = chain();
        gap.remove(1);
        let mut swapped = chain();
        swapped.swap(1, 2);
        let mut changed = chain();
        changed[1]["hash"] = json!("xx");
        let mut headless = chain();
        headless.remove(0);
        let mut unhashed = chain();
        unhashed[2]["hash"] = Value::Null;
        for (name, records) in [
            ("gap", gap),
            ("swapped", swapped),
            ("changed", changed),
            ("headless", headless),
            ("unhashed", unhashed),
            ("empty", vec![]),
        ] {
            assert!(broken(&records).is_some(), "{name}");
        }
    }
}
