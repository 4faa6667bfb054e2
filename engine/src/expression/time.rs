//! Lengths and points of time in expressions.
//!
//! They go beyond `crate::duration` and `crate::time`: CEL computes with negative lengths and nanoseconds.

use cel_core::time::{TimestampComponent, parse_timezone};
use jiff::{SignedDuration, Timestamp};

use super::meter::Fault;

/// Year 1, as CEL has it: RFC 3339 has no years before.
const SECONDS_MIN: i64 = -62_135_596_800;

const UNITS: [(&str, i128); 8] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// `1h30m`, `-1.5s`, `7d`: what `crate::duration` reads, and what CEL reads.
pub(super) fn parse_duration(text: &str) -> Result<SignedDuration, Fault> {
    let wrong = || {
        Fault::Failed(format!(
            "`{}` is no duration: write number and unit, such as 500ms, 90s, 1h30m or 7d",
            shorten(text)
        ))
    };
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut total: i128 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, nanos) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        let part = scale(number, *nanos).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = after;
    }
    from_nanos(sign * total).ok_or_else(wrong)
}

/// `number` (digits, perhaps a point) times `nanos`.
fn scale(number: &str, nanos: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // 18 digits of each are far beyond any bound, and their products stay within 128 bits.
    let short = whole.len() <= 18 && fraction.len() <= 18 && whole.len() + fraction.len() > 0;
    if !short || fraction.contains('.') {
        return None;
    }
    let digits = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<i128>().ok()
        }
    };
    let power = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let part = (digits(fraction)?.checked_mul(nanos)?) / power;
    digits(whole)?.checked_mul(nanos)?.checked_add(part)
}

fn from_nanos(nanos: i128) -> Option<SignedDuration> {
    let seconds = i64::try_from(nanos / 1_000_000_000).ok()?;
    let rest = i32::try_from(nanos % 1_000_000_000).ok()?;
    Some(SignedDuration::new(seconds, rest))
}

/// Numbers and units, joined, as the contract prints durations.
pub(super) fn print_duration(duration: SignedDuration) -> String {
    let mut rest = duration.as_nanos();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if rest < 0 {
        text.push('-');
        rest = -rest;
    }
    for (unit, nanos) in UNITS {
        if unit != "µs" && rest >= nanos {
            text.push_str(&(rest / nanos).to_string());
            text.push_str(unit);
            rest %= nanos;
        }
    }
    text
}

/// RFC 3339, with any offset.
pub(super) fn parse_timestamp(text: &str) -> Result<Timestamp, Fault> {
    let parsed = text.parse::<Timestamp>().ok().and_then(in_range);
    parsed.ok_or_else(|| {
        Fault::Failed(format!(
            "`{}` is no time: write RFC 3339, such as 2026-01-31T08:00:00Z",
            shorten(text)
        ))
    })
}

/// The timestamp if CEL has it: years 1 to 9999.
pub(super) fn in_range(timestamp: Timestamp) -> Option<Timestamp> {
    (timestamp.as_second() >= SECONDS_MIN).then_some(timestamp)
}

/// One part of a point in time, in UTC or in a zone: an IANA name or `+02:00`. The zones are compiled in, so that every
/// machine answers the same.
pub(super) fn component(
    timestamp: Timestamp,
    part: TimestampComponent,
    zone: Option<&str>,
) -> Result<i64, Fault> {
    // Whole seconds are rounded down here, whatever the sign: the nanoseconds below them are never negative.
    let nanos = timestamp.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(SECONDS_MIN);
    let below = i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0);
    let time = cel_core::Timestamp::new(seconds, below);
    let found = match zone {
        None => time.to_datetime_utc().map(|utc| part.extract(&utc)),
        Some(name) => {
            let unknown = || Fault::Failed(format!("`{}` is no time zone", shorten(name)));
            // The library computes with what it reads; only sound offsets are given to it.
            let zone = Some(name)
                .filter(|name| !name.contains(':') || is_offset(name))
                .and_then(|name| parse_timezone(name).ok())
                .ok_or_else(unknown)?;
            zone.datetime_from_timestamp(&time)
                .map(|local| part.extract(&local))
        }
    };
    found.ok_or_else(|| Fault::Failed("the time is out of range".to_owned()))
}

/// `+02:00`, `-11:30`, `05:00`.
fn is_offset(name: &str) -> bool {
    let digits = name.strip_prefix(['+', '-']).unwrap_or(name);
    let Some((hours, minutes)) = digits.split_once(':') else {
        return false;
    };
    let two =
        |text: &str, max: u8| text.len() == 2 && text.parse::<u8>().is_ok_and(|value| value <= max);
    two(hours, 23) && two(minutes, 59)
}

/// The beginning of a text, for messages.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
