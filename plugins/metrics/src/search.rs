//! What the actions share that look for names, not for values.

use mirastack_sdk::{ActionError, Context};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{span::Span, time};

/// Which series, and when.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Search {
    /// Only of series that one of these selects, such as `up{job="api"}`.
    #[serde(rename = "match", default)]
    #[schemars(length(max = 100))]
    pub(crate) selectors: Vec<String>,
    /// Where the span begins: RFC 3339, or seconds since 1970. The call's time range wins over it. When both
    /// are left out: an hour before its end. Servers take it roughly.
    pub(crate) start: Option<String>,
    /// Where the span ends. The call's time range wins over it. When both are left out: now.
    pub(crate) end: Option<String>,
    /// How many are listed at most.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) limit: usize,
}

pub(crate) fn thousand() -> usize {
    1_000
}

impl Search {
    /// As the API takes it. The server is asked for one more than the limit, so that it shows whether there are more.
    pub(crate) fn wire(
        &self,
        context: &Context,
    ) -> Result<Vec<(&'static str, String)>, ActionError> {
        let span = Span::of(context, (self.start.as_deref(), self.end.as_deref()))?;
        let selectors = self.selectors.iter();
        let mut all: Vec<_> = selectors.map(|s| ("match[]", s.clone())).collect();
        all.push(("start", time::wire(span.start)));
        all.push(("end", time::wire(span.end)));
        all.push(("limit", one_more(self.limit)));
        Ok(all)
    }
}

/// The limit that a server is told.
pub(crate) fn one_more(limit: usize) -> String {
    (limit + 1).to_string()
}

/// The first of them, in order; and whether there are more. Older servers know no limit and answer all.
pub(crate) fn first<T: Ord>(mut all: Vec<T>, limit: usize) -> (Vec<T>, bool) {
    all.sort_unstable();
    let more = all.len() > limit;
    all.truncate(limit);
    (all, more)
}

/// For a call, which takes borrowed texts.
pub(crate) fn borrowed<'a>(all: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    all.iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect()
}
