//! The real servers, a proxy on every way, and the kills.

use super::errand::{Errand, RUNS, WORKFLOW};
use super::plan::{Kill, Point, Release};
use super::verdict::{Observations, Silence, Stored};
use crate::alertmanager::{Alertmanager, Webhook};
use crate::api::Api;
use crate::mirastack::{Mirastack, Setup};
use crate::person;
use crate::prometheus::{Prometheus, Watch};
use crate::proxy::{CountingProxy, Held, Seen};
use crate::wait::until;
use anyhow::{Context as _, Result, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// So many errands may be under way when the next kill is prepared.
const UNDER_WAY_MAX: usize = 8;

const SILENCES: &str = "/api/v2/silences";
const QUERY: &str = "/api/v1/query";

/// Everything that takes part. Dropping it ends all of it.
#[derive(Debug)]
pub struct Ground {
    alertmanager: Alertmanager,
    _prometheus: Prometheus,
    mirastack: Mirastack,
    /// Between the product and Alertmanager.
    silences: CountingProxy,
    world: World,
    api: watch::Sender<Api>,
    errands: JoinSet<Errand>,
    started: usize,
}

/// What a client knows of it.
#[derive(Clone, Debug)]
pub(super) struct World {
    api: watch::Receiver<Api>,
    /// Between clients and the product.
    front: Arc<CountingProxy>,
    /// Between the product and Prometheus.
    queries: Arc<CountingProxy>,
}

impl World {
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
    kills: BTreeMap<Point, usize>,
    posts: usize,
    looks: usize,
}

impl Ground {
    /// Starts all of it and connects it.
    ///
    /// # Errors
    /// A part does not start, or the product refuses its settings.
    pub async fn start() -> Result<Self> {
        let mirastack = Mirastack::start(Setup::default()).await?;
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
        let path = "/api/v1/workflows/judged";
        api.put_yaml(path, WORKFLOW).await?.ok()?;
        let (api, seen) = watch::channel(api);
        let world = World {
            api: seen,
            front: Arc::new(front),
            queries: Arc::new(queries),
        };
        Ok(Self {
            alertmanager,
            _prometheus: prometheus,
            mirastack,
            silences,
            world,
            api,
            errands: JoinSet::new(),
            started: 0,
        })
    }

    /// Carries out the plan, waits for every errand, and says what was seen. Inside a [`tokio::task::LocalSet`].
    ///
    /// # Errors
    /// A server does not answer.
    pub async fn sit(&mut self, plan: &[Kill]) -> Result<Sitting> {
        let mut over = Vec::new();
        let (mut kills, mut cut_short) = (BTreeMap::new(), None);
        for (number, kill) in plan.iter().enumerate() {
            while self.errands.len() > UNDER_WAY_MAX {
                let errand = self.errands.join_next().await;
                over.extend(errand.transpose()?);
            }
            if let Err(error) = self.kill(kill).await {
                cut_short = Some(format!("kill {number} ({kill}): {error:#}"));
                break;
            }
            *kills.entry(kill.point).or_default() += 1;
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
            kills,
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

    /// Kills the product when the plan's request stands at its stage, and starts it again.
    async fn kill(&mut self, kill: &Kill) -> Result<()> {
        let first = self.started;
        self.started += kill.runs;
        let names: Vec<String> = (first..self.started).map(name).collect();
        let (point, its) = (kill.point, names.clone());
        let gate = self
            .way(point)
            .hold(kill.stage, move |seen| is_at(point, &its, seen));
        for name in names {
            self.errands
                .spawn_local(Errand::go(name, self.world.clone()));
        }
        let held = gate.reached().await?;
        self.mirastack.process().kill()?;
        let late = match kill.release {
            Release::AtOnce => {
                held.pass();
                None
            }
            Release::Never => {
                held.cut();
                None
            }
            Release::Late => Some(held),
        };
        self.mirastack.start_again().await?;
        // Tokens last for minutes, and so may this.
        self.api.send_replace(self.mirastack.api().await?);
        match late {
            Some(held) => self.release(held, point).await,
            None => Ok(()),
        }
    }

    /// Lets a request go on that the dead process has sent. That of a silence stays until the living one has looked for
    /// it: when it has found nothing, it must not believe it yet.
    async fn release(&self, held: Held, point: Point) -> Result<()> {
        if point == Point::Silence {
            until("a look for the silence", async || {
                let looked = self.has_looked(held.seen()).await?;
                ensure!(looked, "nobody has looked");
                Ok(())
            })
            .await?;
        }
        held.pass();
        Ok(())
    }

    /// Whether the product has looked for this silence, and knows, waits to look again, or makes another.
    async fn has_looked(&self, posted: &Seen) -> Result<bool> {
        let posted = serde_json::from_str::<Value>(&posted.text())?;
        let errand = text(&posted["matchers"][0]["value"]);
        let api = self.world.api();
        let path = format!("/api/v1/runs?label=errand={errand}");
        let runs = api.get(&path).await?.ok()?;
        let run = person::run(&api, &text(&runs["items"][0]["id"])).await?;
        let mut steps = run["steps"].as_array().into_iter().flatten();
        let step = steps.find(|step| step["id"] == "silence");
        let step = step.context("the run has no such step")?;
        let tries = step["attempts"].as_array().map_or(0, Vec::len);
        let waits = tries > 1 && run["waiting_for"][0]["kind"] == "timer";
        let repeats = |seen: &Seen| is_at(Point::Silence, std::slice::from_ref(&errand), seen);
        Ok(waits || step["ended_at"].is_string() || self.silences.count(repeats) > 1)
    }

    fn way(&self, point: Point) -> &CountingProxy {
        match point {
            Point::Silence | Point::Look => &self.silences,
            Point::Query => &self.world.queries,
            Point::Submission | Point::Consent => &self.world.front,
        }
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

/// All of one length, so that none is the beginning of another.
fn name(number: usize) -> String {
    format!("errand_{number:05}")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn is_at(point: Point, names: &[String], seen: &Seen) -> bool {
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
        let kills: Vec<String> = self
            .kills
            .iter()
            .map(|(p, n)| format!("{p:?} {n}"))
            .collect();
        let number: usize = self.kills.values().sum();
        write!(f, "{number} kills ({}); ", kills.join(", "))?;
        write!(f, "{} keys, {} runs, ", errands.len(), stored.len())?;
        write!(f, "{} answers lost; ", self.answers_lost)?;
        write!(f, "{} queries for {steps} READ steps; ", queries.len())?;
        write!(f, "{} POSTs for {} silences, ", self.posts, silences.len())?;
        write!(f, "{} looks at them", self.looks)
    }
}
