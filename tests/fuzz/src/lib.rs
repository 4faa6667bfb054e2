//! What reads things from outside, each reader as a function of bytes that must hold whatever the bytes are.
//!
//! A target calls the product as its users do and asserts what is true of every input, beyond that nothing panics: a
//! refusal names a place inside the text, what is read and written again reads the same. It
//! is an ordinary function. libFuzzer calls it with inputs that it makes (`make fuzz TARGET=name`), a test with those
//! that are kept in `corpus/` (`make test`). It must depend on nothing but its input, or what was found is not found
//! again.

mod agents;
mod journal;
mod kept;
pub mod mutate;
mod parts;
mod request;
mod target;
mod token;
mod world;

/// A reader of things from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its folder in `corpus/`.
    pub name: &'static str,
    /// Reads an input.
    ///
    /// # Panics
    /// When something does not hold.
    pub body: fn(&[u8]),
}

impl Target {
    const fn new(name: &'static str, body: fn(&[u8])) -> Self {
        Self { name, body }
    }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target::new("archive", target::archive::read),
    Target::new("delivery", target::delivery::read),
    Target::new("document", target::document::read),
    Target::new("expression", target::expression::read),
    Target::new("inputs", target::inputs::read),
    Target::new("journal", target::journal::read),
    Target::new("local", target::local::read),
    Target::new("mask", target::mask::read),
    Target::new("message", target::message::read),
    Target::new("request", target::request::read),
    Target::new("schema", target::schema::read),
    Target::new("settings", target::settings::read),
    Target::new("stored", target::stored::read),
    Target::new("token", target::token::read),
    Target::new("word", target::word::read),
];
