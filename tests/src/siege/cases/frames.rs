//! HTTP/2 by hand (RFC 9113): what only somebody who means harm sends.

use super::{Case, Sends, Table, of};
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
/// `:method GET`, `:scheme http`, `:path /`, `:authority x` (RFC 7541).
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'x'];

const TABLE: &Table<Vec<u8>> = &[
    (
        Kind::Malformed,
        &[
            ("garbage", || vec![0xa5; 100_000], &[]),
            ("an empty window", || frame(WINDOW, 0, 0, &[0; 4]), &[]),
        ],
    ),
    (
        Kind::Oversized,
        &[
            (
                "a frame of 16 MiB",
                || vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1],
                &[],
            ),
            ("requests that are reset", resets, &[]),
            (
                "requests without end",
                || streams(5_000, |id| frame(HEADERS, END_HEADERS, id, GET)),
                &[],
            ),
            (
                "many requests",
                || streams(2_000, |id| frame(HEADERS, WHOLE, id, GET)),
                &[],
            ),
            ("headers without end", endless, &[]),
            ("empty continuations", continuations, &[]),
            ("headers that unpack", bomb, &[]),
            ("settings", settings, &[]),
            ("pings", || frame(PING, 0, 0, &[7; 8]).repeat(50_000), &[]),
            (
                "priorities",
                || streams(20_000, |id| frame(PRIORITY, 0, id, &[0, 0, 0, 0, 9])),
                &[],
            ),
            (
                "a window",
                || frame(WINDOW, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(3),
                &[],
            ),
            ("bodies that nobody asked for", bodies, &[]),
        ],
    ),
    (
        Kind::WrongTypes,
        &[
            (
                "a promise",
                || frame(PUSH, END_HEADERS, 1, &[0, 0, 0, 2]),
                &[],
            ),
            (
                "data on no stream",
                || frame(DATA, 0, 0, &[0; 16_000]).repeat(10),
                &[],
            ),
        ],
    ),
    (
        Kind::UnknownNames,
        &[
            (
                "frames of no type",
                || frame(0xee, 0xff, 0, &[7; 100]).repeat(20_000),
                &[],
            ),
            (
                "a field of the protocol",
                || request(&[0, 2, b':', b'x', 1, b'y']),
                &[],
            ),
        ],
    ),
    (
        Kind::WrongEncodings,
        &[
            (
                "a field that cannot be unpacked",
                || request(&[0xff; 100]),
                &[],
            ),
            (
                "no text",
                || request(&[0, 1, b'a', 0x84, 0xff, 0xff, 0xff, 0xfc]),
                &[],
            ),
        ],
    ),
    (
        Kind::DuplicateNames,
        &[("two paths", || request(&[0x84]), &[])],
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let begun = |frames: Vec<u8>| {
        let whole = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frames].concat();
        Sends::Frames(whole.into())
    };
    of(Entrance::Frames, "http2", TABLE, begun)
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
    let heads = streams(90, |id| frame(HEADERS, END_HEADERS, id, GET));
    let parts = streams(90, |id| frame(DATA, 0, id, &[0; 16_000]));
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
