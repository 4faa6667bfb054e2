//! What befalls the product, carried out.

use super::errand::Errand;
use super::ground::{FILLERS, Ground, is_at, name, text};
use super::plan::{Blow, Kind, Plugin, Point, Release, When};
use crate::person;
use crate::process::Kin;
use crate::proxy::{CountingProxy, Gate, Held, Seen};
use crate::wait::{until, until_within};
use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

/// What a plugin sent before it was killed is let go after so long at the latest: "not made" is believed after five
/// seconds, for no request travels for longer.
const TRAVELS_MAX: Duration = Duration::from_secs(3);

impl Ground {
    /// Submits runs and lets the blow fall.
    pub(super) async fn strike(&mut self, blow: &Blow) -> Result<()> {
        let first = self.started;
        self.started += blow.runs;
        let names: Vec<String> = (first..self.started).map(name).collect();
        let gate = match blow.when {
            When::Held(point, stage, release) => {
                let its = names.clone();
                let such = move |seen: &Seen| is_at(point, &its, seen);
                Some((self.way(point).hold(stage, such), release))
            }
            When::After(..) => None,
        };
        for name in names {
            self.errands
                .spawn_local(Errand::go(name, self.world.clone()));
        }
        let held = match gate {
            Some((gate, release)) => Some(Standing::at(gate, release).await?),
            None => None,
        };
        if let When::After(time, _) = blow.when {
            sleep(time).await;
        }
        match blow.kind {
            Kind::ServerKilled | Kind::AllKilled | Kind::PowerCut => self.dies(blow, held).await,
            Kind::PluginKilled => self.plugin_dies(blow, held).await,
            Kind::DiskFull => self.disk_is_full(blow, held).await,
            Kind::ServerStopped | Kind::AllStopped => self.stands_still(blow, held).await,
            Kind::PluginStopped => self.plugin_stops(blow, held).await,
        }
    }

    /// The server dies, and is started again.
    async fn dies(&mut self, blow: &Blow, held: Option<Standing>) -> Result<()> {
        if blow.kind == Kind::AllKilled {
            for plugin in self.mirastack.process().children()? {
                // It may be ending by itself.
                let _ = plugin.signal(Signal::KILL);
            }
        }
        let cut = match &mut self.disk {
            Some(disk) if blow.kind == Kind::PowerCut => {
                // Whatever it has told anybody it told before the cut.
                self.mirastack.process().stop().await?;
                Some(disk.cut()?)
            }
            Some(_) | None => None,
        };
        self.mirastack.process().kill()?;
        let held = held.and_then(Standing::meanwhile);
        if let (Some(disk), Some(cut)) = (&mut self.disk, cut) {
            disk.start_from(cut).await?;
        }
        self.mirastack.start_again().await?;
        // Tokens last for minutes, and so may this.
        self.api.send_replace(self.mirastack.api().await?);
        if let Some(held) = held {
            if is_silence(blow) {
                until("a look for the silence", async || {
                    self.has_looked(held.seen()).await
                })
                .await?;
            }
            held.pass();
        }
        Ok(())
    }

    /// The server stands still, alone or with its plugins, and goes on.
    async fn stands_still(&mut self, blow: &Blow, held: Option<Standing>) -> Result<()> {
        self.mirastack.process().stop().await?;
        let mut plugins = Vec::new();
        if blow.kind == Kind::AllStopped {
            plugins = self.mirastack.process().children()?;
        }
        for plugin in &plugins {
            // It may be ending by itself, now and later.
            let _ = plugin.signal(Signal::STOP);
        }
        let held = held.and_then(Standing::meanwhile);
        sleep(blow.lasts).await;
        for plugin in &plugins {
            let _ = plugin.signal(Signal::CONT);
        }
        self.mirastack.process().go_on()?;
        held.into_iter().for_each(Held::pass);
        Ok(())
    }

    /// A plugin dies, and the server starts it again when it needs it.
    async fn plugin_dies(&mut self, blow: &Blow, held: Option<Standing>) -> Result<()> {
        let plugin = self.plugin(blow.plugin()).await?;
        plugin.signal(Signal::KILL)?;
        if let Some(held) = held.and_then(Standing::meanwhile) {
            if is_silence(blow) {
                let looked = async || self.has_looked(held.seen()).await;
                // It is let go in either case.
                let _ = until_within(TRAVELS_MAX, "a look for the silence", looked).await;
            }
            held.pass();
        }
        Ok(())
    }

