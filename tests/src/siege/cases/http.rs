//! What is no HTTP/1.1 (RFC 9112), or more of it than there may be: refused without a word, or closed.

use super::{CLOSED, Case, Sends, Table, of, request};
use crate::siege::kind::{Entrance, Kind};

const TABLE: &Table<Vec<u8>> = &[
    (
        Kind::Malformed,
        &[
            (
                "something else",
                || b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n".to_vec(),
                REFUSED,
            ),
            ("no host", || get("/livez HTTP/1.1\r\n"), REFUSED),
            (
                "a name with a space",
                || get("/livez HTTP/1.1\r\nho st: x\r\n"),
                REFUSED,
            ),
            (
                "a zero in a value",
                || get("/livez HTTP/1.1\r\nhost: x\r\nx-a: b\0c\r\n"),
                REFUSED,
            ),
            (
                "a chunk without a size",
                || [post("transfer-encoding: chunked\r\n"), b"zz\r\n".to_vec()].concat(),
                REFUSED,
            ),
        ],
    ),
    (
        Kind::Oversized,
        &[(
            "a line of 100 KiB",
            || get(&format!("/{} HTTP/1.1\r\n", "a".repeat(100_000))),
            REFUSED,
        )],
    ),
    (
        Kind::WrongTypes,
        &[("a length below", || post("content-length: -1\r\n"), REFUSED)],
    ),
    (
        Kind::UnknownNames,
        &[(
            "another version",
            || get("/livez HTTP/7.0\r\nhost: x\r\n"),
            REFUSED,
        )],
    ),
    (
        Kind::WrongEncodings,
        &[(
            "UTF-16",
            || super::utf16("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"),
            REFUSED,
        )],
    ),
    (
        Kind::DuplicateNames,
        &[
            (
                "two lengths",
                || {
                    [
                        post("content-length: 1\r\ncontent-length: 2\r\n"),
                        b"{}".to_vec(),
                    ]
                    .concat()
                },
                REFUSED,
            ),
            (
                "two hosts",
                || get("/livez HTTP/1.1\r\nhost: x\r\nhost: y\r\n"),
                REFUSED,
            ),
        ],
    ),
];

/// Fields that are too many or too large.
const FIELDS: &Table<Vec<(&str, String)>> = &[(
    Kind::Oversized,
    &[
        (
            "70 fields",
            || vec![("x-a", "b".to_owned()); 70],
            &[431, CLOSED],
        ),
        (
            "a field of 17 KiB",
            || vec![("x-a", "b".repeat(17 * 1024))],
            &[431, CLOSED],
        ),
    ],
)];

const REFUSED: &[u16] = &[400, 414, 431, 501, 505, CLOSED];

pub(super) fn cases(token: &str) -> Vec<Case> {
    let bearer = format!("Bearer {token}");
    let bare = |bytes: Vec<u8>| Sends::Request(bytes.into());
    let whoami = |fields: Vec<(&str, String)>| {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let all: Vec<_> = fields.chain([("authorization", bearer.as_str())]).collect();
        request("GET /api/v1/whoami", &all, b"")
    };
    let mut all = of(Entrance::Http, "http", TABLE, bare);
    all.extend(of(Entrance::Http, "http", FIELDS, whoami));
    all.iter_mut().for_each(|case| case.is_http = false);
    all
}

fn get(rest: &str) -> Vec<u8> {
    format!("GET {rest}\r\n").into_bytes()
}

fn post(fields: &str) -> Vec<u8> {
    format!("POST /api/v1/auth/token HTTP/1.1\r\nhost: x\r\n{fields}\r\n").into_bytes()
}
