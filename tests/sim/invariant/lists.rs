use engine::run::Run;
use store::port::RunRow;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// When all is over, lists show what the journals say.
#[derive(Clone)]
pub(crate) struct Lists;

impl Invariant for Lists {
    fn name(&self) -> &'static str {
        "lists"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        let Moment::Listed { rows } = moment else {
            return Ok(());
        };
        for (key, seen) in known.sound() {
            let row = rows.iter().find(|row| row.id == key.run);
            let row = row.ok_or_else(|| format!("{} is in no list", key.run))?;
            shows(row, &seen.run)?;
        }
        let unknown = rows.iter().find(|row| {
            let mut keys = known.runs.keys();
            !keys.any(|key| key.run == row.id)
        });
        must(unknown.is_none(), || {
            format!("{unknown:?} is listed, and nobody knows it")
        })
    }
}

fn shows(row: &RunRow, run: &Run) -> Result<(), String> {
    let head = &run.state().head;
    let failure = head.end.as_ref().and_then(|end| end.failure.as_ref());
    let code = failure.map(|failure| failure.code.as_str());
    let said = (run.status(), head.started_at, code);
    let shown = (row.status, row.started_at, row.reason.as_deref());
    must(shown == said, || {
        format!(
            "{}: the list shows {shown:?}, the journal says {said:?}",
            row.id
        )
    })
}
