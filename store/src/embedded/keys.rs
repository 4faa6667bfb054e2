//! Small durable values.

use std::sync::Arc;

use async_trait::async_trait;
use engine::id::Tenant;
use engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::commit::Writer;
use super::core::Core;
use super::counters::next;
use super::sum::Sum;
use crate::Error;
use crate::port::{self, KeyValue};
use crate::sqlite::columns::{int, text};
use crate::sqlite::fault::Fault;

pub(super) struct Keys(pub(super) Arc<Core>);

#[async_trait]
impl port::Keys for Keys {
    async fn create(
        &self,
        tenant: &Tenant,
        name: &str,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error> {
        let now = self.0.options.clock.now();
        let new = New::of(tenant, name, value, expires);
        let work = move |writer: &mut Writer| match get(&writer.conn, &new.tenant, &new.name)? {
            Some(old) if old.expires > now => {
                Err(Error::Conflict(format!("the key {} exists", new.name)).into())
            }
            Some(_) | None => new.store(writer),
        };
        self.0.write(work, |_| ()).await
    }

    async fn get(
        &self,
        tenant: &Tenant,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<KeyValue>, Error> {
        let (tenant, name) = (tenant.clone(), name.to_owned());
        let read = move |conn: &Connection| get(conn, tenant.as_str(), &name);
        let found = self.0.read(read).await?;
        Ok(found.filter(|key| key.expires > now))
    }

    async fn put(
        &self,
        tenant: &Tenant,
        name: &str,
        old: &KeyValue,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error> {
        let revision = old.revision;
        let new = New::of(tenant, name, value, expires);
        let work = move |writer: &mut Writer| match get(&writer.conn, &new.tenant, &new.name)? {
            Some(old) if old.revision == revision => new.store(writer),
            Some(_) | None => {
                Err(Error::Conflict(format!("the key {} has changed", new.name)).into())
            }
        };
        self.0.write(work, |_| ()).await
    }

    async fn sweep(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        let work = move |writer: &mut Writer| {
            let sql = "DELETE FROM key WHERE (tenant, name) IN
                (SELECT tenant, name FROM key WHERE expires <= ?1 ORDER BY expires LIMIT ?2)";
            Ok(writer
                .conn
                .prepare_cached(sql)?
                .execute((now.millis(), max))?)
        };
        self.0.write(work, |_| ()).await
    }
}

/// A key on its way into the file.
struct New {
    tenant: String,
    name: String,
    value: Vec<u8>,
    expires: Timestamp,
}

impl New {
    fn of(tenant: &Tenant, name: &str, value: &[u8], expires: Timestamp) -> Self {
        Self {
            tenant: tenant.as_str().to_owned(),
            name: name.to_owned(),
            value: value.to_vec(),
            expires,
        }
    }

    fn store(&self, writer: &mut Writer) -> Result<u64, Fault> {
        let revision = next(&mut writer.counters.key);
        let key = KeyValue {
            value: self.value.clone(),
            revision,
            expires: self.expires,
        };
        let sum = sum(&self.tenant, &self.name, &key);
        let sql = "INSERT OR REPLACE INTO key (tenant, name, revision, expires, sum, value)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let row = (
            &self.tenant,
            &self.name,
            revision,
            self.expires.millis(),
            sum,
            &self.value,
        );
        writer.conn.prepare_cached(sql)?.execute(row)?;
        Ok(revision)
    }
}

fn sum(tenant: &str, name: &str, key: &KeyValue) -> i64 {
    Sum::of("key")
        .bytes(tenant.as_bytes())
        .bytes(name.as_bytes())
        .int(int(key.revision))
        .int(int(key.expires.millis()))
        .bytes(&key.value)
        .done()
}

fn get(conn: &Connection, tenant: &str, name: &str) -> Result<Option<KeyValue>, Fault> {
    let sql = "SELECT revision, expires, sum, value FROM key WHERE tenant = ?1 AND name = ?2";
    let found = conn
        .prepare_cached(sql)?
        .query_row((tenant, name), |row| from_row(row, 0))
        .optional()?;
    match found {
        Some((key, stored)) if sum(tenant, name, &key) != stored => {
            let what = format!("the checksum of the key {tenant}/{name} does not fit");
            Err(Error::Corrupt(what).into())
        }
        found => Ok(found.map(|(key, _)| key)),
    }
}

/// A key and its stored checksum, from `revision, expires, sum, value`.
fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<(KeyValue, i64)> {
    let key = KeyValue {
        revision: row.get(first)?,
        expires: Timestamp::from_millis(row.get(first + 1)?),
        value: row.get(first + 3)?,
    };
    Ok((key, row.get(first + 2)?))
}

/// The name of a damaged key, if there is one.
pub(super) fn first_damaged(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT tenant, name, revision, expires, sum, value FROM key";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (tenant, name) = (text(row, 0), text(row, 1));
        let whole = |(key, stored): (KeyValue, i64)| sum(&tenant, &name, &key) == stored;
        if !from_row(row, 2).is_ok_and(whole) {
            return Ok(Some(format!("{tenant}/{name}")));
        }
    }
    Ok(None)
}
