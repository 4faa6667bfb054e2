use engine::code::Code;
use engine::event::{Event, Failure};

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// An expression is only ever evaluated over values that are there. Every workflow here is right, so that none of its
/// expressions fails.
#[derive(Clone)]
pub(crate) struct Values;

impl Invariant for Values {
    fn name(&self) -> &'static str {
        "values"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Known) -> Result<(), String> {
        let Moment::Appended { record, events, .. } = moment else {
            return Ok(());
        };
        let failures = events.iter().filter_map(failure_of);
        let wrong = failures
            .into_iter()
            .find(|f| f.code == Code::Expression.as_str());
        must(wrong.is_none(), || format!("{}: {wrong:?}", record.key.run))
    }
}

fn failure_of(event: &Event) -> Option<&Failure> {
    match event {
        Event::StepEnded { failure, .. } => Some(failure),
        Event::RunEnded { failure, .. } => failure.as_ref(),
        _ => None,
    }
}
