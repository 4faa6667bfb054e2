//! What lies packed: the journals of archived runs, and backups.

use engine::digest::Digest;
use engine::record::{Record, check_chain};
use store::port::Entry;

use crate::journal::items;
use crate::kept::{Kept, Row};
use crate::parts::choice;

thread_local! {
    static KEPT: Kept = Kept::new();
}

/// No backup is unpacked with more, so that many are tried.
const LEVEL: i32 = 1;

/// The first byte says of what, and how much of its wrapping is put right.
pub(crate) fn read(data: &[u8]) {
    let Some((kind, rest)) = choice(data) else {
        return;
    };
    KEPT.with(|kept| match kind {
        b'a' => journal(kept, rest),
        b'b' => body(kept, &packed(rest)),
        b'c' => body(kept, rest),
        b'd' => restored(kept, rest),
        b'e' => {
            let at = rest.iter().position(|byte| *byte == b'\n');
            let (line, plain) = rest.split_at(at.map_or(rest.len(), |at| at + 1));
            let small = zstd::bulk::compress(plain, LEVEL).expect("it is in memory");
            restored(kept, &[line, &small].concat());
        }
        _ => {}
    });
}

/// Records one behind the other, packed as those of an ended run are. Where one can be read, its place in the journal is
/// put right.
fn journal(kept: &Kept, data: &[u8]) {
    let mut rows: Vec<Row> = Vec::new();
    let mut hash = Digest::ZERO;
    for item in items(data) {
        let n = rows.len() as u64 + 1;
        let bytes = match Record::decode(item) {
            Ok(mut record) => {
                (record.key, record.n, record.prev_hash) = (kept.run().clone(), n, hash);
                record.encode()
            }
            Err(_) => item.to_vec(),
        };
        hash = Digest::of(&bytes);
        rows.push((n, Kept::record_sum(n, &bytes), bytes.into()));
    }
    let plain = minicbor::to_vec(&rows).expect("writing to memory cannot fail");
    if let Ok(entries) = kept.read(&packed(&plain), rows.len() as u64, hash) {
        whole(kept, &entries);
        assert_eq!(entries.len(), rows.len());
    }
}

fn body(kept: &Kept, body: &[u8]) {
    if let Ok(entries) = kept.read(body, 1, Digest::ZERO) {
        whole(kept, &entries);
    }
}

/// The length, then the same compressed.
fn packed(plain: &[u8]) -> Vec<u8> {
    let small = zstd::bulk::compress(plain, LEVEL).expect("it is in memory");
    let length = plain.len() as u64;
    [&length.to_be_bytes()[..], &small].concat()
}

/// What is read is a journal: each record follows the one before it.
fn whole(kept: &Kept, entries: &[Entry]) {
    let (mut n, mut hash) = (0, Digest::ZERO);
    for entry in entries {
        assert_eq!(check_chain(&entry.record, kept.run(), n, hash), Ok(()));
        (n, hash) = (entry.record.n, entry.hash);
    }
}

/// Where there is nothing to restore, nothing is left behind.
fn restored(kept: &Kept, rest: &[u8]) {
    let refused = kept.restore(rest).is_err();
    let inside = kept.restored().join("restoring");
    assert!(!refused || !inside.exists(), "a refused backup was begun");
    assert!(!kept.restored().join("mirastack.db").exists());
    if !refused {
        std::fs::remove_dir_all(inside).expect("it can be removed");
    }
}
