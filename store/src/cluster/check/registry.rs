//! Kine or etcd. Kine speaks as a server that belongs to no cluster.

use std::time::Duration;

use engine::id::Nonce;
use tonic::transport::Endpoint;

use super::{Finding, bytes, has_room, is_at_least, without_users};
use crate::Error;
use crate::cluster::etcd::StatusRequest;
use crate::cluster::etcd::maintenance_client::MaintenanceClient;
use crate::cluster::registry::{Definitions, Options, in_time};
use crate::cluster::unavailable;

/// Fixes of what loses data are in them.
const VERSION_3_5: [u64; 3] = [3, 5, 23];
const VERSION_3_6: [u64; 3] = [3, 6, 5];
/// What etcd takes by itself.
const QUOTA: i64 = 2 * 1024 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(5);

/// What the members say.
struct Reading {
    members: Vec<Member>,
    /// Why nothing can be stored.
    refused: Option<String>,
}

/// What one member says of itself.
#[derive(Clone)]
struct Member {
    address: String,
    /// None of Kine.
    cluster: u64,
    version: String,
    size: i64,
    quota: i64,
    leader: u64,
    learner: bool,
    alarms: Vec<String>,
}

pub(super) async fn check(options: &Options, by: Nonce) -> Vec<Finding> {
    let (mut members, mut away) = (Vec::new(), Vec::new());
    for address in &options.endpoints {
        match member(address).await {
            Ok(member) => members.push(member),
            Err(error) => {
                let address = without_users(std::slice::from_ref(address));
                away.push(format!("{address}: {error}"));
            }
        }
    }
    let is = match away.as_slice() {
        [] => without_users(&options.endpoints),
        away => away.join(", "),
    };
    let mend = "start it, or correct --registry";
    let reached = Finding::of("registry.reachable", away.is_empty(), is, mend);
    if members.is_empty() {
        return vec![reached];
    }
    let refused = tried(options, by).await.err();
    let refused = refused.map(|error| error.to_string());
    let mut all = vec![reached.weak()];
    all.extend(Reading { members, refused }.judged());
    all
}

async fn member(address: &str) -> Result<Member, Error> {
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(unavailable)?;
    let channel = endpoint.connect_timeout(CONNECT).connect().await;
    let mut client = MaintenanceClient::new(channel.map_err(unavailable)?);
    let status = in_time(client.status(StatusRequest {})).await?;
    Ok(Member {
        address: without_users(&[address.to_owned()]),
        cluster: status.header.unwrap_or_default().cluster_id,
        version: status.version,
        size: status.db_size,
        quota: status.db_size_quota,
        leader: status.leader,
        learner: status.is_learner,
        alarms: status.errors,
    })
}

/// Makes a key and removes it.
async fn tried(options: &Options, by: Nonce) -> Result<(), Error> {
    Box::pin(Definitions::open(options)).await?.tried(by).await
}

impl Reading {
    fn judged(&self) -> Vec<Finding> {
        let is_kine = self.members.iter().all(|m| m.cluster == 0);
        let old = self.told(|m| (!is_new(m)).then(|| format!("is {}", m.version)));
        let kind = if is_kine { "Kine" } else { "etcd" };
        let mut all = vec![
            Finding::of(
                "registry.version",
                old.is_empty(),
                some(&old, kind),
                "install etcd 3.6.5 or newer, or 3.5.23 of its line, or Kine",
            ),
            Finding::of(
                "registry.stores",
                self.refused.is_none(),
                self.refused
                    .clone()
                    .unwrap_or_else(|| "a key was made and removed".to_owned()),
                "see the log of the server: its disk or the rights of its files",
            ),
        ];
        // Kine is one server, and knows nothing of the rest.
        if !is_kine {
            all.extend(self.of_etcd());
        }
        all
    }

    /// Each member of which there is something to say.
    fn told(&self, bad: fn(&Member) -> Option<String>) -> Vec<String> {
        let each = self.members.iter().filter_map(|m| Some((m, bad(m)?)));
        each.map(|(m, what)| format!("{} {what}", m.address))
            .collect()
    }

