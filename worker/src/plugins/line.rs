//! What plugins say by a call-back, as lines in the logs of the calls that they work on.

use std::borrow::Cow;
use std::fmt;

use engine::id::RunId;
use proto::v1::LogEventRequest;
use serde_json::{Map, Value as Json};
use tracing::debug;

use super::asker::{ASKED_WEIGHT_MAX, Party};
use crate::caller::Said;

/// The name under which peers that know no such field name an execution among the data of a line.
const EXECUTION_ID: &str = "execution_id";

/// A line in the log of each call that is meant, without secrets and of a length that people can read.
pub(super) async fn tell(party: &Party, run: Option<RunId>, level: &'static str, message: &str) {
    for launch in &party.launches {
        let message = launch.clean(message);
        debug!(target: "plugin", agent = launch.name, level, message);
        for call in launch.calls(run) {
            let message = message.clone();
            call.events.said(Said::Log { level, message }).await;
        }
    }
}

pub(super) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// What a line says besides its text. It prints as ` name=value …`.
pub(super) enum Data<'a> {
    Fields(Map<String, Json>),
    /// It cannot be taken apart.
    Text(&'a [u8]),
}

impl<'a> Data<'a> {
    pub(super) fn of(line: &'a LogEventRequest) -> Self {
        match strict_json::read_within(&line.data_json, ASKED_WEIGHT_MAX) {
            Ok(Json::Object(fields)) => Self::Fields(fields),
            Ok(_) | Err(_) => Self::Text(&line.data_json),
        }
    }

    /// The execution that a line names: as a field, or, from a peer that knows no such field, among its data. There it
    /// may be any word of the plugin's own.
    pub(super) fn run<'b>(&'b self, line: &'b LogEventRequest) -> Option<&'b str> {
        if !line.execution_id.is_empty() {
            return Some(&line.execution_id);
        }
        let Self::Fields(fields) = self else {
            return None;
        };
        let id = fields.get(EXECUTION_ID)?.as_str()?;
        id.parse::<RunId>().is_ok().then_some(id)
    }
}

impl fmt::Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = match self {
            Self::Text([]) => return Ok(()),
            Self::Text(text) => return write!(f, " {}", lossy(text)),
            Self::Fields(fields) => fields.iter(),
        };
        for (name, value) in fields.filter(|(name, _)| *name != EXECUTION_ID) {
            let text = value.as_str().map(Cow::Borrowed);
            let text = text.unwrap_or_else(|| value.to_string().into());
            write!(f, " {name}={text}")?;
        }
        Ok(())
    }
}
