//! The matrix of bad input: for each entrance and each kind, what tries it, or why that cannot be.

use super::cases::{self, Case};
use super::kind::{Entrance, Kind};
use super::slow;
use crate::story::root;
use anyhow::{Context as _, Result, ensure};
use std::fs;

/// What holds a cell besides the siege.
enum Held {
    /// A test: its file, its function, and its row, or nothing when all of it is about this.
    Test(&'static str, &'static str, &'static str),
    /// A kind of peer of the slow ones.
    Slow(&'static str),
    /// It cannot be, and why.
    Never(&'static str),
}

use Entrance::{
    Agents, Bodies, Config, Documents, Frames, Headers, Hooks, Http, Lines, Records, Tokens,
};
use Held::{Never, Slow, Test};
use Kind::{
    DuplicateNames, Malformed, Nested, Oversized, UnknownNames, WrongEncodings, WrongTypes,
};

const ANSWERS: &str = "worker/tests/worker/hostile/answers.rs";
const ANSWERED: &str =
    "whatever_a_plugin_answers_its_call_ends_with_what_it_did_and_nobody_else_notices";
const MESSAGES: &str = "worker/tests/worker/hostile/messages.rs";
const MESSAGE: &str = "whatever_strangers_send_beside_an_agent_that_registered_takes_little_memory";
const SETTINGS: &str = "tests/e2e/config.rs";
const FILE: &str = "no_file_that_is_broken_in_any_way_is_taken_or_does_harm";
const LINE: &str = "no_command_line_that_is_broken_in_any_way_is_taken_or_does_harm";
/// Every call of the store is late there, now and then.
const SIM: &str = "tests/sim/seeds.rs";
const RECORD: &str = "engine/src/record/tests.rs";
const READ: &str = "whatever_is_stored_is_read_or_refused_and_does_no_harm";

const BESIDES: &[(Entrance, Kind, Held)] = &[
    (
        Documents,
        Kind::Slow,
        Slow("http: a document of somebody known"),
    ),
    (Bodies, Kind::Slow, Slow("http: a run of somebody known")),
    (
        Bodies,
        Kind::Slow,
        Slow("http: half a run of somebody known"),
    ),
    (Headers, Kind::Slow, Slow("http: headers")),
    (
        Http,
        Nested,
        Never("what HTTP/1 sends is flat: a line, fields, a body"),
    ),
    (Http, Kind::Slow, Slow("http: headers")),
    (Http, Kind::Slow, Slow("http: a handshake of TLS")),
    (Frames, Nested, Never("a frame is in no other")),
    (Frames, Kind::Slow, Slow("http: the beginning of HTTP/2")),
    (Frames, Kind::Slow, Slow("http: a frame of HTTP/2")),
    (Hooks, Kind::Slow, Slow("http: a body of a delivery")),
    (Tokens, Kind::Slow, Slow("http: headers")),
    (Tokens, Kind::Slow, Slow("http: a body")),
    (Agents, Malformed, Test(ANSWERS, ANSWERED, "no-json")),
    (Agents, Oversized, Test(ANSWERS, ANSWERED, "huge")),
    (Agents, Oversized, Test(ANSWERS, ANSWERED, "dense")),
    (Agents, Oversized, Test(MESSAGES, MESSAGE, "small objects")),
    (Agents, Nested, Test(MESSAGES, MESSAGE, "31 MiB of objects")),
    (
        Agents,
        DuplicateNames,
        Test(MESSAGES, MESSAGE, "a name twice"),
    ),
    (Agents, Nested, Test(ANSWERS, ANSWERED, "deep")),
    (Agents, WrongTypes, Test(ANSWERS, ANSWERED, "other-schema")),
    (Agents, UnknownNames, Test(ANSWERS, ANSWERED, "nonsense")),
    (Agents, WrongEncodings, Test(ANSWERS, ANSWERED, "no-text")),
    (
        Agents,
        DuplicateNames,
        Test(ANSWERS, ANSWERED, "name-twice"),
    ),
    (Agents, Kind::Slow, Test(ANSWERS, ANSWERED, "talks-on")),
    (Agents, Kind::Slow, Slow("agents: the beginning of HTTP/2")),
    (Agents, Kind::Slow, Slow("agents: a frame of HTTP/2")),
    (Agents, Kind::Slow, Slow("agents: a handshake of TLS")),
    (Lines, Malformed, Test(SETTINGS, LINE, "nothing for a time")),
    (Lines, Oversized, Test(SETTINGS, LINE, "oversized")),
    (
        Lines,
        Nested,
        Never("a word of a command line is one text; what it names is a document or a file"),
    ),
    (Lines, WrongTypes, Test(SETTINGS, LINE, "a wrong type")),
    (Lines, UnknownNames, Test(SETTINGS, LINE, "an unknown name")),
    (Lines, WrongEncodings, Test(SETTINGS, LINE, "no UTF-8")),
    (
        Lines,
        DuplicateNames,
        Test(SETTINGS, LINE, "the same twice"),
    ),
    (
        Lines,
        Kind::Slow,
        Never("the system hands a command line over whole"),
    ),
    (Config, Malformed, Test(SETTINGS, FILE, "malformed")),
    (Config, Oversized, Test(SETTINGS, FILE, "oversized")),
    (Config, Nested, Test(SETTINGS, FILE, "nested")),
    (Config, WrongTypes, Test(SETTINGS, FILE, "wrong types")),
    (Config, UnknownNames, Test(SETTINGS, FILE, "unknown names")),
    (Config, WrongEncodings, Test(SETTINGS, FILE, "no UTF-8")),
    (
        Config,
        DuplicateNames,
        Test(SETTINGS, FILE, "duplicate keys"),
    ),
    (
        Config,
        Kind::Slow,
        Never("it is read once, before anything listens"),
    ),
    (Records, Malformed, Test(RECORD, READ, "a value cut off")),
    (Records, Oversized, Test(RECORD, READ, "a length of 2^62")),
    (
        Records,
        Nested,
        Test(RECORD, READ, "500,000 lists in a field that nobody reads"),
    ),
    (
        Records,
        WrongTypes,
        Test(RECORD, READ, "a text for a number"),
    ),
    (
        Records,
        UnknownNames,
        Test(RECORD, READ, "an event that nobody knows"),
    ),
    (Records, WrongEncodings, Test(RECORD, READ, "no UTF-8")),
    (
        Records,
        DuplicateNames,
        Test(RECORD, READ, "a name twice in a map"),
    ),
    (
        Records,
        Kind::Slow,
        Test(
            SIM,
            "every_seed_holds_every_invariant_and_runs_the_same_twice",
            "",
        ),
    ),
];

/// The matrix as a table of Markdown.
///
/// # Errors
/// A cell that nothing holds, or that cannot be and is tried; a test that is not there.
pub fn matrix() -> Result<String> {
    let mut cases = cases::all("v4.local.a-token-for-nobody");
    cases.extend(cases::beside_an_agent());
    let mut table = "| entrance | what is wrong | what tries it |\n|---|---|---|\n".to_owned();
    for entrance in Entrance::ALL {
        for kind in Kind::ALL {
            let cell = cell(&cases, entrance, kind);
            let cell = cell.with_context(|| format!("{entrance}, {kind}"))?;
            table.push_str(&format!("| {entrance} | {kind} | {cell} |\n"));
        }
    }
    Ok(table)
}

fn cell(cases: &[Case], entrance: Entrance, kind: Kind) -> Result<String> {
    let of_cell = |case: &&Case| (case.entrance, case.kind) == (entrance, kind);
    let names: Vec<_> = cases
        .iter()
        .filter(of_cell)
        .map(|case| case.name.as_str())
        .collect();
    let mut parts = Vec::new();
    if !names.is_empty() {
        parts.push(format!("`siege`: {}", names.join("; ")));
    }
    let besides = BESIDES
        .iter()
        .filter(|(e, k, _)| (*e, *k) == (entrance, kind));
    let besides: Vec<_> = besides.map(|(_, _, held)| held).collect();
    if let [Never(why)] = besides[..] {
        ensure!(parts.is_empty(), "it is tried and cannot be");
        return Ok(format!("– ({why})"));
    }
    for held in besides {
        parts.push(shown(held)?);
    }
    ensure!(!parts.is_empty(), "nothing tries it");
    Ok(parts.join("; "))
}

fn shown(held: &Held) -> Result<String> {
    match held {
        Test(file, function, row) => {
            let text = fs::read_to_string(root()?.join(file)).context(*file)?;
            ensure!(
                text.contains(&format!("fn {function}(")),
                "{file} has no {function}"
            );
            ensure!(
                row.is_empty() || text.contains(&format!("\"{row}\"")),
                "{file} has no row {row:?}"
            );
            let shown = if row.is_empty() { function } else { row };
            Ok(format!("`{file}`: {shown}"))
        }
        Slow(name) => {
            let mut kinds = slow::HTTP.iter().chain(&slow::GRPC);
            ensure!(
                kinds.any(|kind| kind.name == *name),
                "no slow peer is {name:?}"
            );
            Ok(format!("slow peers: {name}"))
        }
        Never(why) => anyhow::bail!("{why}, and it is tried"),
    }
}
