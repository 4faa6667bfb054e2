//! The journal of a run, as it is stored: records, their events, and the fold of them.

use engine::digest::Digest;
use engine::event::{Event, RunStatus};
use engine::id::{Nonce, RunId, RunKey, Shard, StepNo, Tenant};
use engine::record::{self, Cause, FORMAT, Record, Summary};
use engine::run::Run;
use engine::time::Timestamp;

use crate::journal::{Entries, items};

/// Records and bare events, one behind the other. An event gets a record of its own, so that inputs can be cut and
/// joined anywhere between events. Where a record follows another, its number and the hash of the one before are put
/// right, for nobody guesses a hash; the first is taken as it is.
pub(crate) fn read(data: &[u8]) {
    let mut entries = Entries::default();
    for item in items(data) {
        if let Ok(record) = Record::decode(item) {
            assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
            events(&record);
            entries.add(record);
        } else if let Ok(event) = minicbor::decode::<Event>(item) {
            let record = around(&event, entries.len());
            events(&record);
            entries.add(record);
        }
    }
    if let Ok(run) = Run::fold(entries.all()) {
        folded(&run);
        assert_eq!(Run::fold(entries.all()), Ok(run));
    }
}

/// A record of one event, `n` seconds after the beginning.
fn around(event: &Event, n: usize) -> Record {
    let n = u64::try_from(n).expect("an input is short");
    let at = Timestamp::from_millis(1_767_225_600_000 + 1_000 * n);
    let nonce = Nonce([7; 16]);
    Record {
        format: FORMAT,
        key_id: None,
        codec: 0,
        key: RunKey {
            tenant: Tenant::default(),
            run: RunId::new(at, Shard(0), 7),
        },
        n: 1,
        prev_hash: Digest::ZERO,
        at,
        nonce,
        cause: Cause {
            id: nonce,
            command: "Wake".to_owned(),
        },
        summary: Summary {
            status: RunStatus::Running,
            due: None,
            owes: false,
        },
        payload: record::encode_events(std::slice::from_ref(event)),
    }
}

fn events(record: &Record) {
    let Ok(events) = record.events() else {
        return;
    };
    let bytes = record::encode_events(&events);
    let again: Vec<Event> = minicbor::decode(&bytes).expect("what was written reads");
    assert_eq!(again, events);
    let _ = serde_json::to_string(&events).expect("events can be shown");
}

/// Whatever the events were, the state can be looked at.
fn folded(run: &Run) {
    let _ = (run.summary(), run.due_while(true), run.inline_bytes_max());
    let steps = run.state().steps.len();
    for no in (0..=steps).filter_map(|no| u32::try_from(no).ok()) {
        if let Some(job) = run.job(StepNo(no)) {
            let bytes = minicbor::to_vec(&job).expect("writing to memory cannot fail");
            assert_eq!(minicbor::decode(&bytes).ok(), Some(job));
        }
    }
}
