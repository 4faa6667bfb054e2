//! YAML and JSON documents, for `POST /api/v1/validate`.

use super::{CLOSED, Case, LARGEST, Table, expressions, filled, of, request, text, utf16};
use crate::siege::kind::{Entrance, Kind};

const YAML: &Table<Vec<u8>> = &[
    (
        Kind::Malformed,
        &[
            ("half a list", || text("workflow: ["), &[422]),
            ("nothing", Vec::new, &[422]),
            ("zeros", || vec![0; LARGEST / 2], &[422]),
            ("tags", tags, &[422]),
        ],
    ),
    (
        Kind::Oversized,
        &[
            (
                "1 MiB and a byte",
                || vec![b'#'; LARGEST + 1],
                &[413, CLOSED],
            ),
            ("one text of 1 MiB", one_text, &[422]),
            ("a list of 260,000", || b"- a\n".repeat(LARGEST / 4), &[422]),
            ("33,000 mappings", || steps("  - {a: b}\n", 33_000), &[422]),
            (
                "99,000 texts for steps",
                || steps("  - a\n", 99_000),
                &[422],
            ),
            ("aliases that multiply", laughs, &[422]),
        ],
    ),
    (
        Kind::Nested,
        &[
            ("500,000 brackets", || vec![b'['; LARGEST / 2], &[422]),
            ("dashes of a line", || b"- ".repeat(LARGEST / 4), &[422]),
        ],
    ),
    (
        Kind::WrongTypes,
        &[("lists and mappings for texts", wrong_types, &[422])],
    ),
    (
        Kind::UnknownNames,
        &[("49,000 keys", unknown_names, &[422])],
    ),
    (
        Kind::WrongEncodings,
        &[
            ("no UTF-8", || b"workflow: \xff\xfe\n".to_vec(), &[400]),
            ("UTF-16", || utf16("workflow: a\n"), &[400]),
        ],
    ),
    (
        Kind::DuplicateNames,
        &[(
            "a key 80,000 times",
            || b"workflow: a\n".repeat(80_000),
            &[422],
        )],
    ),
];

const JSON: &Table<Vec<u8>> = &[
    (
        Kind::Malformed,
        &[("half an object", || text("{\"workflow\": "), &[400])],
    ),
    (Kind::Oversized, &[("small objects", small_objects, &[413])]),
    (
        Kind::Nested,
        &[(
            "80,000 objects",
            || b"{\"workflow\":".repeat(80_000),
            &[400],
        )],
    ),
    (Kind::WrongTypes, &[("a list", || text("[1]"), &[422])]),
    (
        Kind::UnknownNames,
        &[("a key", || text("{\"wrokflow\":\"a\"}"), &[422])],
    ),
    (
        Kind::WrongEncodings,
        &[("UTF-16", || utf16("{\"workflow\":\"a\"}"), &[400])],
    ),
    (
        Kind::DuplicateNames,
        &[(
            "a key twice",
            || text("{\"workflow\":\"a\",\"workflow\":\"b\"}"),
            &[400, 422],
        )],
    ),
];

pub(super) fn cases(token: &str) -> Vec<Case> {
    let bearer = format!("Bearer {token}");
    let send = |kind: &str, body: Vec<u8>| {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        request("POST /api/v1/validate", &headers, &body)
    };
    let yaml = |body| send("application/yaml", body);
    let json = |body| send("application/json", body);
    [
        of(Entrance::Documents, "yaml", YAML, yaml),
        of(Entrance::Documents, "json document", JSON, json),
        of(Entrance::Documents, "expressions", expressions::TABLE, yaml),
    ]
    .concat()
}

fn one_text() -> Vec<u8> {
    let mut text = text("workflow: ");
    text.resize(LARGEST, b'a');
    text
}

fn steps(step: &str, times: usize) -> Vec<u8> {
    text(&format!("workflow: a\nsteps:\n{}", step.repeat(times)))
}

fn tags() -> Vec<u8> {
    b"workflow: !!python/object:x y\n".repeat(9_000)
}

fn wrong_types() -> Vec<u8> {
    let keys = "description owner runbook labels on inputs vars mode permission timeout steps outputs finally";
    let lines = keys
        .split(' ')
        .map(|key| format!("{key}: [[1], {{a: [2]}}]\n"));
    text(&format!(
        "workflow: {{a: 1}}\n{}",
        lines.collect::<String>()
    ))
}

fn unknown_names() -> Vec<u8> {
    let lines = (0..49_000).map(|n| format!("k{n}: 1\n"));
    text(&format!("workflow: a\n{}", lines.collect::<String>()))
}

fn laughs() -> Vec<u8> {
    let lines = (1..20).map(|n| {
        let all = vec![format!("*a{}", n - 1); 10].join(", ");
        format!("a{n}: &a{n} [{all}]\n")
    });
    text(&format!("a0: &a0 lol\n{}", lines.collect::<String>()))
}

fn small_objects() -> Vec<u8> {
    filled("{\"workflow\":\"a\",\"vars\":{\"x\":[", "{\"\":0}", "]}}")
}
