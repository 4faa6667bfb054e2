//! JSON bodies of the API.

use super::{CLOSED, Case, LARGEST, Sends, Table, filled, of, request, text, utf16};
use crate::siege::honest::START;
use crate::siege::kind::{Entrance, Kind};

/// Of a run that is started.
const RUN: &Table<Vec<u8>> = &[
    (
        Kind::Malformed,
        &[
            ("half an object", || text("{\"inputs\": "), &[400]),
            ("an endless exponent", exponent, &[400]),
            ("a number without end", || inputs("", "9", ""), &[400, 413]),
        ],
    ),
    (
        Kind::Oversized,
        &[
            (
                "1 MiB and a byte",
                || vec![b' '; LARGEST + 1],
                &[413, CLOSED],
            ),
            ("small objects", || inputs("[", "{\"\":0}", "]"), &[413]),
            ("zeros", || inputs("[", "0", "]"), &[413]),
            ("a list as large as may be", large_list, &[422]),
            ("one text of 1 MiB", || inputs("\"", TEXT, "\""), &[422]),
        ],
    ),
    (
        Kind::Nested,
        &[
            ("500,000 brackets", || vec![b'['; LARGEST / 2], &[400]),
            ("inputs 120 deep", deep_inputs, &[422]),
        ],
    ),
    (Kind::WrongTypes, &[("everywhere", wrong_types, &[422])]),
    (
        Kind::UnknownNames,
        &[
            ("a key", || text("{\"inputs\":{},\"imputs\":{}}"), &[422]),
            ("an input that nobody declared", unknown_input, &[422]),
            ("labels that are none", labels, &[400, 413, 422]),
        ],
    ),
    (
        Kind::WrongEncodings,
        &[
            ("no UTF-8", no_utf8, &[400]),
            ("half of a surrogate", half_a_surrogate, &[400]),
            ("a byte order mark", || b"\xef\xbb\xbf{}".to_vec(), &[400]),
            ("UTF-16", || utf16("{}"), &[400]),
        ],
    ),
    (
        Kind::DuplicateNames,
        &[
            (
                "an input twice",
                || text("{\"inputs\":{\"a\":1,\"a\":2}}"),
                &[422],
            ),
            ("an input 200,000 times", many_inputs, &[413, 422]),
        ],
    ),
];

/// A change of an agent's settings (RFC 7396).
const PATCH: &Table<Vec<u8>> = &[
    (Kind::WrongTypes, &[("a list", || text("[null]"), &[422])]),
    (Kind::Oversized, &[("small objects", patch_objects, &[413])]),
    (
        Kind::UnknownNames,
        &[("a setting", || text("{\"no_such\":1}"), &[422])],
    ),
    (
        Kind::DuplicateNames,
        &[("many times", || filled("{", "\"k\":1", "}"), &[413, 422])],
    ),
];

/// The parameters of an action.
const PARAMS: &Table<Vec<u8>> = &[
    (
        Kind::WrongTypes,
        &[("a list", || text("{\"params\":{\"key\":[1]}}"), &[422])],
    ),
    (
        Kind::Oversized,
        &[("one text of 1 MiB", params_text, &[422])],
    ),
];

/// Line, media type and body of other requests.
const OTHERS: &Table<(&str, &str, Vec<u8>)> = &[
    (
        Kind::WrongTypes,
        &[
            ("another media type", || start("text/html"), &[415]),
            ("no media type at all", || start(";;;"), &[415]),
            ("a name that is a path", key_name, &[422]),
            ("a filter that is empty", cancel, &[422]),
        ],
    ),
    (Kind::Oversized, &[("a secret of 1 MiB", secret, &[422])]),
];

const CHUNKS: &Table<()> = &[(
    Kind::Oversized,
    &[("more than 1 MiB, in chunks", || (), &[413, CLOSED])],
)];

const TEXT: &str = "aaaaaaaaaaaaaaa";

