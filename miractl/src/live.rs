//! What one sees while a run is followed: a picture that is drawn again and again in a terminal,
//! lines elsewhere, records as JSON where a program reads.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use crossterm::cursor::MoveUp;
use crossterm::queue;
use crossterm::terminal::{Clear, ClearType};
use jiff::Timestamp;

use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::human;
use crate::model::{Run, clean_text, error_text, text};
use crate::output::{Format, Out};
use crate::paint::Tone;
use crate::picture::{Look, picture};
use crate::stream::Heard;
use crate::timeline::{Line, Timeline};

/// Which stream the progress goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    /// `run watch`: the progress is the data.
    Stdout,
    /// `--wait`: the result is the data.
    Stderr,
}

enum Mode {
    Live,
    Lines,
    Json,
    Silent,
}

/// The progress of one run.
pub(crate) struct Screen {
    out: Out,
    surface: Surface,
    mode: Mode,
    logs: bool,
    timeline: Timeline,
    run: Run,
    progress: BTreeMap<String, String>,
    told: BTreeSet<String>,
    drawn: Vec<String>,
    beat: usize,
}

impl Screen {
    /// A screen for the streams of this process.
    pub(crate) fn new(ctx: &Ctx, surface: Surface, logs: bool) -> Self {
        let out = ctx.out.clone();
        let terminal = match surface {
            Surface::Stdout => out.width.is_some(),
            Surface::Stderr => out.err_is_terminal,
        };
        let mode = match (surface, out.format) {
            (Surface::Stdout, Format::Json | Format::Yaml) => Mode::Json,
            (Surface::Stdout, Format::Name) => Mode::Silent,
            (Surface::Stderr, _) if out.quiet => Mode::Silent,
            (Surface::Stdout | Surface::Stderr, _) if terminal && !ctx.env.dumb => Mode::Live,
            (Surface::Stdout | Surface::Stderr, _) => Mode::Lines,
        };
        Self {
            out,
            surface,
            mode,
            logs,
            timeline: Timeline::default(),
            run: Run::default(),
            progress: BTreeMap::new(),
            told: BTreeSet::new(),
            drawn: Vec::new(),
            beat: 0,
        }
    }

    /// Whether it wants a beat.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.mode, Mode::Live)
    }

    /// Takes in an event.
    pub(crate) fn hear(&mut self, heard: &Heard) -> Result<()> {
        match heard {
            Heard::Record(record) => {
                let lines = self.timeline.lines(record);
                match self.mode {
                    Mode::Json => self.print(&record.to_string()),
                    Mode::Lines => lines
                        .iter()
                        .try_for_each(|line| self.print(&line.render(self.paint()))),
                    Mode::Live | Mode::Silent => Ok(()),
                }
            }
            Heard::Progress(data) => {
                let said = progress_text(data);
                self.progress
                    .insert(self.timeline.subject(data), said.clone());
                if self.logs && matches!(self.mode, Mode::Lines) {
                    self.line(data, said)
                } else {
                    Ok(())
                }
            }
            Heard::Log(data) if self.logs => {
                let said = [text(data, "message"), text(data, "line")]
                    .into_iter()
                    .find(|t| !t.is_empty());
                self.line(data, said.map_or_else(|| error_text(data), str::to_owned))
            }
            Heard::Missed if self.logs => self.note("lines of agents may be missing here"),
            Heard::Log(_) | Heard::Missed | Heard::Ended | Heard::Lost(_) => Ok(()),
        }
    }

    /// Takes in the run's state; among lines, says once how to decide what it waits for.
    pub(crate) fn state(&mut self, run: &Run) {
        if run.id.is_empty() {
            return;
        }
        self.run = run.clone();
        let asks = run.waiting_for.iter().filter(|w| w.kind == "approval");
        for id in asks.filter_map(|w| w.id.clone()) {
            if matches!(self.mode, Mode::Lines) && self.told.insert(id.clone()) {
                self.out
                    .next(&[format!("miractl approval approve {}", human::short(&id))]);
            }
        }
    }

    /// Draws the picture again, if it looks different by now.
    pub(crate) fn beat(&mut self, now: Timestamp) -> Result<()> {
        self.beat += 1;
        if self.run.id.is_empty() {
            return Ok(());
        }
        let height = crossterm::terminal::size().map_or(24, |(_, rows)| usize::from(rows));
        self.draw(now, height)
    }

    /// Says something about the connection.
    pub(crate) fn note(&mut self, text: &str) -> Result<()> {
        match self.mode {
            Mode::Live => self.above(text),
            Mode::Lines | Mode::Json => {
                self.out.say(text);
                Ok(())
            }
            Mode::Silent => Ok(()),
        }
    }

    /// Draws the last picture, all of it.
    pub(crate) fn finish(&mut self, run: &Run, now: Timestamp) -> Result<()> {
        self.run = run.clone();
        if self.is_live() {
            self.draw(now, usize::MAX)
        } else {
            Ok(())
        }
    }

    fn draw(&mut self, now: Timestamp, height: usize) -> Result<()> {
        let look = Look {
            now,
            width: crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns)),
            height,
            beat: self.beat,
            paint: self.paint(),
            utf8: self.out.utf8,
        };
        let lines = picture(&self.run, &self.progress, &look);
        if lines == self.drawn {
            return Ok(());
        }
        let mut frame = self.erase()?;
        for line in &lines {
            frame.extend_from_slice(line.as_bytes());
            frame.push(b'\n');
        }
        self.drawn = lines;
        self.write(&frame)
    }

    /// Prints a line above the picture, where it stays.
    fn above(&mut self, text: &str) -> Result<()> {
        let mut frame = self.erase()?;
        frame.extend_from_slice(text.as_bytes());
        frame.push(b'\n');
        self.drawn.clear();
        self.write(&frame)
    }

    fn erase(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(rows) = u16::try_from(self.drawn.len())
            .ok()
            .filter(|rows| *rows > 0)
        {
            queue!(bytes, MoveUp(rows), Clear(ClearType::FromCursorDown))
                .map_err(|error| Failure::new(Exit::Bug, error.to_string()))?;
        }
        Ok(bytes)
    }

    fn line(&mut self, data: &serde_json::Value, said: String) -> Result<()> {
        let line = Line {
            at: crate::model::time(data, "at"),
            subject: self.timeline.subject(data),
            text: clean_text(&said),
            tone: Tone::Dim,
        };
        let shown = line.render(self.paint());
        match self.mode {
            Mode::Live => self.above(&shown),
            Mode::Lines => self.print(&shown),
            Mode::Json | Mode::Silent => Ok(()),
        }
    }

    fn print(&self, line: &str) -> Result<()> {
        self.write(format!("{line}\n").as_bytes())
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        match self.surface {
            Surface::Stdout => self.out.raw(bytes),
            Surface::Stderr => {
                // Progress that nobody can see any more is no reason to stop waiting for the result.
                let _ = std::io::stderr().lock().write_all(bytes);
                Ok(())
            }
        }
    }

    fn paint(&self) -> crate::paint::Paint {
        match self.surface {
            Surface::Stdout => self.out.paint(),
            Surface::Stderr => self.out.paint_err(),
        }
    }
}

fn progress_text(data: &serde_json::Value) -> String {
    let percent = data["percent"].as_f64().map(|p| format!("{p:.0}%"));
    let message = Some(text(data, "message"))
        .filter(|m| !m.is_empty())
        .map(str::to_owned);
    let parts: Vec<String> = [percent, message].into_iter().flatten().collect();
    human::fit(&clean_text(&parts.join(" ")), 60)
}
