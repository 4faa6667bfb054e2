//! Messages on the port for agents, from somebody who is none.

use super::{Case, Sends, Table, of};
use crate::siege::call::Call;
use crate::siege::kind::{Entrance, Kind};
use bytes::Bytes;
use proto::path;

/// gRPC's codes: <https://grpc.io/docs/guides/status-codes/>
/// The call was heard; what it asks for may still be refused, in the answer.
pub(super) const OK: u16 = 0;
const CANCELLED: u16 = 1;
pub(super) const INVALID: u16 = 3;
pub(super) const DENIED: u16 = 7;
const EXHAUSTED: u16 = 8;
const OUT_OF_RANGE: u16 = 11;
const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAUTHENTICATED: u16 = 16;

/// The form of the protocol that we speak ourselves.
const NATIVE: &str = "application/grpc";

/// Registrations, in bytes as gRPC frames them.
const REGISTER: &Table<Vec<u8>> = &[
    (
        Kind::Malformed,
        &[
            (
                "garbage",
                || vec![0xa5; 60_000],
                &[EXHAUSTED, OUT_OF_RANGE, INTERNAL],
            ),
            (
                "a message that is none",
                || message(&[0xff; 1_000]),
                &[INVALID],
            ),
            (
                "half an object of JSON",
                || message(b"{\"name\":"),
                &[INVALID],
            ),
            (
                "half a message",
                || vec![0, 0, 0, 0xff, 0, 1, 2],
                &[INTERNAL],
            ),
            ("nothing at all", Vec::new, &[INTERNAL]),
            (
                "compressed, it says",
                || [&[1][..], &message(b"x")[1..]].concat(),
                &[INTERNAL, UNIMPLEMENTED],
            ),
        ],
    ),
    (
        Kind::Oversized,
        &[
            (
                "70,000 bytes",
                || message(&vec![0x0a; 70_000]),
                &[OUT_OF_RANGE, CANCELLED],
            ),
            (
                "a length of 4 GiB",
                || vec![0, 0xff, 0xff, 0xff, 0xff],
                &[OUT_OF_RANGE],
            ),
        ],
    ),
    (
        Kind::Nested,
        &[(
            "12,000 objects of JSON",
            || message(&b"{\"a\":".repeat(12_000)),
            &[INVALID],
        )],
    ),
    (
        Kind::WrongTypes,
        &[
            (
                "a list for a text in JSON",
                || message(b"{\"name\":[1],\"tenant_id\":{}}"),
                &[INVALID],
            ),
            ("a number for a text", || message(&[0x08, 1]), &[INVALID]),
        ],
    ),
    (
        Kind::WrongEncodings,
        &[(
            "no UTF-8",
            || message(&[0x0a, 3, 0xff, 0xfe, 0xfd]),
            &[INVALID],
        )],
    ),
    (
        Kind::DuplicateNames,
        &[
            (
                "a name twice in JSON",
                || message(b"{\"name\":\"a\",\"name\":\"\"}"),
                &[INVALID],
            ),
            (
                "a field 10,000 times",
                || message(&[0x0a, 1, b'/'].repeat(10_000)),
                &[OK, INVALID],
            ),
        ],
    ),
];

/// Other calls, with their messages.
const OTHERS: &Table<(&str, Vec<u8>)> = &[
    (
        Kind::UnknownNames,
        &[
            (
                "no such call",
                || ("/mirastack.plugin.v1.EngineService/Nothing", message(b"")),
                &[DENIED, UNIMPLEMENTED],
            ),
            (
                "no such service",
                || ("/nothing/Nothing", message(b"")),
                &[UNIMPLEMENTED],
            ),
            (
                "a line of nobody",
                || (path::LOG_EVENT, message(&vec![0x0a; 60_000])),
                &[DENIED],
            ),
        ],
    ),
    (
        Kind::Oversized,
        &[(
            "a value of 31 MiB",
            || (path::CACHE_SET, message(&vec![b'{'; 31 << 20])),
            &[DENIED],
        )],
    ),
    (
        Kind::Malformed,
        &[(
            "a heartbeat of 30,000 tags",
            || (path::HEARTBEAT, message(&[0x0a; 30_000])),
            &[OK, INVALID],
        )],
    ),
];

/// One more header.
const HEADERS: &Table<(&str, (&str, &str))> = &[(
    Kind::UnknownNames,
    &[
        (
            "another token",
            || (path::CACHE_GET, ("authorization", "Bearer x")),
            &[UNAUTHENTICATED],
        ),
        (
            "no such encoding",
            || (path::REGISTER_PLUGIN, ("grpc-encoding", "zip")),
            &[UNIMPLEMENTED],
        ),
    ],
)];

pub(super) fn cases() -> Vec<Case> {
    let register = |body: Vec<u8>| call(NATIVE, path::REGISTER_PLUGIN, None, body);
    let other = |(path, body): (&'static str, Vec<u8>)| call(NATIVE, path, None, body);
    let more = |(path, header): (&'static str, _)| call(NATIVE, path, Some(header), message(b""));
    [
        of(Entrance::Agents, "agent", REGISTER, register),
        of(Entrance::Agents, "agent", OTHERS, other),
        of(Entrance::Agents, "agent", HEADERS, more),
    ]
    .concat()
}

pub(super) fn call(
    form: &'static str,
    path: &'static str,
    more: Option<(&'static str, &'static str)>,
    body: Vec<u8>,
) -> Sends {
    let headers = [("content-type", form), ("te", "trailers")];
    Sends::Call(Call {
        path,
        headers: headers.into_iter().chain(more).collect(),
        body: Bytes::from(body),
    })
}

/// A message as gRPC frames it: not compressed, its length, its bytes.
pub(super) fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a message is small");
    [&[0][..], &length.to_be_bytes(), bytes].concat()
}
