//! An agent: its name, settings and actions.

use std::{fmt, future::Future, process::ExitCode, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use proto::manifest::{self, Kind, Manifest};

use crate::{Action, Config, Setting, action::Erased, docs, serve, setting};

/// A plugin that acts on systems.
///
/// Build it, then [`Agent::main`].
pub struct Agent {
    pub(crate) manifest: Manifest,
    pub(crate) actions: Vec<Erased>,
    pub(crate) health: Option<Health>,
    pub(crate) check: Option<Check>,
}

pub(crate) type Health =
    Arc<dyn Fn(Arc<Config>) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;
pub(crate) type Check = Arc<dyn Fn(&Config) -> Result<(), String> + Send + Sync>;

impl Agent {
    /// An agent without actions. The name is `[a-z0-9][a-z0-9_-]{0,62}`; workflows write `name/action`.
    #[must_use]
    pub fn new(name: &str, version: &str, description: &str) -> Self {
        let manifest = Manifest {
            name: name.to_owned(),
            version: version.to_owned(),
            description: description.to_owned(),
            kind: Kind::Agent,
            actions: Vec::new(),
            settings: Vec::new(),
        };
        Self {
            manifest,
            actions: Vec::new(),
            health: None,
            check: None,
        }
    }

    /// Adds a setting.
    #[must_use]
    pub fn setting(mut self, setting: Setting) -> Self {
        self.manifest.settings.push(setting.0);
        self
    }

    /// Adds an action.
    #[must_use]
    pub fn action<I, O>(mut self, action: Action<I, O>) -> Self {
        self.manifest.actions.push(action.erased.manifest.clone());
        self.actions.push(action.erased);
        self
    }

    /// Says whether what the agent talks to works: a word about it, or what is wrong. It has 5 s. Without
    /// this an agent whose required settings are set is healthy.
    #[must_use]
    pub fn health<F, W>(mut self, check: F) -> Self
    where
        F: Fn(Arc<Config>) -> W + Send + Sync + 'static,
        W: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.health = Some(Arc::new(move |config| check(config).boxed()));
        self
    }

    /// Refuses settings beyond what their types say, such as a URL without a host. Types and required
    /// settings are checked before this.
    #[must_use]
    pub fn check_config(
        mut self,
        check: impl Fn(&Config) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// What the agent says about itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The agent's page for people, in Markdown, made from its manifest.
    #[must_use]
    pub fn documentation(&self) -> String {
        docs::markdown(&self.manifest)
    }

    /// The agent's program: `--manifest` prints the manifest; without arguments it serves until it is asked
    /// to end, or its starter is gone.
    #[must_use]
    pub fn main(self) -> ExitCode {
        serve::main(self)
    }

    /// Holds the agent to the rules of manifests, and its settings' defaults to their types.
    pub(crate) fn verify(&self) -> Result<(), String> {
        self.manifest.check().map_err(|e| e.to_string())?;
        let wrong = |s: &manifest::Setting| setting::problem(s, s.default.as_deref()?);
        self.manifest
            .settings
            .iter()
            .find_map(wrong)
            .map_or(Ok(()), |e| Err(format!("the default of the setting {e}")))
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Agent").field(&self.manifest).finish()
    }
}
