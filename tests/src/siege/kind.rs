//! The two sides of the matrix: where bad input comes in, and what is bad about it.

use std::fmt;

/// Where something comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entrance {
    Documents,
    Bodies,
    Headers,
    Http,
    Frames,
    Hooks,
    Tokens,
    Agents,
    Lines,
    Config,
    Records,
}

impl Entrance {
    pub(super) const ALL: [Self; 11] = [
        Self::Documents,
        Self::Bodies,
        Self::Headers,
        Self::Http,
        Self::Frames,
        Self::Hooks,
        Self::Tokens,
        Self::Agents,
        Self::Lines,
        Self::Config,
        Self::Records,
    ];
}

impl fmt::Display for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Documents => "documents (YAML, JSON)",
            Self::Bodies => "bodies of the API",
            Self::Headers => "methods, paths, queries, headers",
            Self::Http => "HTTP/1",
            Self::Frames => "HTTP/2",
            Self::Hooks => "hooks",
            Self::Tokens => "tokens, log-ins",
            Self::Agents => "messages of agents",
            Self::Lines => "command lines",
            Self::Config => "configuration",
            Self::Records => "stored records",
        })
    }
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Malformed,
    Oversized,
    Nested,
    WrongTypes,
    UnknownNames,
    WrongEncodings,
    DuplicateNames,
    Slow,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Malformed,
        Self::Oversized,
        Self::Nested,
        Self::WrongTypes,
        Self::UnknownNames,
        Self::WrongEncodings,
        Self::DuplicateNames,
        Self::Slow,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Oversized => "oversized",
            Self::Nested => "deeply nested",
            Self::WrongTypes => "wrong types",
            Self::UnknownNames => "unknown names",
            Self::WrongEncodings => "wrong encodings",
            Self::DuplicateNames => "duplicate keys",
            Self::Slow => "slow",
        })
    }
}