    fn of_etcd(&self) -> Vec<Finding> {
        let alarms = self.told(|m| (!m.alarms.is_empty()).then(|| m.alarms.join(" ")));
        let full = self.told(|m| {
            let quota = if m.quota > 0 { m.quota } else { QUOTA };
            let full = !has_room(m.size, quota);
            full.then(|| format!("has {} of {}", bytes(m.size), bytes(quota)))
        });
        let headless = self.told(|m| (m.leader == 0).then(|| "knows none".to_owned()));
        let learners = self.told(|m| m.learner.then(|| "is one".to_owned()));
        let first = self.members.first().map(|m| m.cluster);
        let is_one = self.members.iter().all(|m| Some(m.cluster) == first);
        vec![
            Finding::of(
                "registry.cluster",
                is_one,
                if is_one {
                    "all of one cluster"
                } else {
                    "of several clusters"
                },
                "name the members of one cluster: of two, each would have definitions of its own",
            ),
            Finding::of(
                "registry.leader",
                headless.is_empty(),
                some(&headless, "there is one"),
                "start the members that are missing: without a majority nothing is stored",
            )
            .weak(),
            Finding::of(
                "registry.member",
                learners.is_empty(),
                some(&learners, "no learner"),
                "name members that vote, or promote it (etcdctl member promote)",
            ),
            Finding::of(
                "registry.alarms",
                alarms.is_empty(),
                some(&alarms, "none"),
                "see what etcd says of it (etcdctl alarm list): it takes nothing, or its data are damaged",
            ),
            Finding::of(
                "registry.space",
                full.is_empty(),
                some(&full, "less than four fifths are taken"),
                "compact and defragment it, or raise --quota-backend-bytes, before it takes nothing any more",
            )
            .weak(),
        ]
    }
}

fn some(bad: &[String], good: &str) -> String {
    match bad {
        [] => good.to_owned(),
        bad => bad.join(", "),
    }
}

fn is_new(member: &Member) -> bool {
    let version = &member.version;
    let is_3_5 = is_at_least(version, VERSION_3_5) && !is_at_least(version, [3, 6, 0]);
    member.cluster == 0 || is_3_5 || is_at_least(version, VERSION_3_6)
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    fn member() -> Member {
        Member {
            address: "http://r1:2379".to_owned(),
            cluster: 7,
            version: "3.6.5".to_owned(),
            size: 1024,
            quota: 0,
            leader: 1,
            learner: false,
            alarms: Vec::new(),
        }
    }

    fn bad(members: Vec<Member>, refused: Option<&str>) -> (Vec<&'static str>, Vec<&'static str>) {
        let refused = refused.map(str::to_owned);
        names(Reading { members, refused }.judged())
    }

    #[test]
    fn each_thing_that_is_not_as_it_must_be_is_told_by_its_name() {
        let one = |change: fn(&mut Member)| {
            let mut worse = member();
            change(&mut worse);
            bad(vec![member(), worse], None)
        };
        let version = |version: &str| {
            let version = version.to_owned();
            bad(
                vec![Member {
                    version,
                    ..member()
                }],
                None,
            )
        };
        let unsafe_one = |name| (vec![name], vec![]);
        let weak_one = |name| (vec![], vec![name]);
        assert_eq!(one(|_| ()), (vec![], vec![]));
        assert_eq!(version("3.5.23"), (vec![], vec![]));
        for old in ["3.5.22", "3.6.4", "3.4.30", "new"] {
            assert_eq!(version(old), unsafe_one("registry.version"), "{old}");
        }
        assert_eq!(one(|m| m.cluster = 8), unsafe_one("registry.cluster"));
        assert_eq!(one(|m| m.leader = 0), weak_one("registry.leader"));
        assert_eq!(one(|m| m.learner = true), unsafe_one("registry.member"));
        let alarm = one(|m| m.alarms.push("NOSPACE".to_owned()));
        assert_eq!(alarm, unsafe_one("registry.alarms"));
        assert_eq!(one(|m| m.size = QUOTA), weak_one("registry.space"));
        let refused = bad(vec![member()], Some("full"));
        assert_eq!(refused, unsafe_one("registry.stores"));
    }

    #[test]
    fn kine_says_nothing_of_versions_leaders_and_room() {
        let kine = Member {
            cluster: 0,
            version: "3.5.13".to_owned(),
            size: i64::MAX,
            leader: 0,
            ..member()
        };
        assert_eq!(bad(vec![kine], None), (vec![], vec![]));
    }
}
