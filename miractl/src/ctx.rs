//! What every verb has at hand.

use std::cell::{OnceCell, RefCell};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::client::{Api, Voice};
use crate::config::Folder;
use crate::env::Env;
use crate::exit::Result;
use crate::output::Out;
use crate::target::{self, Target, Wish};

/// The settings of this invocation.
pub(crate) struct Ctx {
    /// How things are printed.
    pub(crate) out: Out,
    /// The environment.
    pub(crate) env: Env,
    /// What the command line says about the server.
    pub(crate) wish: Wish,
    /// Answer yes to every question.
    pub(crate) yes: bool,
    /// Ask nothing.
    pub(crate) no_input: bool,
    /// Show each request on stderr.
    pub(crate) verbose: bool,
    in_hand: RefCell<InHand>,
    begun: Notify,
    api: OnceCell<Api>,
}

/// What this process has begun and a signal does not end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum InHand {
    /// Nothing.
    #[default]
    Nothing,
    /// A request for a run is on its way under this idempotency key.
    Submitting {
        /// The key.
        key: String,
    },
    /// A run is being followed.
    Following {
        /// Its id.
        run: String,
        /// An interrupt cancels it.
        cancel: bool,
    },
}

impl Ctx {
    /// Everything but the connection, which is made when it is first needed.
    pub(crate) fn new(out: Out, env: Env, wish: Wish) -> Self {
        Self {
            out,
            env,
            wish,
            yes: false,
            no_input: false,
            verbose: false,
            in_hand: RefCell::default(),
            begun: Notify::new(),
            api: OnceCell::new(),
        }
    }

    /// The folder with the user's files.
    pub(crate) fn folder(&self) -> Folder {
        self.env.folder()
    }

    /// The server that is meant.
    pub(crate) fn target(&self) -> Result<Target> {
        target::find(&self.wish, &self.env, &self.folder())
    }

    /// The server, signed in.
    pub(crate) fn api(&self) -> Result<&Api> {
        if let Some(api) = self.api.get() {
            return Ok(api);
        }
        let target = self.target()?;
        self.warn_about(&target);
        let api = Api::new(target, self.folder(), self.voice())?;
        Ok(self.api.get_or_init(|| api))
    }

    /// Remembers what a signal has to speak about.
    pub(crate) fn hold(&self, what: InHand) {
        *self.in_hand.borrow_mut() = what;
        self.begun.notify_one();
    }

    /// What was begun and not ended; nothing is, from then on.
    pub(crate) fn let_go(&self) -> InHand {
        self.in_hand.take()
    }

    /// Returns once something is in hand. Before that a signal ends the process as it ends any
    /// other, also while it waits for its input.
    pub(crate) async fn has_begun(&self) {
        self.begun.notified().await;
    }

    /// What the client may say on stderr.
    pub(crate) fn voice(&self) -> Voice {
        Voice {
            quiet: self.out.quiet,
            verbose: self.verbose,
        }
    }

    /// The present time.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Says what is unsafe about a connection, once.
    pub(crate) fn warn_about(&self, target: &Target) {
        if target.insecure && target.server.scheme() == "https" {
            self.out.warn("--insecure: the server's certificate is not checked; anybody on the way can read and change everything");
        }
        if target.server.scheme() == "http" && !target::is_loopback(&target.server) {
            self.out.warn(&format!(
                "{} is not encrypted: the token can be read on the way",
                target.server
            ));
        }
        if target.credentials.origin == "tokens.yaml" && self.folder().tokens_are_exposed() {
            let path = self.folder().path().join("tokens.yaml");
            self.out.warn(&format!(
                "{} can be read by others: chmod 600 it",
                path.display()
            ));
        }
    }
}
