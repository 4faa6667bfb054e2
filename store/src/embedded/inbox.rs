//! Commands from outside, until they are settled.

use std::sync::Arc;

use async_trait::async_trait;
use engine::command::Command;
use engine::id::{Nonce, Shard};
use rusqlite::{Connection, Row};

use super::commit::Writer;
use super::core::Core;
use super::counters::next;
use super::runs::key_of;
use super::sum::Sum;
use crate::Error;
use crate::port::{Inbox, Message};
use crate::sqlite::columns::{int, out_of_range};
use crate::sqlite::fault::Fault;

pub(super) struct Inboxes(pub(super) Arc<Core>);

#[async_trait]
impl Inbox for Inboxes {
    async fn send(&self, shard: Shard, message: &Message) -> Result<(), Error> {
        let message = message.clone();
        let work = move |writer: &mut Writer| store(writer, shard, &message);
        let letters = self.0.letters(shard);
        self.0
            .write(work, move |()| letters.send_modify(|()| ()))
            .await
    }

    async fn receive(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<(u64, Message)>, Error> {
        let letters = self.0.letters(shard);
        loop {
            let mut told = letters.subscribe();
            let read = move |conn: &Connection| after(conn, shard, sequence, max);
            let found = self.0.read(read).await?;
            if !found.is_empty() {
                return Ok(found);
            }
            // Its sender lives as long as the store.
            let _ = self.0.wait(told.changed()).await?;
        }
    }

    async fn settle(&self, shard: Shard, sequences: &[u64]) -> Result<(), Error> {
        let sequences = sequences.to_vec();
        let work = move |writer: &mut Writer| {
            let sql = "DELETE FROM inbox WHERE seq = ?1 AND shard = ?2";
            let mut statement = writer.conn.prepare_cached(sql)?;
            for sequence in &sequences {
                statement.execute((*sequence, shard.0))?;
            }
            Ok(())
        };
        self.0.write(work, |()| ()).await
    }
}

fn store(writer: &mut Writer, shard: Shard, message: &Message) -> Result<(), Fault> {
    let seq = writer.counters.inbox + 1;
    let sql = "INSERT INTO inbox (seq, shard, id, tenant, run, sum, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING";
    let made = writer.conn.prepare_cached(sql)?.execute((
        seq,
        shard.0,
        message.id.0,
        message.key.tenant.as_str(),
        message.key.run.as_bytes(),
        sum(seq, shard.0, message),
        &message.body,
    ))?;
    if made == 1 {
        next(&mut writer.counters.inbox);
    }
    Ok(())
}

fn sum(seq: u64, shard: u16, message: &Message) -> i64 {
    Sum::of("inbox")
        .int(int(seq))
        .int(i64::from(shard))
        .bytes(&message.id.0)
        .bytes(message.key.tenant.as_str().as_bytes())
        .bytes(message.key.run.as_bytes())
        .bytes(&message.body)
        .done()
}

fn after(
    conn: &Connection,
    shard: Shard,
    sequence: u64,
    max: usize,
) -> Result<Vec<(u64, Message)>, Fault> {
    let sql =
        format!("SELECT {COLUMNS} FROM inbox WHERE shard = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3");
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query((shard.0, sequence, max))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (seq, message, whole) = from_row(row)?;
        if !whole {
            let what = format!("the checksum of message {seq} of the inbox does not fit");
            return Err(Error::Corrupt(what).into());
        }
        found.push((seq, message));
    }
    Ok(found)
}

const COLUMNS: &str = "seq, shard, id, tenant, run, sum, body";

/// A message with its sequence, and whether it is as it was written.
fn from_row(row: &Row<'_>) -> rusqlite::Result<(u64, Message, bool)> {
    let seq: u64 = row.get(0)?;
    let (tenant, run): (String, Vec<u8>) = (row.get(3)?, row.get(4)?);
    let message = Message {
        id: Nonce(row.get(2)?),
        key: key_of(&tenant, &run).ok_or_else(|| out_of_range(4))?,
        body: row.get(6)?,
    };
    let whole = sum(seq, row.get(1)?, &message) == row.get::<_, i64>(5)?;
    Ok((seq, message, whole))
}

/// Drops what lets parked runs go on and what settles doubts: people said it before the backup, of what was then.
pub(super) fn forget_go_on(conn: &Connection) -> rusqlite::Result<()> {
    let mut statement = conn.prepare("SELECT seq, body FROM inbox")?;
    let mut rows = statement.query([])?;
    let mut gone: Vec<u64> = Vec::new();
    while let Some(row) = rows.next()? {
        let body: Vec<u8> = row.get(1)?;
        if let Ok(Command::Resume { .. } | Command::Resolve { .. }) = minicbor::decode(&body) {
            gone.push(row.get(0)?);
        }
    }
    for seq in gone {
        conn.execute("DELETE FROM inbox WHERE seq = ?1", [seq])?;
    }
    Ok(())
}

/// The name of a damaged message, if there is one.
pub(super) fn first_damaged(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let mut statement = conn.prepare(&format!("SELECT {COLUMNS} FROM inbox"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq: u64 = row.get(0)?;
        if !from_row(row).is_ok_and(|(_, _, whole)| whole) {
            return Ok(Some(seq.to_string()));
        }
    }
    Ok(None)
}
