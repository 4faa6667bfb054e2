//! What must hold of a worker: over a real store, with an owner and plugins that a test holds in its hands.

mod asking;
mod bench;
mod changing;
mod draining;
mod far;
mod go;
mod holding;
mod hostile;
mod jobs;
mod lying;
mod peer;
mod plugin_calls;
mod plugin_lives;
mod puppet;
mod python;
mod reading;
mod remote;
mod results;
mod secrets;
mod several;
mod strangers;
mod visitors;
mod yard;
