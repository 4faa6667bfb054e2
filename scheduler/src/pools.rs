//! Which pool of workers has which agent: what the agents' entries in the registry say, kept up by watching them.

use std::collections::{BTreeMap, BTreeSet};

use engine::id::Tenant;
use engine::pool::Pool;
use engine::registry::{Agent, Kind, decode};
use store::port::{Change, Item, Registry};
use store::{Backend, Error};

/// How many agents are listed at once.
const PAGE: usize = 500;

/// The pools of all agents.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    /// By the agents' keys in the registry. Those of the default pool are left out.
    of: BTreeMap<String, Pool>,
    /// The last change that was seen.
    seen: Option<u64>,
    default: Pool,
}

/// What was learned of them.
#[derive(Debug)]
pub(crate) enum News {
    /// All agents, and the highest revision among them, or a later one up to which nothing is missing.
    All(BTreeMap<String, Pool>, u64),
    /// What has changed.
    Changes(Vec<Change>),
}

/// All agents if nothing was seen, else the next changes: waits until there are some.
pub(crate) async fn next(backend: &Backend, seen: Option<u64>) -> Result<News, Error> {
    let registry = &backend.registry;
    let Some(seen) = seen else {
        return all(registry.as_ref(), 0).await;
    };
    let changes = registry.watch(&Kind::Agents.prefix(), seen).await?;
    let gap = changes.iter().find_map(|change| match change {
        Change::Gap { revision } => Some(*revision),
        Change::Put(_) | Change::Deleted { .. } => None,
    });
    match gap {
        Some(revision) => all(registry.as_ref(), revision).await,
        None => Ok(News::Changes(changes)),
    }
}

async fn all(registry: &dyn Registry, since: u64) -> Result<News, Error> {
    let prefix = Kind::Agents.prefix();
    let (mut after, mut found, mut highest) = (String::new(), BTreeMap::new(), since);
    loop {
        let items = registry.list(&prefix, &after, PAGE).await?;
        let full = items.len() == PAGE;
        for item in items {
            highest = highest.max(item.revision);
            after.clone_from(&item.key);
            found.insert(item.key.clone(), pool(&item));
        }
        if !full {
            return Ok(News::All(found, highest));
        }
    }
}

/// What cannot be read is told by the gateway, which shows it to people.
fn pool(item: &Item) -> Pool {
    decode::<Agent>(&item.value)
        .map(|agent| agent.pool)
        .unwrap_or_default()
}

impl Pools {
    /// The pool that has the agent.
    pub(crate) fn of(&self, tenant: &Tenant, agent: &str) -> Pool {
        // Most installations have one pool: nothing is looked up then.
        if self.of.is_empty() {
            return self.default.clone();
        }
        let pool = self.of.get(&Kind::Agents.key(tenant, agent));
        pool.unwrap_or(&self.default).clone()
    }

    /// The last change that was seen; `None` before the first news.
    pub(crate) fn seen(&self) -> Option<u64> {
        self.seen
    }

    /// Takes in what was learned, and answers the pools that an agent has left.
    pub(crate) fn learn(&mut self, news: News) -> BTreeSet<Pool> {
        let mut left = BTreeSet::new();
        match news {
            News::All(all, highest) => {
                let old: Vec<String> = self.of.keys().cloned().collect();
                for key in old.into_iter().filter(|key| !all.contains_key(key)) {
                    left.extend(self.put(key, Pool::default()));
                }
                for (key, pool) in all {
                    left.extend(self.put(key, pool));
                }
                self.seen = Some(highest);
            }
            News::Changes(changes) => {
                for change in changes {
                    let (key, pool, revision) = match change {
                        Change::Put(item) => (item.key.clone(), pool(&item), item.revision),
                        Change::Deleted { key, revision } => (key, Pool::default(), revision),
                        Change::Gap { .. } => continue,
                    };
                    left.extend(self.put(key, pool));
                    self.seen = self.seen.max(Some(revision));
                }
            }
        }
        left
    }

    /// The agent is in that pool; answers the one that it has left.
    fn put(&mut self, key: String, pool: Pool) -> Option<Pool> {
        let old = if pool == self.default {
            self.of.remove(&key)
        } else {
            self.of.insert(key, pool.clone())
        };
        let old = old.unwrap_or_else(|| self.default.clone());
        (old != pool).then_some(old)
    }
}
