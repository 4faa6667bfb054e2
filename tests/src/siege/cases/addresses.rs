//! Methods, paths, query strings, cursors, headers and keys of the API.

use super::{Case, Table, of, request};
use crate::siege::honest::START;
use crate::siege::kind::{Entrance, Kind};

/// So much fits into the headers of a request.
const LONG: usize = 12_000;

const PATHS: &Table<String> = &[
    (
        Kind::Malformed,
        &[
            ("zeros", || workflow("%00%00"), &[404]),
            ("half of an escape", || workflow("%z"), &[400, 404]),
            ("upwards", || workflow("..%2f..%2fetc%2fpasswd"), &[404]),
        ],
    ),
    (Kind::Oversized, &[("a name", || workflow(&long()), &[404])]),
    (
        Kind::Nested,
        &[("6,000 parts", || "/a".repeat(LONG / 2), &[404])],
    ),
    (
        Kind::WrongTypes,
        &[("no run", || "/api/v1/runs/0".to_owned(), &[400, 404])],
    ),
    (
        Kind::UnknownNames,
        &[("nobody's", || "/api/v1/nothing".to_owned(), &[404])],
    ),
    (
        Kind::WrongEncodings,
        &[("no UTF-8", || workflow("%ff%fe"), &[400, 404])],
    ),
];

const QUERIES: &Table<String> = &[
    (
        Kind::Malformed,
        &[
            ("a cursor that is none", || runs("cursor=%21%21%21"), &[400]),
            (
                "a cursor of another list",
                || runs("cursor=aG9uZXN0"),
                &[400],
            ),
        ],
    ),
    (
        Kind::Oversized,
        &[
            (
                "many values",
                || runs(&format!("workflow={}", "a,".repeat(5_000))),
                &[400],
            ),
            (
                "a cursor",
                || format!("/api/v1/workflows?cursor={}", long()),
                &[200, 400],
            ),
            (
                "a wait without end",
                || "/api/v1/runs/x?wait=99999999999999999999".to_owned(),
                &[400, 404],
            ),
        ],
    ),
    (
        Kind::Nested,
        &[(
            "brackets",
            || runs(&format!("label{}=1", "%5Ba%5D".repeat(1_000))),
            &[400],
        )],
    ),
    (
        Kind::WrongTypes,
        &[
            ("a limit below", || runs("limit=-1"), &[400]),
            (
                "a limit above",
                || runs("limit=18446744073709551616"),
                &[400],
            ),
            ("no time", || runs("since=yesterday"), &[400]),
        ],
    ),
    (
        Kind::UnknownNames,
        &[("a filter", || runs("statsu=failed"), &[400])],
    ),
    (
        Kind::WrongEncodings,
        &[("no UTF-8", || runs("status=%ff"), &[400])],
    ),
    (
        Kind::DuplicateNames,
        &[(
            "a limit 1,500 times",
            || runs(&"limit=1&".repeat(1_500)),
            &[400],
        )],
    ),
];

/// A line, and headers besides the one that lets in.
type Headed = (&'static str, Vec<(&'static str, String)>);

const HEADERS: &Table<Headed> = &[
    (
        Kind::Malformed,
        &[
            ("an empty key of a request", || keyed(""), &[400]),
            ("an odd trace and request", odd_trace, &[404]),
        ],
    ),
    (
        Kind::Oversized,
        &[("a key of a request", || keyed(&long()), &[400])],
    ),
    (
        Kind::UnknownNames,
        &[
            (
                "a method that nobody has",
                || ("BREW /api/v1/runs", vec![]),
                &[405],
            ),
            (
                "a method of other paths",
                || ("PATCH /api/v1/runs", vec![]),
                &[405],
            ),
            ("If-Match of nothing", || if_match("\"9\""), &[404, 412]),
        ],
    ),
    (
        Kind::WrongTypes,
        &[(
            "If-Match that is no tag",
            || if_match("9,,\""),
            &[400, 404, 412],
        )],
    ),
    (
        Kind::WrongEncodings,
        &[("a key of a request", || keyed("\u{e9}\u{e9}"), &[400])],
    ),
    (
        Kind::DuplicateNames,
        &[("a key of a request", two_keys, &[400])],
    ),
];

pub(super) fn cases(token: &str) -> Vec<Case> {
    let bearer = format!("Bearer {token}");
    let get = |path: String| request(&format!("GET {path}"), &[("authorization", &bearer)], b"");
    let with = |(line, more): Headed| {
        let more = more.iter().map(|(name, value)| (*name, value.as_str()));
        let all: Vec<_> = more.chain([("authorization", bearer.as_str())]).collect();
        request(line, &all, b"")
    };
    [
        of(Entrance::Headers, "path", PATHS, get),
        of(Entrance::Headers, "query", QUERIES, get),
        of(Entrance::Headers, "header", HEADERS, with),
    ]
    .concat()
}

fn long() -> String {
    "a".repeat(LONG)
}

fn workflow(name: &str) -> String {
    format!("/api/v1/workflows/{name}")
}

fn runs(query: &str) -> String {
    format!("/api/v1/runs?{query}")
}

fn keyed(key: &str) -> Headed {
    (START, vec![("idempotency-key", key.to_owned())])
}

fn two_keys() -> Headed {
    let (line, mut headers) = keyed("a");
    headers.push(("idempotency-key", "b".to_owned()));
    (line, headers)
}

fn if_match(tag: &str) -> Headed {
    let line = "DELETE /api/v1/workflows/nothing";
    (line, vec![("if-match", tag.to_owned())])
}

fn odd_trace() -> Headed {
    let headers = vec![("traceparent", long()), ("x-request-id", "a b".to_owned())];
    ("GET /api/v1/nothing", headers)
}
