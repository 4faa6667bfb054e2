//! What a route can be asked with, as the guard holds requests to it and the description shows it.

use crate::problem::Problem;

/// An argument of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arg {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    /// Whether it takes several values: any of those between commas, and with each repetition these too.
    several: bool,
}

impl Arg {
    /// One that takes one value, and is given once.
    pub(crate) const fn one(name: &'static str, says: &'static str) -> Self {
        let several = false;
        Self {
            name,
            says,
            several,
        }
    }

    /// One that takes several.
    pub(crate) const fn several(name: &'static str, says: &'static str) -> Self {
        let several = true;
        Self {
            name,
            says,
            several,
        }
    }

    /// Whether it takes so many values.
    pub(crate) fn takes(&self, values: usize) -> bool {
        self.several || values <= 1
    }
}

/// The arguments that every list has.
pub(crate) const LIMIT_ARG: Arg = Arg::one(
    "limit",
    "How many rows, 50 unless said otherwise, at most 1,000.",
);
/// See [`LIMIT_ARG`].
pub(crate) const CURSOR_ARG: Arg = Arg::one("cursor", "`next_cursor` of the part before.");

/// 400, with the names that there are.
pub(crate) fn no_argument(name: &str, known: &[Arg]) -> Problem {
    let names: Vec<&str> = known.iter().map(|arg| arg.name).collect();
    let problem = Problem::malformed(format!("there is no argument {name:?} here"));
    match names.is_empty() {
        true => problem.hint("this route takes no arguments"),
        false => problem.hint(format!("its arguments are {}", names.join(", "))),
    }
}
