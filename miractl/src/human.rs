//! Durations, ages and words as people read them.

use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use crate::exit::{Failure, Result};

/// A duration in at most two units: `412ms`, `3.2s`, `1m30s`, `2h5m`, `3d4h`.
pub(crate) fn duration(time: SignedDuration) -> String {
    let ms = time.as_millis().max(0);
    let (seconds, minutes, hours) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..10_000 => format!("{seconds}.{}s", ms % 1000 / 100),
        10_000..60_000 => format!("{seconds}s"),
        60_000..3_600_000 => two((minutes, "m"), (seconds % 60, "s")),
        3_600_000..86_400_000 => two((hours, "h"), (minutes % 60, "m")),
        _ => two((hours / 24, "d"), (hours % 24, "h")),
    }
}

fn two(big: (i128, &str), small: (i128, &str)) -> String {
    if small.0 == 0 {
        format!("{}{}", big.0, big.1)
    } else {
        format!("{}{}{}{}", big.0, big.1, small.0, small.1)
    }
}

/// How long ago `then` was, in one unit: `5s`, `3m`, `2h`, `4d`; the future counts as `0s`.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What is left until `then`: `in 28m`, or `passed`.
pub(crate) fn until(then: Timestamp, now: Timestamp) -> String {
    let left = then.duration_since(now);
    if left.is_positive() {
        format!("in {}", age(now, then))
    } else {
        "passed".to_owned()
    }
}

/// An empty text as a dash, so that no column of a table looks forgotten.
pub(crate) fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// The ending of an id that tables show and every verb understands.
pub(crate) fn short(id: &str) -> &str {
    // An approval's id is its run's, and behind a dot which one of it.
    let uuid = id.split('.').next().unwrap_or_default();
    let is_uuid = uuid.len() == 36 && uuid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if is_uuid { &id[28..] } else { id }
}

/// `1 run`, `2 runs`.
pub(crate) fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("{n} {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// Reads `500ms`, `10m`, `1h30m`, `7d`.
pub(crate) fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration; write a number and a unit: 30s, 10m, 1h30m, 7d");
    let span: Span = text.parse().map_err(|_| wrong())?;
    let exact = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| wrong())?;
    Duration::try_from(exact).map_err(|_| wrong())
}

/// Reads a time for a filter: RFC 3339, or a duration before `now`.
pub(crate) fn parse_since(text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    parse_duration(text)
        .ok()
        .and_then(|back| now.checked_sub(back).ok())
        .ok_or_else(|| {
            Failure::usage(format!("`{text}` is neither a duration nor a time"))
                .hint("write 2h, 7d, or 2026-01-31T08:00:00Z")
        })
}

/// The known name that `wrong` most probably was meant to be.
pub(crate) fn nearest<S: AsRef<str>>(
    wrong: &str,
    known: impl IntoIterator<Item = S>,
) -> Option<String> {
    let score = |name: &str| strsim::jaro_winkler(wrong, name);
    known
        .into_iter()
        .map(|name| (score(name.as_ref()), name.as_ref().to_owned()))
        // Below 0.8 two names have little more in common than some letters.
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// `text` in at most `width` columns, the rest replaced by `…`.
pub(crate) fn fit(text: &str, width: usize) -> String {
    use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1; // of the ellipsis
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// `text` padded with spaces to `width` columns, or cut to it.
pub(crate) fn pad(text: &str, width: usize) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut out = fit(text, width);
    let used = out.as_str().width();
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(used)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        let shown = |ms: i64| duration(SignedDuration::from_millis(ms));
        assert_eq!(shown(-5), "0ms");
        assert_eq!(shown(412), "412ms");
        assert_eq!(shown(3_249), "3.2s");
        assert_eq!(shown(59_999), "59s");
        assert_eq!(shown(90_000), "1m30s");
        assert_eq!(shown(120_000), "2m");
        assert_eq!(shown(7_500_000), "2h5m");
        assert_eq!(shown(273_600_000), "3d4h");
    }

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, ms) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse_duration(text).expect(text).as_millis(), ms, "{text}");
        }
        for text in ["", "5", "-5m", "soon", "1y"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn since_is_a_duration_or_a_time() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().expect("a time");
        assert_eq!(
            parse_since("24h", now).expect("back"),
            "2026-01-01T00:00:00Z".parse().expect("a time")
        );
        let exact = "2025-12-31T00:00:00Z";
        assert_eq!(
            parse_since(exact, now).expect("exact"),
            exact.parse().expect("a time")
        );
        assert!(parse_since("yesterday", now).is_err());
    }

    #[test]
    fn only_uuids_are_shortened() {
        assert_eq!(short("0197c0de-1111-7abc-8def-0123456789ab"), "456789ab");
        assert_eq!(
            short("0197c0de-1111-7abc-8def-0123456789ab.3.1"),
            "456789ab.3.1"
        );
        assert_eq!(short("silence-noisy-alert"), "silence-noisy-alert");
    }

    #[test]
    fn texts_are_cut_by_columns_and_not_by_bytes() {
        assert_eq!(fit("héllo wörld", 6), "héllo…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("short", 5), "short");
        assert_eq!(pad("ab", 4), "ab  ");
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(
            nearest("instant_qeury", ["instant_query", "range_query"]).as_deref(),
            Some("instant_query")
        );
        assert_eq!(nearest("zzz", ["instant_query"]), None);
    }
}
