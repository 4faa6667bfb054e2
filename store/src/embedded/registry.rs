//! Definitions and policies.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};

use super::commit::Writer;
use super::core::Core;
use super::counters::next;
use super::sum::Sum;
use crate::Error;
use crate::port::{Change, Expect, Item, Registry};
use crate::sqlite::columns::{int, text};
use crate::sqlite::fault::Fault;

pub(super) struct Definitions(pub(super) Arc<Core>);

#[async_trait]
impl Registry for Definitions {
    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        let key = key.to_owned();
        self.0.read(move |conn| get(conn, &key)).await
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        self.0
            .read(move |conn| list(conn, &prefix, &after, max))
            .await
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error> {
        let (key, value) = (key.to_owned(), value.to_vec());
        let core = Arc::clone(&self.0);
        let work = move |writer: &mut Writer| {
            check(&writer.conn, &key, expect)?;
            let item = Item {
                key: key.clone(),
                value: value.clone(),
                revision: next(&mut writer.counters.registry),
            };
            let sql = "INSERT OR REPLACE INTO registry (key, revision, sum, value) VALUES (?1, ?2, ?3, ?4)";
            let row = (&item.key, item.revision, sum(&item), &item.value);
            writer.conn.prepare_cached(sql)?.execute(row)?;
            Ok(item)
        };
        let tell = move |item: &Item| core.history.tell(Change::Put(item.clone()));
        Ok(self.0.write(work, tell).await?.revision)
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error> {
        let key = key.to_owned();
        let core = Arc::clone(&self.0);
        let work = move |writer: &mut Writer| {
            check(&writer.conn, &key, Expect::Revision(revision))?;
            let sql = "DELETE FROM registry WHERE key = ?1";
            writer.conn.prepare_cached(sql)?.execute([&key])?;
            let revision = next(&mut writer.counters.registry);
            Ok((key.clone(), revision))
        };
        let tell = move |(key, revision): &(String, u64)| {
            let (key, revision) = (key.clone(), *revision);
            core.history.tell(Change::Deleted { key, revision });
        };
        self.0.write(work, tell).await?;
        Ok(())
    }

    async fn watch(&self, prefix: &str, revision: u64) -> Result<Vec<Change>, Error> {
        self.0.wait(self.0.history.wait(prefix, revision)).await
    }
}

fn check(conn: &Connection, key: &str, expect: Expect) -> Result<(), Fault> {
    let there = get(conn, key)?.map(|item| item.revision);
    let as_expected = match expect {
        Expect::Absent => there.is_none(),
        Expect::Revision(revision) => there == Some(revision),
    };
    if as_expected {
        return Ok(());
    }
    let what = match there {
        Some(revision) => format!("{key} is at revision {revision}"),
        None => format!("{key} does not exist"),
    };
    Err(Error::Conflict(what).into())
}

fn get(conn: &Connection, key: &str) -> Result<Option<Item>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM registry WHERE key = ?1");
    let found = conn
        .prepare_cached(&sql)?
        .query_row([key], from_row)
        .optional()?;
    Ok(found.map(whole).transpose()?)
}

fn list(conn: &Connection, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Fault> {
    // Keys sort by their bytes, so those with the prefix stand together, from the prefix itself on. The next text
    // after any is that text with a zero byte.
    let first = if after < prefix {
        prefix.to_owned()
    } else {
        format!("{after}\0")
    };
    let sql = format!("SELECT {COLUMNS} FROM registry WHERE key >= ?1 ORDER BY key");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([first])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()?
        && items.len() < max
    {
        let item = whole(from_row(row)?)?;
        if !item.key.starts_with(prefix) {
            break;
        }
        items.push(item);
    }
    Ok(items)
}

const COLUMNS: &str = "key, revision, sum, value";

/// An item and its stored checksum.
fn from_row(row: &Row<'_>) -> rusqlite::Result<(Item, i64)> {
    let item = Item {
        key: row.get(0)?,
        revision: row.get(1)?,
        value: row.get(3)?,
    };
    Ok((item, row.get(2)?))
}

fn whole((item, stored): (Item, i64)) -> Result<Item, Error> {
    if sum(&item) == stored {
        return Ok(item);
    }
    let what = format!("the checksum of {} in the registry does not fit", item.key);
    Err(Error::Corrupt(what))
}

fn sum(item: &Item) -> i64 {
    Sum::of("registry")
        .bytes(item.key.as_bytes())
        .int(int(item.revision))
        .bytes(&item.value)
        .done()
}

/// The key of a damaged item, if there is one.
pub(super) fn first_damaged(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let mut statement = conn.prepare(&format!("SELECT {COLUMNS} FROM registry"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if !from_row(row).is_ok_and(|(item, stored)| sum(&item) == stored) {
            return Ok(Some(text(row, 0)));
        }
    }
    Ok(None)
}