pub(super) fn cases(token: &str) -> Vec<Case> {
    let bearer = format!("Bearer {token}");
    let send = |line: &str, media: &str, body: &[u8]| {
        let headers = [("authorization", bearer.as_str()), ("content-type", media)];
        request(line, &headers, body)
    };
    let run = |body: Vec<u8>| send(START, "application/json", &body);
    let patch = |body: Vec<u8>| {
        let line = "PATCH /api/v1/agents/metrics/config";
        send(line, "application/merge-patch+json", &body)
    };
    let params = |body: Vec<u8>| {
        let line = "POST /api/v1/agents/demo/actions/read";
        send(line, "application/json", &body)
    };
    let other = |(line, media, body): (&str, &str, Vec<u8>)| send(line, media, &body);
    let chunks = |()| chunks(&bearer);
    [
        of(Entrance::Bodies, "json", RUN, run),
        of(Entrance::Bodies, "json", CHUNKS, chunks),
        of(Entrance::Bodies, "patch", PATCH, patch),
        of(Entrance::Bodies, "params", PARAMS, params),
        of(Entrance::Bodies, "body", OTHERS, other),
    ]
    .concat()
}

fn inputs(begin: &str, part: &str, end: &str) -> Vec<u8> {
    filled(
        &format!("{{\"inputs\":{{\"x\":{begin}"),
        part,
        &format!("{end}}}}}"),
    )
}

fn exponent() -> Vec<u8> {
    text("{\"inputs\":{\"x\":1e999999}}")
}

fn large_list() -> Vec<u8> {
    inputs("[", "1234567890123456", "]")
}

fn deep_inputs() -> Vec<u8> {
    let (open, close) = ("[".repeat(120), "]".repeat(120));
    text(&format!("{{\"inputs\":{{\"x\":{open}1{close}}}}}"))
}

fn wrong_types() -> Vec<u8> {
    text("{\"inputs\":[],\"labels\":7,\"dry_run\":\"yes\"}")
}

fn unknown_input() -> Vec<u8> {
    text("{\"inputs\":{\"nobodys\":1}}")
}

fn labels() -> Vec<u8> {
    filled("{\"labels\":{\"", "\":\"b\",\"a", "\":\"\"}}")
}

fn no_utf8() -> Vec<u8> {
    b"{\"inputs\":{\"x\":\"\xff\xfe\"}}".to_vec()
}

fn half_a_surrogate() -> Vec<u8> {
    text("{\"inputs\":{\"x\":\"\\ud800\"}}")
}

fn many_inputs() -> Vec<u8> {
    filled("{\"inputs\":{", "\"a\":1", "}}")
}

fn patch_objects() -> Vec<u8> {
    filled("{\"metrics_url\":[", "{\"\":0}", "]}")
}

fn params_text() -> Vec<u8> {
    filled("{\"params\":{\"key\":[\"", TEXT, "\"]}}")
}

fn start(media: &'static str) -> (&'static str, &'static str, Vec<u8>) {
    (START, media, text("{}"))
}

fn key_name() -> (&'static str, &'static str, Vec<u8>) {
    let body = text("{\"name\":\"../x\",\"role\":\"admin\"}");
    ("POST /api/v1/api-keys", "application/json", body)
}

fn cancel() -> (&'static str, &'static str, Vec<u8>) {
    let line = "POST /api/v1/runs/cancel";
    (line, "application/json", text("{\"filter\":{}}"))
}

fn secret() -> (&'static str, &'static str, Vec<u8>) {
    let body = filled("{\"value\":\"", TEXT, "\"}");
    ("PUT /api/v1/secrets/x", "application/json", body)
}

/// More than 1 MiB, and nobody said so before (RFC 9112, section 7.1).
fn chunks(bearer: &str) -> Sends {
    let head = format!(
        "{START} HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    Sends::Request([head.into_bytes(), chunk.repeat(17)].concat().into())
}
