//! JSON has fewer types than schemas and inputs: what the checker knows to be a double or a length of time becomes one
//! where it is read.

use super::super::meter::Fault;
use super::super::node::Cast;
use super::super::time;
use super::super::value::{CELL_BYTES, List, Value};
use super::Evaluator;

impl<'a> Evaluator<'a> {
    pub(super) fn cast(
        &mut self,
        found: Result<Value<'a>, Fault>,
        cast: Cast,
    ) -> Result<Value<'a>, Fault> {
        let value = found?;
        match (cast, value) {
            (Cast::None, value) => Ok(value),
            (Cast::Double, value) => Ok(as_double(value)),
            (Cast::Duration, Value::String(text)) => {
                time::parse_duration(&text).map(Value::Duration)
            }
            (Cast::Timestamp, Value::String(text)) => {
                time::parse_timestamp(&text).map(Value::Timestamp)
            }
            (Cast::Durations, Value::List(list)) => self.cast_all(&list, Cast::Duration),
            (Cast::Timestamps, Value::List(list)) => self.cast_all(&list, Cast::Timestamp),
            (_, value) => Ok(value),
        }
    }

    fn cast_all(&mut self, list: &List<'a>, cast: Cast) -> Result<Value<'a>, Fault> {
        self.meter.steps(list.len() as u64)?;
        self.meter.make(list.len() * CELL_BYTES)?;
        let items = list.iter().map(|item| self.cast(Ok(item), cast));
        Ok(Value::list(items.collect::<Result<_, _>>()?))
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a schema says number: it is a double from here on"
)]
pub(in super::super) fn as_double(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Int(value) => Value::Double(value as f64),
        Value::Uint(value) => Value::Double(value as f64),
        other => other,
    }
}
