//! The environment, read in this one place.

use std::path::PathBuf;

use crate::config::Folder;

/// What the environment says. An empty variable counts as one that is not set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env {
    /// `MIRACTL_SERVER`.
    pub(crate) server: Option<String>,
    /// `MIRACTL_CONTEXT`.
    pub(crate) context: Option<String>,
    /// `MIRACTL_TOKEN`.
    pub(crate) token: Option<String>,
    /// `MIRACTL_API_KEY_ID`.
    pub(crate) api_key_id: Option<String>,
    /// `MIRACTL_API_SECRET`.
    pub(crate) api_secret: Option<String>,
    /// `MIRACTL_API_SECRET_FILE`.
    pub(crate) api_secret_file: Option<PathBuf>,
    /// `MIRACTL_CONFIG`.
    pub(crate) config: Option<PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `NO_COLOR` is set.
    pub(crate) no_color: bool,
    /// `TERM` is `dumb`: no colours, and no cursor to move.
    pub(crate) dumb: bool,
    /// The locale can show more than ASCII.
    pub(crate) utf8: bool,
}

impl Env {
    /// Reads the process's environment.
    pub(crate) fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let locale = text("LC_ALL")
            .or_else(|| text("LC_CTYPE"))
            .or_else(|| text("LANG"));
        Self {
            server: text("MIRACTL_SERVER"),
            context: text("MIRACTL_CONTEXT"),
            token: text("MIRACTL_TOKEN"),
            api_key_id: text("MIRACTL_API_KEY_ID"),
            api_secret: text("MIRACTL_API_SECRET"),
            api_secret_file: path("MIRACTL_API_SECRET_FILE"),
            config: path("MIRACTL_CONFIG"),
            home: path("HOME"),
            no_color: text("NO_COLOR").is_some(),
            dumb: text("TERM").is_none_or(|term| term == "dumb"),
            utf8: locale.is_some_and(|l| l.to_ascii_lowercase().replace('-', "").ends_with("utf8")),
        }
    }

    /// The folder with `config.yaml` and `tokens.yaml`.
    pub(crate) fn folder(&self) -> Folder {
        let home = || {
            self.home
                .clone()
                .unwrap_or_else(|| PathBuf::from("."))
                .join(".miractl")
        };
        Folder::at(self.config.clone().unwrap_or_else(home))
    }
}
