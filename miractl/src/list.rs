//! Lists: paging, empty states, and the four forms they are printed in.

use clap::Args;
use serde_json::{Value, json};

use crate::call::Call;
use crate::client::Api;
use crate::ctx::Ctx;
use crate::exit::Result;
use crate::model::clean;
use crate::output::Format;
use crate::table::{Cell, Table};

/// The most that the server gives in one page.
const PAGE: u32 = 1_000;

/// How much of a list is wanted.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Paging {
    /// Show at most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Show all, however many pages that takes
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}

/// A list as far as it was fetched.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The rows as the server gave them.
    pub(crate) items: Vec<Value>,
    /// There is more.
    pub(crate) next_cursor: Option<String>,
    /// The server is still rebuilding its index.
    pub(crate) incomplete: bool,
}

/// Fetches a list, following its pages as far as asked.
pub(crate) async fn fetch(api: &Api, call: Call, paging: Paging) -> Result<Page> {
    let mut page = Page::default();
    loop {
        let want = if paging.all {
            PAGE
        } else {
            paging.limit
                - u32::try_from(page.items.len())
                    .unwrap_or(u32::MAX)
                    .min(paging.limit)
        };
        let next = call
            .clone()
            .query("limit", want.min(PAGE).to_string())
            .maybe("cursor", page.next_cursor.take());
        let answer = api.send(next).await?.json()?;
        let items = answer["items"]
            .as_array()
            .or_else(|| answer.as_array())
            .cloned()
            .unwrap_or_default();
        let came = items.len();
        page.items.extend(items);
        page.incomplete |= answer["incomplete"].as_bool().unwrap_or(false);
        page.next_cursor = answer["next_cursor"]
            .as_str()
            .filter(|c| !c.is_empty())
            .map(str::to_owned);
        let enough = !paging.all && page.items.len() >= paging.limit as usize;
        if enough || came == 0 || page.next_cursor.is_none() {
            return Ok(page);
        }
    }
}

/// How the rows of a list look.
pub(crate) struct Look<'a> {
    /// Headings; `~` marks columns that may be cut.
    pub(crate) headings: &'a [&'static str],
    /// The cells of a row.
    pub(crate) row: &'a dyn Fn(&Value) -> Vec<Cell>,
    /// The name of a row, for `-o name`.
    pub(crate) name: &'a dyn Fn(&Value) -> String,
    /// What to say when there is nothing, with what to do next.
    pub(crate) empty: &'a str,
}

/// Prints a list.
pub(crate) fn print(ctx: &Ctx, page: &Page, look: &Look<'_>) -> Result<()> {
    if page.incomplete {
        ctx.out
            .warn("the server is still rebuilding its index: the list is not complete");
    }
    let whole = json!({ "items": page.items, "next_cursor": page.next_cursor });
    if ctx.out.structured(&whole)? {
        return Ok(());
    }
    if page.items.is_empty() {
        ctx.out.say(look.empty);
        return Ok(());
    }
    if ctx.out.format == Format::Name {
        for row in &page.items {
            ctx.out.data(&(look.name)(row))?;
        }
        return Ok(());
    }
    let mut table = Table::new(look.headings);
    for row in &page.items {
        table.row((look.row)(&clean(row)));
    }
    ctx.out.data(&table.render(&ctx.out))?;
    if page.next_cursor.is_some() {
        ctx.out
            .say("There are more: --limit N or --all shows them.");
    }
    Ok(())
}
