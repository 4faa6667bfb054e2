//! Parts of lists.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use store::port::{Page, Paged};

use crate::problem::Problem;
use crate::respond::Listed;

/// A part of a list that is in memory, in the order of its names.
pub(crate) fn page_of<T>(
    rows: impl Iterator<Item = T>,
    page: &Page,
    name: impl Fn(&T) -> &String,
) -> Listed<T> {
    let after = page.after.as_ref();
    let mut rest = rows.skip_while(|row| after.is_some_and(|after| name(row) <= after));
    let items: Vec<T> = rest.by_ref().take(page.limit).collect();
    let more = rest.next().is_some();
    let next_cursor = items
        .last()
        .filter(|_| more)
        .map(|last| write_cursor(name(last)));
    Listed {
        items,
        next_cursor,
        incomplete: false,
    }
}

/// What a view refuses: its only conflict is a cursor that another list gave.
pub(crate) fn not_of_this_list(error: store::Error) -> Problem {
    match error {
        store::Error::Conflict(_) => no_cursor(),
        store::Error::Unavailable(_) | store::Error::Corrupt(_) => error.into(),
    }
}

/// 400.
pub(crate) fn no_cursor() -> Problem {
    Problem::malformed("this cursor is not one that this list gave: begin without one")
}

/// A part of a view as it is answered.
pub(crate) fn listed<T, U>(paged: Paged<T>, row: impl FnMut(T) -> U) -> Listed<U> {
    Listed {
        items: paged.items.into_iter().map(row).collect(),
        next_cursor: paged.next.map(|next| write_cursor(&next)),
        incomplete: paged.incomplete,
    }
}

/// A place in a list as clients get it: opaque.
pub(crate) fn write_cursor(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

/// The place that a cursor stands for.
pub(crate) fn read_cursor(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

impl<T> Listed<T> {
    /// Each row as something else.
    pub(crate) fn map<U>(self, row: impl FnMut(T) -> U) -> Listed<U> {
        Listed {
            items: self.items.into_iter().map(row).collect(),
            next_cursor: self.next_cursor,
            incomplete: self.incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let names: Vec<String> = (0..7).map(|n| format!("n{n}")).collect();
        let mut page = Page {
            limit: 3,
            after: None,
        };
        let mut seen = Vec::new();
        loop {
            let part = page_of(names.iter().cloned(), &page, |name| name);
            seen.extend(part.items);
            match part.next_cursor {
                Some(cursor) => page.after = read_cursor(&cursor),
                None => break,
            }
        }
        assert_eq!(seen, names);
    }
}
