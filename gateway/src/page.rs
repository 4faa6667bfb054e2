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
    let after = page.after.as_deref().and_then(read_cursor);
    let mut rest = rows.skip_while(|row| after.as_ref().is_some_and(|after| name(row) <= after));
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

/// A page of a view as it is asked for: the cursor is opaque to clients.
///
/// # Errors
/// 400 when the cursor is none of ours.
pub(crate) fn view_page(page: Page) -> Result<Page, Problem> {
    let after = match page.after {
        None => None,
        Some(text) => Some(
            read_cursor(&text)
                .ok_or_else(|| Problem::malformed("this cursor is not one that a list gave"))?,
        ),
    };
    Ok(Page {
        limit: page.limit,
        after,
    })
}

/// A part of a view as it is answered.
pub(crate) fn listed<T, U>(paged: Paged<T>, row: impl FnMut(T) -> U) -> Listed<U> {
    Listed {
        items: paged.items.into_iter().map(row).collect(),
        next_cursor: paged.next.map(|next| write_cursor(&next)),
        incomplete: paged.incomplete,
    }
}

fn write_cursor(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

fn read_cursor(text: &str) -> Option<String> {
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
                Some(cursor) => page.after = Some(cursor),
                None => break,
            }
        }
        assert_eq!(seen, names);
    }
}
