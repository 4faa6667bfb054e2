//! The story that the product is about: a target goes down, an alert fires, a run looks at it and asks, a silence is
//! made. The real servers and the product, connected to each other as their users connect them.

use crate::alertmanager::{Alertmanager, Webhook};
use crate::api::Api;
use crate::cluster::Cluster;
use crate::miractl::Miractl;
use crate::mirastack::Mirastack;
use crate::prometheus::{Prometheus, Rule, Watch};
use crate::target::Target;
use crate::wait::until;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;

/// What Prometheus calls the target.
pub const INSTANCE: &str = "shop-1";

/// The alert that fires while it is down.
pub const ALERT: &str = "TargetDown";

/// Everything that takes part. Dropping it ends all of it.
#[derive(Debug)]
pub struct Story {
    /// What is watched.
    pub target: Target,
    /// Who watches.
    pub prometheus: Prometheus,
    /// Who tells the product.
    pub alertmanager: Alertmanager,
    /// The product.
    pub product: Product,
}

/// The product, in one of its two forms.
#[derive(Debug)]
pub enum Product {
    /// In one process.
    One(Box<Mirastack>),
    /// On servers that its roles share.
    Many(Box<Cluster>),
}

impl Product {
    /// Where it takes requests.
    ///
    /// # Errors
    /// Nowhere.
    pub fn url(&self) -> Result<String> {
        match self {
            Self::One(one) => Ok(one.url()),
            Self::Many(many) => many.url(),
        }
    }

    /// The API with the admin's token.
    ///
    /// # Errors
    /// There is no key, or it is refused.
    pub async fn api(&self) -> Result<Api> {
        match self {
            Self::One(one) => one.api().await,
            Self::Many(many) => many.api().await,
        }
    }

    /// The command line of whoever has the first key.
    ///
    /// # Errors
    /// It was not built, or the key is refused.
    pub async fn miractl(&self) -> Result<Miractl> {
        match self {
            Self::One(one) => one.miractl(),
            Self::Many(many) => many.miractl().await,
        }
    }

    /// The file of the first key.
    ///
    /// # Errors
    /// There is none.
    pub fn bootstrap(&self) -> Result<PathBuf> {
        match self {
            Self::One(one) => Ok(one.data().join("bootstrap.json")),
            Self::Many(many) => Ok(many.gateways.first().context("a gateway")?.bootstrap()),
        }
    }

    /// Ends it in good order. That in one process leaves its folder, which is answered.
    ///
    /// # Errors
    /// It does not end.
    pub async fn end(self) -> Result<Option<PathBuf>> {
        match self {
            Self::One(one) => one.keep().await.map(Some),
            Self::Many(many) => many.end().await.map(|()| None),
        }
    }
}

impl Story {
    /// Starts all of it, with Alertmanager told to call the hook `alerts`, which is not there yet.
    ///
    /// # Errors
    /// A part does not start.
    pub async fn start(product: Product, token: &str) -> Result<Self> {
        let hook = Webhook {
            name: "mirastack".to_owned(),
            url: format!("{}/hooks/alerts", product.url()?),
            bearer: Some(token.to_owned()),
        };
        let alertmanager = Alertmanager::start(&[hook]).await?;
        let target = Target::start(INSTANCE).await?;
        let rule = Rule::new(ALERT, "up == 0").label("severity", "page");
        let rule = rule.annotation("summary", "{{ $labels.instance }} does not answer");
        let watch = Watch::default()
            .target(&target)
            .rule(rule)
            .alertmanager(alertmanager.address());
        let prometheus = Prometheus::start(&watch).await?;
        Ok(Self {
            target,
            prometheus,
            alertmanager,
            product,
        })
    }

    /// Stores the hook's secret, saves the hook and the workflow of `examples/`, and tells the agents where their
    /// servers are.
    ///
    /// # Errors
    /// The product refuses one of them.
    pub async fn connect(
        &self,
        miractl: &Miractl,
        token: &str,
        metrics: &str,
        alertmanager: &str,
    ) -> Result<()> {
        let secret = ["secret", "set", "alerts_token"];
        miractl.run_with(&secret, token).await?.ok()?;
        for example in ["alerts.mira.yaml", "silence-noisy-alert.mira.yaml"] {
            // An agent is known once a worker has looked at it.
            until("the agents to be known", async || {
                apply(miractl, example).await
            })
            .await?;
        }
        let metrics = format!("metrics_url={metrics}");
        let alertmanager = format!("alertmanager_url={alertmanager}");
        for (agent, setting) in [("metrics", metrics), ("alertmanager", alertmanager)] {
            let args = ["agent", "config-set", agent, &setting];
            miractl.run(&args).await?.ok()?;
        }
        Ok(())
    }

    /// Waits until Prometheus has seen the target up: a target that was never up has no history.
    ///
    /// # Errors
    /// It does not see it.
    pub async fn watched(&mut self) -> Result<()> {
        let query = format!("up{{instance='{INSTANCE}'}}");
        until("Prometheus to see the target up", async || {
            let up = self.prometheus.query(&query).await?;
            ensure!(up[0]["value"][1] == "1", "it answers {up}");
            Ok(())
        })
        .await
    }

    /// Waits until Prometheus shows the alert as firing.
    ///
    /// # Errors
    /// It does not.
    pub async fn fired(&self) -> Result<()> {
        let query = format!("ALERTS{{alertname='{ALERT}',alertstate='firing'}}");
        until("the alert to fire in Prometheus", async || {
            let firing = self.prometheus.query(&query).await?;
            ensure!(firing[0].is_object(), "it does not fire: {firing}");
            Ok(())
        })
        .await
    }

    /// Waits until Alertmanager has the alert in this state, and answers it.
    ///
    /// # Errors
    /// It does not have it so.
    pub async fn alert(&self, state: &str) -> Result<Value> {
        until(
            &format!("the alert to be {state} in Alertmanager"),
            async || {
                let alerts = self.alertmanager.alerts().await?;
                let found = alerts
                    .iter()
                    .find(|alert| alert["status"]["state"] == state);
                found.cloned().with_context(|| format!("it has {alerts:?}"))
            },
        )
        .await
    }

    /// Waits until the alert has started a run, and answers its id.
    ///
    /// # Errors
    /// None appears.
    pub async fn run(&self, api: &Api) -> Result<String> {
        until("a run of the hook `alerts`", async || {
            let runs = api.get("/api/v1/runs?hook=alerts").await?.ok()?;
            let id = runs["items"][0]["id"].as_str();
            Ok(id.context("no run appears")?.to_owned())
        })
        .await
    }
}

/// Saves a document of `examples/`.
///
/// # Errors
/// It is refused.
pub async fn apply(miractl: &Miractl, example: &str) -> Result<()> {
    let path = root()?.join("examples").join(example);
    let file = path.to_str().context("the checkout's path is no UTF-8")?;
    miractl.run(&["apply", "-f", file]).await?.ok().map(drop)
}

/// The top folder of the checkout, asked at run time: a build folder may outlive the checkout it was built from.
///
/// # Errors
/// The program was not started by cargo.
pub fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").context("cargo has not started this")?;
    let package = PathBuf::from(package);
    Ok(package.parent().context("it has no parent")?.to_owned())
}
