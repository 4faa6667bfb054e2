//! HTTP/2 by hand (RFC 9113): what only somebody who means harm sends.

use super::{Case, Sends};
use crate::siege::frames::Heard::{self, Answer, Closed, GoAway, Open, Reset};
use crate::siege::kind::{Entrance, Kind};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH: u8 = 5;
const PING: u8 = 6;
const WINDOW: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const WHOLE: u8 = END_HEADERS | END_STREAM;
/// `:method GET`, `:scheme http`, `:path /livez`, `:authority x` (RFC 7541): who is taken is answered 200.
const GET: &[u8] = b"\x82\x86\x04\x06/livez\x01\x01x";

/// The connection is given up.
const ENDED: &[Heard] = &[GoAway, Closed];
/// The same, once requests for which there was room are answered.
const IN_THE_END: &[Heard] = &[Answer(200), GoAway, Closed];
/// Requests for which there is room are answered, and the others are reset.
const REFUSED: &[Heard] = &[Answer(200), Reset, GoAway, Closed];
/// A request is no good.
const NO_GOOD: &[Heard] = &[Reset];
/// They may be sent as often as somebody likes, and no request is among them (RFC 9113, section 4.1, and elsewhere).
const HARMLESS: &[Heard] = &[Open];

/// What it is, what is sent, and what may become of it.
type Row = (&'static str, fn() -> Vec<u8>, &'static [Heard]);

const TABLE: &[(Kind, &[Row])] = &[
    (
        Kind::Malformed,
        &[
            ("garbage", || vec![0xa5; 100_000], ENDED),
            ("an empty window", || frame(WINDOW, 0, 0, &[0; 4]), ENDED),
        ],
    ),
    (
        Kind::Oversized,
        &[
            (
                "a frame of 16 MiB",
                || vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1],
                ENDED,
            ),
            ("requests that are reset", resets, IN_THE_END),
            (
                "requests without end",
                || streams(5_000, |id| frame(HEADERS, END_HEADERS, id, GET)),
                REFUSED,
            ),
            (
                "many requests",
                || streams(2_000, |id| frame(HEADERS, WHOLE, id, GET)),
                REFUSED,
            ),
            ("headers without end", endless, ENDED),
            ("empty continuations", continuations, ENDED),
            ("headers that unpack", bomb, IN_THE_END),
            ("settings", settings, HARMLESS),
            (
                "pings",
                || frame(PING, 0, 0, &[7; 8]).repeat(50_000),
                HARMLESS,
            ),
            (
                "priorities",
                || streams(20_000, |id| frame(PRIORITY, 0, id, &[0, 0, 0, 0, 9])),
                HARMLESS,
            ),
            (
                "a window",
                || frame(WINDOW, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(3),
                ENDED,
            ),
            ("bodies that nobody asked for", bodies, IN_THE_END),
        ],
    ),
    (
        Kind::WrongTypes,
        &[
            (
                "a promise",
                || frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2]),
                ENDED,
            ),
            (
                "data on no stream",
                || frame(DATA, 0, 0, &[0; 16_000]).repeat(10),
                ENDED,
            ),
        ],
    ),
    (
        Kind::UnknownNames,
        &[
            (
                "frames of no type",
                || frame(0xee, 0xff, 0, &[7; 100]).repeat(20_000),
                HARMLESS,
            ),
            (
                "a field of the protocol",
                || request(&[0, 2, b':', b'x', 1, b'y']),
                ENDED,
            ),
        ],
    ),
    (
        Kind::WrongEncodings,
        &[
            (
                "a field that cannot be unpacked",
                || request(&[0xff; 100]),
                ENDED,
            ),
            (
                "no text",
                || request(&[0, 1, b'a', 0x84, 0xff, 0xff, 0xff, 0xfc]),
                ENDED,
            ),
        ],
    ),
    (
        Kind::DuplicateNames,
        &[("two paths", || request(&[0x84]), NO_GOOD)],
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let rows = TABLE
        .iter()
        .flat_map(|(kind, rows)| rows.iter().map(move |row| (*kind, row)));
    rows.map(|(kind, (what, make, expects))| {
        let whole = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &make()].concat();
        Case {
            entrance: Entrance::Frames,
            kind,
            name: format!("http2: {what}"),
            sends: Sends::Frames(whole.into(), expects),
            expects: &[],
            is_http: true,
        }
    })
    .collect()
}

fn request(more: &[u8]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &[GET, more].concat())
}

fn resets() -> Vec<u8> {
    streams(10_000, |id| {
        let begun = frame(HEADERS, END_HEADERS, id, GET);
        [begun, frame(RESET, 0, id, &[0, 0, 0, 8])].concat()
    })
}

fn endless() -> Vec<u8> {
    let more = frame(CONTINUATION, 0, 1, &literal(16_000));
    [frame(HEADERS, 0, 1, GET), more.repeat(200)].concat()
}

fn continuations() -> Vec<u8> {
    let more = frame(CONTINUATION, 0, 1, &[]);
    [frame(HEADERS, 0, 1, GET), more.repeat(50_000)].concat()
}

fn settings() -> Vec<u8> {
    let window = [0, 4, 0, 0, 0xff, 0xff];
    frame(SETTINGS, 0, 0, &window.repeat(100)).repeat(2_000)
}

fn bodies() -> Vec<u8> {
    let heads = streams(60, |id| frame(HEADERS, END_HEADERS, id, GET));
    let parts = streams(60, |id| frame(DATA, 0, id, &[0; 16_000]));
    [heads, parts].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a frame is small")
        .to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

fn streams(count: u32, each: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(|n| each(2 * n + 1)).collect()
}

/// A field that is not indexed, with a value of so many bytes (RFC 7541, sections 5.1 and 6.2.2).
fn literal(bytes: usize) -> Vec<u8> {
    let rest = bytes - 127;
    let (low, high) = (rest % 128 + 128, rest / 128);
    let length = [
        0x7f,
        u8::try_from(low).expect("seven bits"),
        u8::try_from(high).expect("small"),
    ];
    [
        &[0x00, 0x03, b'x', b'-', b'a'][..],
        &length,
        &vec![b'b'; bytes],
    ]
    .concat()
}

/// A field of 4,000 bytes that is kept in the table, and asked for again and again.
fn bomb() -> Vec<u8> {
    let mut kept = literal(4_000);
    kept[0] = 0x40;
    let first = frame(HEADERS, WHOLE, 1, &[GET, &kept].concat());
    let again = [GET, &[0xbe; 12_000]].concat();
    let rest = streams(500, |id| frame(HEADERS, WHOLE, id + 2, &again));
    [first, rest].concat()
}
