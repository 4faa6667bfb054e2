//! The product on servers that its roles share: two of each role, as an operator would run it, on one machine.

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use rustix::process::Signal;
use tokio::try_join;

use crate::api::Api;
use crate::miractl::Miractl;
use crate::role::{Role, Servers};

/// So many of each role.
const OF_EACH: usize = 2;

/// A running cluster. Dropping it ends the roles first, and then their servers.
#[derive(Debug)]
pub struct Cluster {
    /// Who takes requests; the first has made the admin's key.
    pub gateways: Vec<Role>,
    /// Who decides.
    pub schedulers: Vec<Role>,
    /// Who calls agents.
    pub workers: Vec<Role>,
    /// What they share.
    pub servers: Servers,
}

impl Cluster {
    /// Starts the servers, and then the roles.
    ///
    /// # Errors
    /// A part does not start; with the end of its log.
    pub async fn start() -> Result<Self> {
        let servers = Servers::start().await?;
        let some = async |verb: &str, count: usize| {
            try_join_all((0..count).map(|_| Role::start(verb, &servers))).await
        };
        // One gateway alone makes the first key.
        let (mut gateways, schedulers, workers) = try_join!(
            some("gateway", 1),
            some("scheduler", OF_EACH),
            some("worker", OF_EACH),
        )?;
        gateways.extend(some("gateway", OF_EACH - 1).await?);
        Ok(Self {
            gateways,
            schedulers,
            workers,
            servers,
        })
    }

    fn first(&self) -> Result<&Role> {
        self.gateways.first().context("there is a gateway")
    }

    /// Where the first gateway takes requests.
    ///
    /// # Errors
    /// There is none.
    pub fn url(&self) -> Result<String> {
        self.first()?.url()
    }

    /// The API of the first gateway with the admin's token.
    ///
    /// # Errors
    /// There is no key, or it is refused.
    pub async fn api(&self) -> Result<Api> {
        self.first()?.admin().await
    }

    /// The command line of whoever has the first key, signed in at the first gateway.
    ///
    /// # Errors
    /// It was not built, or the key is refused.
    pub async fn miractl(&self) -> Result<Miractl> {
        let first = self.first()?;
        let miractl = Miractl::at_home(&first.home())?;
        let key = first.bootstrap();
        let key = key.to_str().context("a path that is no text")?;
        let args = ["login", "--context", "cluster", "--file", key];
        miractl.run(&args).await?.ok()?;
        Ok(miractl)
    }

    /// Every process: its role, its id, and where it listens.
    #[must_use]
    pub fn processes(&self) -> Vec<(String, i32, String)> {
        let of_servers = self.servers.each().into_iter().map(|(name, server)| {
            let pid = server.pid().as_raw_nonzero().get();
            (name.to_owned(), pid, server.address().to_string())
        });
        let roles = [
            ("gateway", &self.gateways),
            ("scheduler", &self.schedulers),
            ("worker", &self.workers),
        ];
        let of_roles = roles.into_iter().flat_map(|(name, roles)| {
            roles.iter().map(move |role| {
                let at = role.at().map_or("-".to_owned(), |at| at.to_string());
                let pid = role.process.pid().as_raw_nonzero().get();
                (name.to_owned(), pid, at)
            })
        });
        of_servers.chain(of_roles).collect()
    }

    /// Ends the roles in good order, and then the servers.
    ///
    /// # Errors
    /// A role does not end.
    pub async fn end(mut self) -> Result<()> {
        for roles in [&mut self.gateways, &mut self.schedulers, &mut self.workers] {
            for role in roles.iter_mut() {
                // It may be ending already: Ctrl-C reaches every process of a terminal.
                let _ = role.process.signal(Signal::TERM);
            }
            for role in roles.iter_mut() {
                role.process.ended().await?;
            }
        }
        Ok(())
    }
}
