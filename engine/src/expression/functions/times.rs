//! Parts of points and lengths of time: `t.getHours('Europe/Berlin')`.

use cel_core::time::TimestampComponent as Part;

use super::super::meter::{Fault, Meter};
use super::super::time::component;
use super::super::value::Value;
use super::{P, Run, Signature, method, mismatch};

macro_rules! parts {
    ($($name:literal => $function:ident $part:ident),* $(,)?) => {
        $(fn $function<'a>(_: &mut Meter, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
            part(args, Part::$part)
        })*
        /// Each name for a point in time in UTC and for one in a zone.
        pub(super) static TABLE: &[Signature] = &[
            $(
                method($name, &[P::Timestamp], P::Int, $function as Run),
                method($name, &[P::Timestamp, P::String], P::Int, $function as Run),
            )*
            method("getHours", &[P::Duration], P::Int, hours_of),
            method("getMinutes", &[P::Duration], P::Int, minutes_of),
            method("getSeconds", &[P::Duration], P::Int, seconds_of),
            method("getMilliseconds", &[P::Duration], P::Int, milliseconds_of),
        ];
    };
}

parts! {
    "getFullYear" => full_year FullYear,
    "getMonth" => month Month,
    "getDate" => date Date,
    "getDayOfMonth" => day_of_month DayOfMonth,
    "getDayOfWeek" => day_of_week DayOfWeek,
    "getDayOfYear" => day_of_year DayOfYear,
    "getHours" => hours Hours,
    "getMinutes" => minutes Minutes,
    "getSeconds" => seconds Seconds,
    "getMilliseconds" => milliseconds Milliseconds,
}

fn part<'a>(args: &[Value<'a>], part: Part) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Timestamp(time)] => component(*time, part, None).map(Value::Int),
        [Value::Timestamp(time), Value::String(zone)] => {
            component(*time, part, Some(zone)).map(Value::Int)
        }
        _ => mismatch("a time", args.first()),
    }
}

fn length<'a>(args: &[Value<'a>], of: fn(jiff::SignedDuration) -> i64) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Duration(duration)] => Ok(Value::Int(of(*duration))),
        _ => mismatch("a duration", args.first()),
    }
}

fn hours_of<'a>(_: &mut Meter, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    length(args, |duration| duration.as_secs() / 3600)
}

fn minutes_of<'a>(_: &mut Meter, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    length(args, |duration| duration.as_secs() / 60)
}

fn seconds_of<'a>(_: &mut Meter, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    length(args, |duration| duration.as_secs())
}

/// Those below a second, as CEL's conformance tests have it.
fn milliseconds_of<'a>(_: &mut Meter, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    length(args, |duration| i64::from(duration.subsec_millis()))
}
