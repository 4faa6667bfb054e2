//! Messages on the port for agents while an agent of elsewhere is registered. Nobody proves who it is there, so what
//! anybody says in its name is read.

use super::calls::{DENIED, INVALID, OK, call, message};
use super::{Case, Table, of};
use crate::siege::kind::{Entrance, Kind};
use proto::path;

/// What a value of the cache may have with what stands around it, in bytes.
const LARGEST: usize = 31 << 20;
/// What any other message may have.
const LARGE: usize = 4_000_000;

/// Calls, with their messages in JSON.
const CALLS: &Table<(&str, Vec<u8>)> = &[
    (
        Kind::Oversized,
        &[
            (
                "31 MiB of small objects",
                || {
                    let many = filled(LARGEST, r#"{"x":["#, r#"{"":0},"#, "0]}");
                    (path::CACHE_SET, many)
                },
                &[INVALID],
            ),
            (
                "a value of 23 MiB",
                || {
                    let begin = r#"{"tenant_id":"default","key":"k","value":""#;
                    (path::CACHE_SET, filled(LARGEST, begin, "AAAA", r#""}"#))
                },
                &[OK],
            ),
            (
                "a result of lists",
                || {
                    let begin = r#"{"tenant_id":"default","result_json":["#;
                    (path::PUBLISH_RESULT, filled(LARGE, begin, "[],", "0]}"))
                },
                &[DENIED],
            ),
        ],
    ),
    (
        Kind::Nested,
        &[(
            "31 MiB of objects in each other",
            || (path::CACHE_SET, filled(LARGEST, "", r#"{"":"#, "")),
            &[INVALID],
        )],
    ),
    (
        Kind::UnknownNames,
        &[(
            "31 MiB with 100,000 names",
            || {
                let names: String = (0..100_000).map(|n| format!(r#""{n}":0,"#)).collect();
                let many = filled(LARGEST, &format!("{{{names}"), " ", r#""":0}"#);
                (path::CACHE_SET, many)
            },
            &[INVALID],
        )],
    ),
    (
        Kind::DuplicateNames,
        &[(
            "a key twice",
            || {
                let twice = r#"{"tenant_id":"default","key":"k","key":"l"}"#;
                (path::CACHE_GET, twice.into())
            },
            &[INVALID],
        )],
    ),
    (
        Kind::Malformed,
        &[(
            "half an object",
            || {
                (
                    path::CACHE_GET,
                    br#"{"tenant_id":"default","key":"#.to_vec(),
                )
            },
            &[INVALID],
        )],
    ),
];

pub(super) fn cases() -> Vec<Case> {
    let sends = |(path, body): (&'static str, Vec<u8>)| {
        call("application/grpc+json", path, None, message(&body))
    };
    of(Entrance::Agents, "agent of elsewhere", CALLS, sends)
}

/// A message of so many bytes: `begin`, as many `parts` as fit, and `end`.
fn filled(bytes: usize, begin: &str, part: &str, end: &str) -> Vec<u8> {
    let parts = part.repeat((bytes - begin.len() - end.len()) / part.len());
    [begin, &parts, end].concat().into_bytes()
}