    /// A plugin stands still, and the server goes on.
    async fn plugin_stops(&mut self, blow: &Blow, held: Option<Standing>) -> Result<()> {
        let plugin = self.plugin(blow.plugin()).await?;
        plugin.signal(Signal::STOP)?;
        let held = held.and_then(Standing::meanwhile);
        sleep(blow.lasts).await;
        // It may have been killed meanwhile, for it did not answer.
        let _ = plugin.signal(Signal::CONT);
        held.into_iter().for_each(Held::pass);
        Ok(())
    }

    /// There is no room for a while: nobody is told 202, everybody is told why, and the same process goes on afterwards.
    async fn disk_is_full(&mut self, blow: &Blow, held: Option<Standing>) -> Result<()> {
        self.disk.as_ref().context("no disk to fill")?.fill()?;
        until("the truth about a full disk", async || {
            // What is folded into the database meanwhile makes room in the log.
            self.fill_up().await?;
            self.says(false).await
        })
        .await?;
        let held = held.and_then(Standing::meanwhile);
        sleep(blow.lasts).await;
        self.disk.as_ref().context("it was there")?.empty()?;
        held.into_iter().for_each(Held::pass);
        until("the truth about the disk", async || self.says(true).await).await?;
        for id in self.fillers.drain(..) {
            person::run(&self.world.api(), &id).await?;
        }
        Ok(())
    }

    /// Starts runs that take room, ever smaller ones, until the smallest is turned away.
    async fn fill_up(&mut self) -> Result<()> {
        let mut bytes = 512 * 1024;
        while bytes > 0 {
            let body = json!({ "inputs": { "text": "x".repeat(bytes) } });
            let answer = self.world.api().post(FILLERS, &body).await?;
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                let says_why = answer.text.contains(r#""code":"unavailable""#);
                ensure!(says_why, "{}", answer.text);
                bytes /= 8;
            } else {
                let accepted = answer.with_status(202)?;
                self.fillers.push(text(&accepted["id"]));
            }
        }
        Ok(())
    }

    /// Everybody is told whether there is room, and may look at runs in either case.
    async fn says(&self, there_is_room: bool) -> Result<()> {
        let api = self.world.api();
        api.get("/api/v1/runs").await?.ok()?;
        let health = api.get("/healthz").await?;
        let parts = serde_json::from_str::<Value>(&health.text)?;
        let mut parts = parts["components"].as_array().into_iter().flatten();
        let disk = parts.find(|part| part["name"] == "disk");
        let disk = disk.context("no disk")?;
        let said = (health.status == StatusCode::OK, disk["ok"] == true);
        ensure!(said == (there_is_room, there_is_room), "{}", health.text);
        Ok(())
    }

    /// The process of a plugin, once it runs.
    async fn plugin(&mut self, plugin: Plugin) -> Result<Kin> {
        let program = match plugin {
            Plugin::Metrics => "mirastack-agent-metrics",
            Plugin::Alertmanager => "mirastack-agent-alertmanager",
        };
        let process = self.mirastack.process();
        until("the process of a plugin", async || {
            let mut children = process.children()?.into_iter();
            let its = children.find(|child| child.program() == program);
            its.with_context(|| format!("{program} does not run"))
        })
        .await
    }

    /// The product has looked for this silence, and knows, waits to look again, or makes another: when it has found
    /// nothing, it must not believe it yet.
    async fn has_looked(&self, posted: &Seen) -> Result<()> {
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
        let looked = waits || step["ended_at"].is_string() || self.silences.count(repeats) > 1;
        ensure!(looked, "nobody has looked");
        Ok(())
    }

    fn way(&self, point: Point) -> &CountingProxy {
        match point {
            Point::Silence | Point::Look => &self.silences,
            Point::Query | Point::Submission | Point::Consent => self.world.way(point),
        }
    }
}

fn is_silence(blow: &Blow) -> bool {
    matches!(blow.when, When::Held(Point::Silence, ..))
}

/// The request of a blow.
struct Standing {
    held: Held,
    release: Release,
}

impl Standing {
    async fn at(gate: Gate, release: Release) -> Result<Self> {
        let held = gate.reached().await?;
        Ok(Self { held, release })
    }

    /// Once the blow has fallen: what is left is let go later.
    fn meanwhile(self) -> Option<Held> {
        match self.release {
            Release::AtOnce => self.held.pass(),
            Release::Never => self.held.cut(),
            Release::Late => return Some(self.held),
        }
        None
    }
}
