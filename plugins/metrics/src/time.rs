//! Moments, as people and workflows write them.

use jiff::Timestamp;
use mirastack_sdk::ActionError;

/// Reads RFC 3339, or seconds since 1970 with an optional fraction.
pub(crate) fn parse(name: &str, text: &str) -> Result<Timestamp, ActionError> {
    let moment = match text.parse::<f64>() {
        Ok(seconds) => from_seconds(seconds),
        Err(_) => text.parse().ok(),
    };
    moment.ok_or_else(|| {
        let message = format!("`{name}`: `{text}` is no time: write RFC 3339, such as 2025-01-31T12:00:00Z, or seconds since 1970");
        ActionError::failed("invalid_input", message)
    })
}

fn from_seconds(seconds: f64) -> Option<Timestamp> {
    let nanos = (seconds.fract() * 1e9).round();
    let in_range = seconds.is_finite() && seconds.abs() < 2e11;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded just above; the fraction of a second is below 1e9"
    )]
    in_range
        .then(|| Timestamp::new(seconds.trunc() as i64, nanos as i32).ok())
        .flatten()
}

/// From milliseconds since 1970.
pub(crate) fn from_ms(name: &str, epoch_ms: i64) -> Result<Timestamp, ActionError> {
    Timestamp::from_millisecond(epoch_ms).map_err(|e| {
        ActionError::failed(
            "invalid_input",
            format!("the {name} of the time range: {e}"),
        )
    })
}

/// As the API takes it: seconds since 1970 with three decimals.
pub(crate) fn wire(moment: Timestamp) -> String {
    let ms = moment.as_millisecond();
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_both_forms() {
        for (text, on_wire) in [
            ("2025-01-31T12:00:00Z", "1738324800.000"),
            ("2025-01-31T13:00:00.25+01:00", "1738324800.250"),
            ("1738324800", "1738324800.000"),
            ("1738324800.25", "1738324800.250"),
            ("-0.5", "-0.500"),
            ("-1.25", "-1.250"),
        ] {
            assert_eq!(
                parse("time", text).map(wire).map_err(|e| e.to_string()),
                Ok(on_wire.to_owned())
            );
        }
        for bad in [
            "",
            "now",
            "NaN",
            "inf",
            "1e300",
            "2025-13-01T00:00:00Z",
            "2025-01-31",
        ] {
            let refused = parse("time", bad).expect_err(bad);
            assert_eq!(refused.code(), "invalid_input", "{bad}");
        }
    }
}
