//! Valkey.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Client, IntoConnectionInfo as _};
use tokio::time::timeout;

use super::{Finding, bytes, has_room, is_at_least};
use crate::Error;
use crate::cluster::memory::Options;
use crate::cluster::unavailable;

const VERSION: [u64; 3] = [8, 0, 0];
const CALL: Duration = Duration::from_secs(5);

/// What it says of itself (`INFO`), and whether we had to say who we are.
struct Reading {
    said: BTreeMap<String, String>,
    password: bool,
}

pub(super) async fn check(options: &Options) -> Vec<Finding> {
    match read(options).await {
        Ok((address, reading)) => {
            let mut all = vec![Finding::good("valkey.reachable", address)];
            all.extend(reading.judged());
            all
        }
        Err(error) => {
            let mend = "start it, or correct --valkey: its address, user and password";
            vec![Finding::bad("valkey.reachable", error.to_string(), mend)]
        }
    }
}

async fn read(options: &Options) -> Result<(String, Reading), Error> {
    let info = options.url.as_str().into_connection_info();
    let info = info.map_err(unavailable)?;
    let address = info.addr().to_string();
    let password = info.redis_settings().password().is_some();
    let client = Client::open(info).map_err(unavailable)?;
    let asking = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("INFO")
            .query_async::<String>(&mut connection)
            .await
    };
    let said = timeout(CALL, asking).await.map_err(unavailable)?;
    let said = said.map_err(unavailable)?;
    let lines = said.lines().filter_map(|line| line.split_once(':'));
    let said = lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let said = said.collect();
    Ok((address, Reading { said, password }))
}

impl Reading {
    fn says(&self, name: &str) -> &str {
        self.said.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> i64 {
        self.says(name).parse().unwrap_or(0)
    }

    fn judged(&self) -> Vec<Finding> {
        let mut all = self.of_server();
        all.extend(self.of_room());
        all
    }

    fn of_server(&self) -> Vec<Finding> {
        let version = self.says("valkey_version");
        let is_alone = self.says("cluster_enabled") != "1";
        vec![
            Finding::of(
                "valkey.auth",
                self.password,
                if self.password {
                    "who connects has to say who"
                } else {
                    "no password is used"
                },
                "give it users, as in deploy/valkey/users.acl, and name one in --valkey",
            ),
            Finding::of(
                "valkey.version",
                is_at_least(version, VERSION),
                match version {
                    "" => format!(
                        "no Valkey: {} {}",
                        self.says("server_name"),
                        self.says("redis_version")
                    ),
                    version => version.to_owned(),
                },
                "install Valkey 8 or newer",
            ),
            Finding::of(
                "valkey.mode",
                is_alone,
                if is_alone { "one server" } else { "a cluster" },
                "name a server that is no part of a Valkey cluster",
            ),
            Finding::of(
                "valkey.role",
                self.says("role") == "master",
                self.says("role"),
                "name the server that takes writes, and not a replica",
            ),
        ]
    }

    fn of_room(&self) -> Vec<Finding> {
        let policy = self.says("maxmemory_policy");
        let (used, most) = (self.number("used_memory"), self.number("maxmemory"));
        let failed: Vec<_> = [
            "aof_last_write_status",
            "aof_last_bgrewrite_status",
            "rdb_last_bgsave_status",
        ]
        .into_iter()
        .filter(|name| !matches!(self.says(name), "" | "ok"))
        .collect();
        vec![
            Finding::of(
                "valkey.policy",
                policy == "noeviction",
                policy,
                "set maxmemory-policy noeviction: keys are let go of by their age, and not by what a server needs",
            ),
            Finding::of(
                "valkey.limit",
                most > 0,
                if most > 0 {
                    bytes(most)
                } else {
                    "none".to_owned()
                },
                "set maxmemory to less than the machine has",
            ),
            Finding::of(
                "valkey.memory",
                has_room(used, most),
                format!("{} are taken", bytes(used)),
                "set maxmemory higher, before it takes nothing any more",
            )
            .weak(),
            Finding::of(
                "valkey.disk",
                failed.is_empty(),
                if failed.is_empty() {
                    "its last writes are there".to_owned()
                } else {
                    failed.join(", ")
                },
                "see its log: what it could not write to its disk, it may not take either",
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    fn bad(change: &[(&str, &str)], password: bool) -> Vec<&'static str> {
        let good = [
            ("valkey_version", "8.0.1"),
            ("cluster_enabled", "0"),
            ("role", "master"),
            ("maxmemory_policy", "noeviction"),
            ("used_memory", "79"),
            ("maxmemory", "100"),
            ("aof_last_write_status", "ok"),
        ];
        let said = good.iter().chain(change);
        let said = said.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let said = said.collect();
        let (mut unsafe_ones, weak) = names(Reading { said, password }.judged());
        unsafe_ones.extend(weak);
        unsafe_ones
    }

    #[test]
    fn each_thing_that_is_not_as_it_must_be_is_told_by_its_name() {
        assert_eq!(bad(&[], true), [""; 0]);
        assert_eq!(bad(&[], false), ["valkey.auth"]);
        for (name, value, found) in [
            ("valkey_version", "7.2.8", "valkey.version"),
            ("valkey_version", "", "valkey.version"),
            ("cluster_enabled", "1", "valkey.mode"),
            ("role", "slave", "valkey.role"),
            ("maxmemory_policy", "allkeys-lru", "valkey.policy"),
            ("maxmemory", "0", "valkey.limit"),
            ("used_memory", "80", "valkey.memory"),
            ("rdb_last_bgsave_status", "err", "valkey.disk"),
            ("aof_last_write_status", "err", "valkey.disk"),
        ] {
            assert_eq!(bad(&[(name, value)], true), [found], "{name}: {value}");
        }
    }
}
