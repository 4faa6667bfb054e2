//! The real servers, and a proxy on every way.

use super::errand::{Errand, RUNS, WORKFLOW};
use super::plan::{Blow, Kind, Point};
use super::verdict::{Observations, Silence, Stored};
use crate::alertmanager::{Alertmanager, Webhook};
use crate::api::Api;
use crate::disk::Disk;
use crate::mirastack::{Mirastack, Setup};
use crate::prometheus::{Prometheus, Watch};
use crate::proxy::{CountingProxy, Seen};
use anyhow::{Context as _, Result};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// So many errands may be under way when the next blow is prepared.
const UNDER_WAY_MAX: usize = 8;

/// More than the data of any plan take.
const DISK_MIB: u64 = 512;

/// Its runs take room, and nothing else.
const FILLER: &str = r"
workflow: filler
inputs:
  text: { type: string }
steps:
  - id: rest
    wait: 1d
";
/// Where they are started.
pub(super) const FILLERS: &str = "/api/v1/workflows/filler/runs";

const SILENCES: &str = "/api/v2/silences";
const QUERY: &str = "/api/v1/query";

/// Everything that takes part. Dropping it ends all of it.
#[derive(Debug)]
pub struct Ground {
    alertmanager: Alertmanager,
    _prometheus: Prometheus,
    pub(super) mirastack: Mirastack,
    /// Between the product and Alertmanager.
    pub(super) silences: CountingProxy,
    pub(super) world: World,
    pub(super) api: watch::Sender<Api>,
    struck: watch::Sender<Instant>,
    pub(super) errands: JoinSet<Errand>,
    pub(super) started: usize,
    /// Runs that were accepted while the disk became full.
    pub(super) fillers: Vec<String>,
    /// Where the data lie, if its power can be cut. Last: the product is killed before it goes.
    pub(super) disk: Option<Disk>,
}

/// What the product stands on.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Its data lie on a disk whose power can be cut.
    pub disk: bool,
    /// Another server than that of this build.
    pub server: Option<PathBuf>,
}

/// What a client knows of it.
#[derive(Clone, Debug)]
pub(super) struct World {
    api: watch::Receiver<Api>,
    /// Between clients and the product.
    front: Arc<CountingProxy>,
    /// Between the product and Prometheus.
    queries: Arc<CountingProxy>,
    /// When the last blow was over.
    struck: watch::Receiver<Instant>,
}

impl World {
    /// So long nothing has befallen the product.
    pub(super) fn calm(&self) -> Duration {
        self.struck.borrow().elapsed()
    }

    /// The product, directly.
    pub(super) fn api(&self) -> Api {
        self.api.borrow().clone()
    }

    /// The product through the proxy, for what changes something.
    pub(super) fn front(&self) -> Api {
        self.api().by(&self.front.url())
    }

    /// So many queries have come to Prometheus.
    pub(super) fn queries(&self) -> usize {
        self.queries.count(is_query)
    }

