//! Tokens and log-ins.

use super::{CLOSED, Case, Sends, Table, of, request, text, utf16};
use crate::siege::kind::{Entrance, Kind};

/// What stands after `authorization: `, made of a token that lets in.
type Made = fn(&str) -> String;

const TOKENS: &Table<Made> = &[
    (
        Kind::Malformed,
        &[
            ("cut", || |t| bearer(&t[..t.len() - 9]), &[401]),
            ("one bit", || one_bit, &[401]),
            ("garbage", || |_| bearer("v4.local.AAAA"), &[401]),
            ("nothing", || |_| String::new(), &[401]),
        ],
    ),
    (
        Kind::Oversized,
        &[
            (
                "a footer of 12 KiB",
                || |t| bearer(&format!("{t}{}", "a".repeat(12_000))),
                &[401],
            ),
            ("15 KiB of dots", || |_| bearer(&".".repeat(15_000)), &[401]),
        ],
    ),
    (
        Kind::WrongTypes,
        &[
            ("another scheme", || |_| "Basic YTpi".to_owned(), &[401]),
            (
                "another version",
                || |t| bearer(&t.replace("v4.", "v3.")),
                &[401],
            ),
            (
                "another purpose",
                || |t| bearer(&t.replace("local", "public")),
                &[401],
            ),
        ],
    ),
    (
        Kind::WrongEncodings,
        &[("no ASCII", || |t| bearer(&format!("{t}\u{e9}")), &[401])],
    ),
    (
        Kind::DuplicateNames,
        &[(
            "two of them",
            || |t| format!("Bearer {t}\r\nauthorization: Bearer {t}"),
            &[401],
        )],
    ),
];

const LOG_INS: &Table<Vec<u8>> = &[
    (Kind::Malformed, &[("half an object", || text("{"), &[400])]),
    (
        Kind::Oversized,
        &[(
            "a secret of 1 MiB",
            || log_in("\"a\"", &"a".repeat(1024 * 1024)),
            &[413, CLOSED],
        )],
    ),
    (
        Kind::Nested,
        &[("15,000 brackets", || vec![b'['; 15_000], &[400, 413])],
    ),
    (
        Kind::WrongTypes,
        &[(
            "lists and mappings",
            || text("{\"api_key_id\":[],\"api_secret\":{}}"),
            &[422],
        )],
    ),
    (
        Kind::UnknownNames,
        &[
            (
                "another secret",
                || log_in("\"bootstrap\"", "msk_x"),
                &[401],
            ),
            ("nobody", || log_in("\"nobody\"", "msk_x"), &[401]),
            ("a key", || log_in("\"a\",\"kye\":1", "msk_x"), &[422]),
        ],
    ),
    (
        Kind::WrongEncodings,
        &[(
            "UTF-16",
            || utf16("{\"api_key_id\":\"a\",\"api_secret\":\"b\"}"),
            &[400],
        )],
    ),
    (
        Kind::DuplicateNames,
        &[(
            "a key twice",
            || log_in("\"a\",\"api_key_id\":\"b\"", "c"),
            &[422],
        )],
    ),
];

pub(super) fn cases(token: &str) -> Vec<Case> {
    let shown = |made: Made| {
        let headers = [("authorization", made(token))];
        let headers = headers
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        request("GET /api/v1/whoami", &headers, b"")
    };
    let post = |body: Vec<u8>| -> Sends {
        let headers = [("content-type", "application/json")];
        request("POST /api/v1/auth/token", &headers, &body)
    };
    [
        of(Entrance::Tokens, "token", TOKENS, shown),
        of(Entrance::Tokens, "log-in", LOG_INS, post),
    ]
    .concat()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn one_bit(token: &str) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bearer(&String::from_utf8_lossy(&bytes))
}

fn log_in(key: &str, secret: &str) -> Vec<u8> {
    text(&format!(
        "{{\"api_key_id\":{key},\"api_secret\":\"{secret}\"}}"
    ))
}
