//! What the roles log: an ERROR fails the seed, and with `TRACE=1` all of it is shown.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, filter::LevelFilter};

/// Keeps the errors that are logged.
pub(crate) struct Errors {
    errors: Arc<Mutex<Vec<String>>>,
    print: bool,
}

impl Errors {
    pub(crate) fn subscriber(
        errors: Arc<Mutex<Vec<String>>>,
        print: bool,
    ) -> impl Subscriber + Send + Sync {
        let level = if print {
            LevelFilter::DEBUG
        } else {
            LevelFilter::ERROR
        };
        Registry::default().with(Self { errors, print }.with_filter(level))
    }
}

impl<S: Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        if self.print {
            eprintln!("    {level} {target}{}", text.0);
        }
        if *level == Level::ERROR {
            let mut errors = self.errors.lock().expect("nobody panics with it");
            errors.push(format!("{target}{}", text.0));
        }
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing into a string cannot fail.
        let _ = write!(self.0, " {field}={value:?}");
    }
}