    /// What a request of this kind goes through, and not those to Alertmanager.
    pub(super) fn way(&self, point: Point) -> &CountingProxy {
        if point == Point::Query {
            &self.queries
        } else {
            &self.front
        }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Sitting {
    /// What the verdict is about.
    pub observations: Observations,
    /// So many times the product said 202 and the client did not hear it.
    pub answers_lost: usize,
    /// Why the plan was not carried out to its end: a request of it did not come, or the product did not start again.
    pub cut_short: Option<String>,
    blows: BTreeMap<Kind, usize>,
    posts: usize,
    looks: usize,
}

impl Ground {
    /// Starts all of it and connects it.
    ///
    /// # Errors
    /// A part does not start, or the product refuses its settings.
    pub async fn start(site: &Site) -> Result<Self> {
        let disk = site.disk.then(|| Disk::new(DISK_MIB)).transpose()?;
        let mut setup = Setup::default().program(site.server.clone());
        if let Some(disk) = &disk {
            setup = setup.data(disk.data());
        }
        let mirastack = Mirastack::start(setup).await?;
        // It needs a receiver, and there are no alerts.
        let nobody = Webhook {
            name: "nobody".to_owned(),
            url: mirastack.url(),
            bearer: None,
        };
        let alertmanager = Alertmanager::start(&[nobody]).await?;
        let prometheus = Prometheus::start(&Watch::default()).await?;
        let silences = CountingProxy::start(alertmanager.address()).await?;
        let queries = CountingProxy::start(prometheus.address()).await?;
        let front = CountingProxy::start(mirastack.http()).await?;
        let api = mirastack.api().await?;
        for (agent, setting, url) in [
            ("metrics", "metrics_url", queries.url()),
            ("alertmanager", "alertmanager_url", silences.url()),
        ] {
            let path = format!("/api/v1/agents/{agent}/config");
            api.patch(&path, &json!({ setting: url })).await?.ok()?;
        }
        for (name, document) in [("judged", WORKFLOW), ("filler", FILLER)] {
            let path = format!("/api/v1/workflows/{name}");
            api.put_yaml(&path, document).await?.ok()?;
        }
        if let Some(disk) = &disk {
            // It was there before: the tests are about what comes now.
            disk.sync()?;
        }
        let (api, seen) = watch::channel(api);
        let (struck, last) = watch::channel(Instant::now());
        let world = World {
            api: seen,
            front: Arc::new(front),
            queries: Arc::new(queries),
            struck: last,
        };
        Ok(Self {
            alertmanager,
            _prometheus: prometheus,
            mirastack,
            silences,
            world,
            api,
            struck,
            errands: JoinSet::new(),
            started: 0,
            fillers: Vec::new(),
            disk,
        })
    }

    /// Carries out the plan, waits for every errand, and says what was seen. Inside a [`tokio::task::LocalSet`].
    ///
    /// # Errors
    /// A server does not answer.
    pub async fn sit(&mut self, plan: &[Blow]) -> Result<Sitting> {
        let mut over = Vec::new();
        let (mut blows, mut cut_short) = (BTreeMap::new(), None);
        for (number, blow) in plan.iter().enumerate() {
            while self.errands.len() > UNDER_WAY_MAX {
                let errand = self.errands.join_next().await;
                over.extend(errand.transpose()?);
            }
            if let Err(error) = self.strike(blow).await {
                cut_short = Some(format!("blow {number} ({blow}): {error:#}"));
                break;
            }
            self.struck.send_replace(Instant::now());
            *blows.entry(blow.kind).or_default() += 1;
        }
        while let Some(errand) = self.errands.join_next().await {
            over.push(errand?);
        }
        let accepted = |seen: &Seen| seen.path == RUNS && seen.status == Some(StatusCode::ACCEPTED);
        let told: usize = over.iter().map(|errand| errand.accepted.len()).sum();
        let made = |seen: &Seen| seen.is(&Method::POST, SILENCES) && seen.forwarded;
        Ok(Sitting {
            answers_lost: self.world.front.count(accepted) - told,
            cut_short,
            blows,
            posts: self.silences.count(made),
            looks: self.silences.count(is_look),
            observations: Observations {
                errands: over,
                stored: self.stored().await?,
                queries: self.world.queries.seen().iter().filter_map(query).collect(),
                silences: self.made().await?,
            },
        })
    }

    /// The runs that the product has, whoever asked for them.
    async fn stored(&self) -> Result<Vec<Stored>> {
        let api = self.world.api();
        let mut stored = Vec::new();
        let mut path = "/api/v1/runs?workflow=judged&limit=1000".to_owned();
        loop {
            let page = api.get(&path).await?.ok()?;
            for run in page["items"].as_array().context("no list")? {
                stored.push(Stored {
                    errand: text(&run["labels"]["errand"]),
                    id: text(&run["id"]),
                    ended_at: run["ended_at"].as_str().map(str::to_owned),
                });
            }
            let Some(cursor) = page["next_cursor"].as_str() else {
                return Ok(stored);
            };
            path = format!("/api/v1/runs?workflow=judged&limit=1000&cursor={cursor}");
        }
    }

    /// The silences that the real Alertmanager has, expired ones too.
    async fn made(&self) -> Result<Vec<Silence>> {
        let silences = self.alertmanager.silences().await?;
        let silence = |silence: &Value| Silence {
            errand: text(&silence["matchers"][0]["value"]),
            id: text(&silence["id"]),
        };
        Ok(silences.iter().map(silence).collect())
    }
}

/// The name of an errand. All of one length, so that none is the beginning of another.
pub(super) fn name(number: usize) -> String {
    format!("errand_{number:05}")
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn is_at(point: Point, names: &[String], seen: &Seen) -> bool {
    let posted = seen.method == Method::POST;
    let there = match point {
        Point::Silence => posted && seen.path == SILENCES,
        Point::Look => return is_look(seen), // it does not say for whom
        Point::Query => is_query(seen),
        Point::Submission => posted && seen.path == RUNS,
        Point::Consent => posted && seen.path.ends_with("/approve"),
    };
    there && names.iter().any(|name| seen.text().contains(name))
}

fn is_look(seen: &Seen) -> bool {
    seen.is(&Method::GET, SILENCES)
}

fn is_query(seen: &Seen) -> bool {
    seen.is(&Method::POST, QUERY)
}

/// What a request to Prometheus asks.
fn query(seen: &Seen) -> Option<String> {
    let text = is_query(seen).then(|| seen.text())?;
    let mut fields = text.split('&');
    let query = fields.find_map(|field| field.strip_prefix("query="));
    Some(query.unwrap_or_default().to_owned())
}

impl fmt::Display for Sitting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Observations {
            errands,
            stored,
            queries,
            silences,
        } = &self.observations;
        let steps: usize = errands.iter().map(|errand| errand.shown.len()).sum();
        let blows = self.blows.iter();
        let blows: Vec<String> = blows.map(|(kind, n)| format!("{kind:?} {n}")).collect();
        let number: usize = self.blows.values().sum();
        write!(f, "{number} blows ({}); ", blows.join(", "))?;
        write!(f, "{} keys, {} runs, ", errands.len(), stored.len())?;
        write!(f, "{} answers lost; ", self.answers_lost)?;
        write!(f, "{} queries for {steps} READ steps; ", queries.len())?;
        write!(f, "{} POSTs for {} silences, ", self.posts, silences.len())?;
        write!(f, "{} looks at them", self.looks)
    }
}
