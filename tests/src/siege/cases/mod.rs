//! What is sent: a file for each entrance, a table for each way in. A row says what is wrong.

mod addresses;
mod bodies;
mod calls;
mod documents;
mod expressions;
mod frames;
mod hooks;
mod http;
mod known;
mod strangers;

use super::call::Call;
use super::frames::Heard;
use super::kind::{Entrance, Kind};
use std::sync::Arc;

/// One kind of bad input.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) entrance: Entrance,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) sends: Sends,
    /// The statuses of the answer, [`CLOSED`] among them; besides, 429 and 503 say that there is no room.
    pub(super) expects: &'static [u16],
    /// Whether it is HTTP at all: what is not is refused without a problem document.
    pub(super) is_http: bool,
}

/// How it is sent.
#[derive(Clone)]
pub(super) enum Sends {
    /// Bytes of HTTP/1 over a connection of their own.
    Request(Arc<[u8]>),
    /// Bytes of HTTP/2, and what may become of them.
    Frames(Arc<[u8]>, &'static [Heard]),
    /// A call on the port for agents.
    Call(Call),
}

/// Among the statuses: the connection is closed, for its sender does not listen before everything is sent.
pub(super) const CLOSED: u16 = 0;

/// The cases of one way in, by what is wrong: what it is, what is sent, and the statuses of the answer.
type Table<T> = [(Kind, &'static [Row<T>])];
type Row<T> = (&'static str, fn() -> T, &'static [u16]);

/// Every case; `token` lets in.
pub(super) fn all(token: &str) -> Vec<Case> {
    [
        documents::cases(token),
        bodies::cases(token),
        addresses::cases(token),
        http::cases(token),
        frames::cases(),
        strangers::cases(token),
        hooks::cases(),
        calls::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Those that only have a meaning beside an agent that has registered.
pub(super) fn beside_an_agent() -> Vec<Case> {
    known::cases()
}

/// The cases of a table; `name` says which way in it is.
fn of<T>(
    entrance: Entrance,
    name: &str,
    table: &Table<T>,
    sends: impl Fn(T) -> Sends,
) -> Vec<Case> {
    let rows = table
        .iter()
        .flat_map(|(kind, rows)| rows.iter().map(move |row| (*kind, row)));
    rows.map(|(kind, (what, make, expects))| Case {
        entrance,
        kind,
        name: format!("{name}: {what}"),
        sends: sends(make()),
        expects,
        is_http: true,
    })
    .collect()
}

/// A whole request.
fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Sends {
    let mut text = format!(
        "{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    Sends::Request([text.as_bytes(), body].concat().into())
}

/// The largest body that is taken.
const LARGEST: usize = 1024 * 1024;

/// `part` again and again between `begin` and `end`, with commas, as often as there is room for.
fn filled(begin: &str, part: &str, end: &str) -> Vec<u8> {
    let room = LARGEST - begin.len() - end.len();
    let times = room / (part.len() + 1);
    let middle = vec![part; times].join(",");
    format!("{begin}{middle}{end}").into_bytes()
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn utf16(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}
