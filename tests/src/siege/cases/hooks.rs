//! Deliveries.

use super::{CLOSED, Case, LARGEST, Sends, Table, filled, of, request, text, utf16};
use crate::siege::ground::SECRET;
use crate::siege::kind::{Entrance, Kind};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt::Write as _;

/// Bodies with the proof of their sender.
const SIGNED: &Table<Vec<u8>> = &[
    (Kind::Malformed, &[("half an object", || text("{"), &[400])]),
    (Kind::Oversized, &[("small objects", small, &[413])]),
    (
        Kind::Nested,
        &[("500,000 brackets", || vec![b'['; LARGEST / 2], &[400])],
    ),
    (
        Kind::WrongEncodings,
        &[
            ("no UTF-8", || b"{\"a\":\"\xff\"}".to_vec(), &[400]),
            ("UTF-16", || utf16("{}"), &[400]),
        ],
    ),
    (
        Kind::DuplicateNames,
        &[("a key twice", || text("{\"a\":1,\"a\":2}"), &[400])],
    ),
];

/// Bodies of the form that Alertmanager gives them, or not quite.
const ALERTS: &Table<Vec<u8>> = &[
    (
        Kind::Malformed,
        &[
            ("nothing", Vec::new, &[400]),
            ("brackets", || text("[[[["), &[400]),
        ],
    ),
    (Kind::Oversized, &[("small objects", small, &[413])]),
    (
        Kind::WrongTypes,
        &[(
            "no list of alerts",
            || text("{\"version\":\"4\",\"alerts\":{}}"),
            &[400],
        )],
    ),
    (
        Kind::UnknownNames,
        &[(
            "no alerts at all",
            || text("{\"version\":\"4\",\"alrets\":[]}"),
            &[400],
        )],
    ),
];

/// Bodies of a webhook of GitHub, with its proof and the names of an event and a delivery.
const WEBHOOKS: &Table<Vec<u8>> = &[
    (
        Kind::Malformed,
        &[
            ("half an object", || text("{\"action\":"), &[400]),
            ("nothing", Vec::new, &[400]),
        ],
    ),
    (Kind::Oversized, &[("small objects", small, &[413])]),
    (
        Kind::Nested,
        &[("500,000 brackets", || vec![b'['; LARGEST / 2], &[400])],
    ),
    (Kind::WrongTypes, &[("a list", || text("[{}]"), &[400])]),
    (
        Kind::WrongEncodings,
        &[
            ("no UTF-8", || b"{\"action\":\"\xff\"}".to_vec(), &[400]),
            ("UTF-16", || utf16("{}"), &[400]),
        ],
    ),
    (
        Kind::DuplicateNames,
        &[(
            "a key twice",
            || text("{\"action\":\"a\",\"action\":\"b\"}"),
            &[400],
        )],
    ),
];

/// The headers of one that name its event and its delivery, which GitHub does not sign.
const NAMES: &Table<&str> = &[
    (
        Kind::Malformed,
        &[
            ("no names", || "", &[400]),
            (
                "an empty name",
                || "x-github-event: \r\nx-github-delivery: 1\r\n",
                &[400],
            ),
        ],
    ),
    (
        Kind::WrongTypes,
        &[(
            "a form",
            || "x-github-event: push\r\nx-github-delivery: 1\r\ncontent-type: application/x-www-form-urlencoded\r\n",
            &[400],
        )],
    ),
    (
        Kind::DuplicateNames,
        &[(
            "two events",
            || "x-github-event: push\r\nx-github-event: ping\r\nx-github-delivery: 1\r\n",
            &[400],
        )],
    ),
];

/// Bodies whose sender proves nothing.
const FORGED: &Table<Vec<u8>> = &[
    (
        Kind::Oversized,
        &[
            ("1 MiB", || vec![b'a'; LARGEST], &[401]),
            (
                "1 MiB and a byte",
                || vec![b'a'; LARGEST + 1],
                &[401, 413, CLOSED],
            ),
            ("small objects", small, &[401]),
        ],
    ),
    (Kind::Malformed, &[("half an object", || text("{"), &[401])]),
];

/// Where a delivery goes.
const PATHS: &Table<&str> = &[(
    Kind::UnknownNames,
    &[
        ("nobody's", || "/hooks/nobodys", &[404]),
        ("another tenant's", || "/hooks/other/signed", &[404]),
    ],
)];

/// The bearer, and a body that is not worth reading.
const BEARERS: &Table<&str> = &[(
    Kind::Oversized,
    &[("another bearer, 1 MiB", || "Bearer x", &[401, CLOSED])],
)];

pub(super) fn cases() -> Vec<Case> {
    let signed = |body: Vec<u8>| proven(&proof(&body), &body);
    let forged = |body: Vec<u8>| proven(&"0".repeat(64), &body);
    let forged_webhook = |body: Vec<u8>| {
        let proof = format!("sha256={}", "0".repeat(64));
        delivered("/hooks/forge", ("x-hub-signature-256", &proof), &body)
    };
    let bearer = format!("Bearer {SECRET}");
    let alert = |body: Vec<u8>| delivered("/hooks/alerts", ("authorization", &bearer), &body);
    let webhook = |body: Vec<u8>| github("x-github-event: push\r\nx-github-delivery: 1\r\n", &body);
    let named = |names: &str| github(names, b"{}");
    let path = |path: &str| request(&format!("POST {path}"), &[], b"{}");
    let by = |bearer: &str| {
        let body = vec![b'a'; LARGEST];
        delivered("/hooks/alerts", ("authorization", bearer), &body)
    };
    [
        of(Entrance::Hooks, "hook", SIGNED, signed),
        of(Entrance::Hooks, "alert", ALERTS, alert),
        of(Entrance::Hooks, "webhook", WEBHOOKS, webhook),
        of(Entrance::Hooks, "webhook", NAMES, named),
        of(Entrance::Hooks, "forged", FORGED, forged),
        of(Entrance::Hooks, "forged webhook", FORGED, forged_webhook),
        of(Entrance::Hooks, "hook", PATHS, path),
        of(Entrance::Hooks, "hook", BEARERS, by),
    ]
    .concat()
}

fn proven(proof: &str, body: &[u8]) -> Sends {
    delivered("/hooks/signed", ("x-proof", proof), body)
}

fn delivered(path: &str, proof: (&str, &str), body: &[u8]) -> Sends {
    let headers = [proof, ("content-type", "application/json")];
    request(&format!("POST {path}"), &headers, body)
}

/// What GitHub sends: signed, and with header lines that are not.
fn github(lines: &str, body: &[u8]) -> Sends {
    let (proof, length) = (proof(body), body.len());
    let head = format!(
        "POST /hooks/forge HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nx-hub-signature-256: sha256={proof}\r\n{lines}\r\n"
    );
    Sends::Request([head.as_bytes(), body].concat().into())
}

fn small() -> Vec<u8> {
    filled("{\"x\":[", "{\"\":0}", "]}")
}

fn proof(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(body);
    mac.finalize()
        .into_bytes()
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a text takes everything");
            text
        })
}
