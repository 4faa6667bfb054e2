//! Write a plugin for MIRASTACK.
//!
//! An agent is a name, some settings and some actions. An action is an `async` function from a context and a
//! typed input to a typed output, with a permission that says what it may do to the world:
//!
//! ```no_run
//! use mirastack_sdk::{Action, ActionError, Agent, Context};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Person { name: String }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Greeting { text: String }
//!
//! async fn greet(_: Context, person: Person) -> Result<Greeting, ActionError> {
//!     Ok(Greeting { text: format!("Hello, {}!", person.name) })
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Agent::new("hello", "0.1.0", "Says hello.")
//!         .action(Action::read("greet", "Greets a person by name.", greet))
//!         .main()
//! }
//! ```
//!
//! The rest is the SDK's: the wire protocol, schemas made from the types and held to before your function
//! runs, settings, deadlines, cancellation, fences against attempts that were overtaken, the manifest
//! (`--manifest`), and ending together with the engine that started it.
//!
//! An agent's program runs in two ways. Put where the engine looks for plugins, it is started when it is needed and
//! ends with the engine. Started by you with `--engine 127.0.0.1:50051`, it registers there, says that it lives as
//! often as the engine asks, registers again after a restart of the engine, and says good-bye on SIGTERM. It
//! authenticates in no way then, so the engine offers its MODIFY and ADMIN actions only where its configuration
//! trusts the agent by name.
//!
//! What the SDK never does: call another system, retry your function, or keep anything on disk.
//!
//! Start reading at [`Agent`]; [`ActionError`] says how to fail well; `testing` (feature `testing`) cuts and
//! repeats each of your actions.

mod action;
mod agent;
mod call;
mod context;
mod docs;
mod duration;
mod error;
mod fence;
#[cfg(feature = "http")]
pub mod http;
mod look_up;
mod schema;
mod serve;
mod setting;
#[cfg(feature = "testing")]
pub mod testing;

pub use action::Action;
pub use agent::Agent;
pub use context::{Context, Principal, TimeRange};
pub use duration::{Duration, NoDuration};
pub use error::{ActionError, Change};
pub use look_up::{Found, LookUp};
pub use proto::v1::LogLevel;
pub use setting::{Config, Setting};
