use super::*;

/// A list of one event, whose fields come from elsewhere.
fn event(number: u8, fields: &[&[u8]]) -> Vec<u8> {
    let count = u8::try_from(fields.len()).expect("few");
    let fields = fields.concat();
    [&[0x81, 0x82, 0x18, number, 0x80 + count][..], &fields].concat()
}

/// A record with this payload; what stands around it is in order.
fn record(payload: Vec<u8>) -> Record {
    Record {
        format: FORMAT,
        key_id: None,
        codec: 0,
        key: RunKey {
            tenant: crate::id::Tenant::default(),
            run: crate::id::RunId::new(Timestamp::from_millis(1), crate::id::Shard(1), 1),
        },
        n: 1,
        prev_hash: Digest::ZERO,
        at: Timestamp::from_millis(1),
        nonce: Nonce([7; 16]),
        cause: Cause {
            id: Nonce([7; 16]),
            command: "Create".to_owned(),
        },
        summary: Summary {
            status: RunStatus::Queued,
            due: None,
            owes: false,
        },
        payload: payload.into(),
    }
}

/// `WaitStarted`: the step and the time.
const WAIT: u8 = 4;
/// `StepAdded`: the number, the name, the origin.
const ADDED: u8 = 2;
/// `RunStarted`: the `vars`.
const STARTED: u8 = 1;

/// What is wrong, the payload, and whether it is read all the same.
fn payloads() -> Vec<(&'static str, Vec<u8>, bool)> {
    let deep = vec![0x81; 500_000];
    let ended = [&deep[..], &[0]].concat();
    let mut value = minicbor::to_vec(crate::value::Value {
        digest: Digest::ZERO,
        size: 1,
        labels: crate::value::Labels::default(),
        inline: None,
    })
    .expect("memory");
    let twice = [&[0xa2, 0x61, b'a'][..], &value, &[0x61, b'a'], &value].concat();
    value.pop();
    vec![
        ("in order", event(WAIT, &[&[0], &[1]]), true),
        ("nothing", Vec::new(), false),
        (
            "a length of 2^62",
            [&[0x9b, 0x40][..], &[0; 7]].concat(),
            false,
        ),
        (
            "a text of 2^62",
            event(ADDED, &[&[0], &[0x7b, 0x40, 0, 0, 0, 0, 0, 0, 0]]),
            false,
        ),
        ("500,000 lists", deep.clone(), false),
        (
            "500,000 lists in a field that nobody reads",
            event(WAIT, &[&[0], &[1], &ended]),
            true,
        ),
        (
            "a text for a number",
            event(WAIT, &[&[0x61, b'a'], &[1]]),
            false,
        ),
        ("an event that nobody knows", event(0xc8, &[&[0]]), false),
        (
            "no UTF-8",
            event(ADDED, &[&[0], &[0x62, 0xff, 0xfe], &[0]]),
            false,
        ),
        ("a name twice in a map", event(STARTED, &[&twice]), true),
        (
            "a value cut off",
            event(STARTED, &[&[0xa1, 0x61, b'a'], &value]),
            false,
        ),
    ]
}

#[test]
fn whatever_is_stored_is_read_or_refused_and_does_no_harm() {
    for (name, payload, is_read) in payloads() {
        let bytes = record(payload).encode();
        let stored = Record::decode(&bytes).expect("what stands around it is in order");
        let events = stored.events();
        assert_eq!(events.is_ok(), is_read, "{name}: {events:?}");
    }
    let whole = record(event(WAIT, &[&[0], &[1]])).encode();
    for end in 0..whole.len() {
        let cut = Record::decode(&whole[..end]);
        assert!(
            matches!(cut, Err(BadRecord::Garbage(_))),
            "cut off at {end}"
        );
    }
    let mut newer = record(Vec::new());
    newer.format = FORMAT + 1;
    let newer = Record::decode(&newer.encode());
    assert_eq!(newer, Err(BadRecord::Newer(FORMAT + 1)));
}
