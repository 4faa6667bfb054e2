//! What is to be said of what the servers of NATS say.

use super::{APART_MS, MEMORY, PAYLOAD, Reading, Server, VERSION};
use crate::cluster::check::{Finding, bytes, has_room, is_at_least};

impl Reading {
    pub(super) fn judged(&self) -> Vec<Finding> {
        let known = !self.servers.is_empty();
        let mut all = vec![
            Finding::of(
                "nats.auth",
                !self.open,
                if self.open {
                    "anybody is let in"
                } else {
                    "who connects has to say who"
                },
                "give each role a user of its own, as in deploy/nats/rights.conf",
            ),
            Finding::of(
                "nats.rights",
                !self.too_much,
                if self.too_much {
                    "this user may list streams, which no role needs"
                } else {
                    "no more than needed, as far as was tried"
                },
                "give the user no more rights than deploy/nats/rights.conf does",
            ),
            Finding::of(
                "nats.settings",
                known,
                if known {
                    "each server tells how it is set"
                } else {
                    "no server tells how it is set"
                },
                "let the role ask $SYS.REQ.SERVER.PING.JSZ, as deploy/nats/rights.conf does: what loses data is seen there",
            ),
            Finding::of(
                "nats.payload",
                self.payload >= PAYLOAD,
                format!(
                    "messages of up to {}",
                    bytes(i64::try_from(self.payload).unwrap_or(i64::MAX))
                ),
                "set max_payload: 1MB, or more",
            ),
            Finding::of(
                "nats.streams",
                self.differ.is_empty(),
                some(&self.differ, || {
                    format!("{} are as they must be", self.streams)
                }),
                "put back what somebody has set otherwise (nats stream edit), and let the role read how they are",
            ),
            Finding::of(
                "nats.replicas",
                self.behind.is_empty(),
                some(&self.behind, || {
                    "every server has all of its streams".to_owned()
                }),
                "wait until all servers are there and have caught up; change none of them before",
            )
            .weak(),
        ];
        if known {
            all.extend(self.of_servers());
            all.extend(self.of_room());
        }
        all
    }

    /// Each server of which there is something to say.
    fn told(&self, bad: fn(&Server) -> Option<String>) -> Vec<String> {
        let each = self.servers.iter().filter_map(|s| Some((s, bad(s)?)));
        each.map(|(s, what)| format!("{} {what}", s.server.name))
            .collect()
    }

    fn of_servers(&self) -> Vec<Finding> {
        let old = self.told(|s| {
            let ver = &s.server.ver;
            (!is_at_least(ver, VERSION)).then(|| format!("is {ver}"))
        });
        let off = self.told(|s| s.data.disabled.then(|| "has none".to_owned()));
        let lazy = self.told(|s| {
            let lazy = !s.data.disabled && !s.data.config.sync_always;
            lazy.then(|| "answers before its disk has it".to_owned())
        });
        let apart =
            self.told(|s| (s.apart_ms > APART_MS).then(|| format!("is {} ms away", s.apart_ms)));
        vec![
            Finding::of(
                "nats.version",
                old.is_empty(),
                some(&old, || {
                    format!("{}, at least 2.14.4", self.servers[0].server.ver)
                }),
                "install 2.14.4 or newer",
            ),
            self.of_number(),
            Finding::of(
                "nats.jetstream",
                off.is_empty(),
                some(&off, || "on every server".to_owned()),
                "set jetstream { store_dir: … }",
            ),
            Finding::of(
                "nats.sync",
                lazy.is_empty(),
                some(&lazy, || "an answer comes once the disk has it".to_owned()),
                "set jetstream { sync_interval: always }: without it, what was accepted is lost with the power",
            ),
            Finding::of(
                "nats.clock",
                apart.is_empty(),
                some(&apart, || "less than a second from ours".to_owned()),
                "set the clocks of both machines by the same source (chrony, systemd-timesyncd)",
            ),
        ]
    }

    fn of_room(&self) -> Vec<Finding> {
        let small = self.told(|s| {
            let small = s.data.config.max_memory.saturating_sub(s.data.memory) < MEMORY;
            small.then(|| {
                format!(
                    "has {} of {}",
                    bytes(s.data.memory),
                    bytes(s.data.config.max_memory)
                )
            })
        });
        let full = self.told(|s| {
            let (taken, room) = (s.data.storage, s.data.config.max_storage);
            (!has_room(taken, room)).then(|| format!("has {} of {}", bytes(taken), bytes(room)))
        });
        vec![
            Finding::of(
                "nats.memory",
                small.is_empty(),
                some(&small, || {
                    format!("the queues have room for {}", bytes(MEMORY))
                }),
                "set max_memory_store to 256MB",
            )
            .weak(),
            Finding::of(
                "nats.storage",
                full.is_empty(),
                some(&full, || "less than four fifths are taken".to_owned()),
                "set max_file_store higher, or make room on its disk, before nothing is accepted any more",
            )
            .weak(),
        ]
    }

    /// Fewer servers than keep something may be for a while, and more are none of ours.
    fn of_number(&self) -> Finding {
        let (count, replicas) = (self.servers.len(), self.replicas);
        let is = format!("{count}, and {replicas} keep what must survive");
        match count < replicas {
            true => Finding::of("nats.servers", false, is, "start those that are missing").weak(),
            false => {
                let fits = count == 1 || replicas > 1;
                let mend =
                    "set --replicas 3: what only one of several servers keeps is lost with it";
                Finding::of("nats.servers", fits, is, mend)
            }
        }
    }
}

fn some(bad: &[String], good: impl FnOnce() -> String) -> String {
    match bad {
        [] => good(),
        bad => bad.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use engine::time::Timestamp;

    use super::*;
    use crate::cluster::check::names;
    use crate::cluster::check::nats::{Data, Named, Settings};

    fn server() -> Server {
        Server {
            server: Named {
                name: "n1".to_owned(),
                ver: "2.15.1".to_owned(),
                time: Timestamp::from_millis(0),
            },
            data: Data {
                config: Settings {
                    max_memory: 256 * 1024 * 1024,
                    max_storage: 1024,
                    sync_always: true,
                },
                ..Data::default()
            },
            apart_ms: APART_MS,
        }
    }

    fn good() -> Reading {
        Reading {
            servers: vec![server()],
            open: false,
            payload: PAYLOAD,
            too_much: false,
            replicas: 1,
            differ: Vec::new(),
            behind: Vec::new(),
            streams: 23,
        }
    }

    fn bad(reading: &Reading) -> (Vec<&'static str>, Vec<&'static str>) {
        names(reading.judged())
    }

    #[test]
    fn each_thing_that_is_not_as_it_must_be_is_told_by_its_name() {
        let unsafe_one = |name| (vec![name], vec![]);
        let weak_one = |name| (vec![], vec![name]);
        assert_eq!(bad(&good()), (vec![], vec![]));
        let reading = |change: fn(&mut Reading)| {
            let mut reading = good();
            change(&mut reading);
            bad(&reading)
        };
        assert_eq!(reading(|r| r.open = true), unsafe_one("nats.auth"));
        assert_eq!(reading(|r| r.too_much = true), unsafe_one("nats.rights"));
        assert_eq!(reading(|r| r.servers.clear()), unsafe_one("nats.settings"));
        assert_eq!(reading(|r| r.payload -= 1), unsafe_one("nats.payload"));
        let differs = reading(|r| r.differ.push("max_age".to_owned()));
        assert_eq!(differs, unsafe_one("nats.streams"));
        let behind = reading(|r| r.behind.push("BLOBS".to_owned()));
        assert_eq!(behind, weak_one("nats.replicas"));
        assert_eq!(reading(|r| r.replicas = 3), weak_one("nats.servers"));
        let more = reading(|r| r.servers.extend([server(), server()]));
        assert_eq!(more, unsafe_one("nats.servers"));
        // Of several servers each is looked at.
        let one = |change: fn(&mut Server)| {
            let (mut reading, mut worse) = (good(), server());
            change(&mut worse);
            reading.servers.extend([server(), worse]);
            reading.replicas = 3;
            bad(&reading)
        };
        assert_eq!(one(|_| ()), (vec![], vec![]));
        let old = one(|s| s.server.ver = "2.14.3".to_owned());
        assert_eq!(old, unsafe_one("nats.version"));
        assert_eq!(
            one(|s| s.data.disabled = true),
            unsafe_one("nats.jetstream")
        );
        let lazy = one(|s| s.data.config.sync_always = false);
        assert_eq!(lazy, unsafe_one("nats.sync"));
        assert_eq!(one(|s| s.apart_ms += 1), unsafe_one("nats.clock"));
        let small = one(|s| s.data.memory = 193 * 1024 * 1024);
        assert_eq!(small, weak_one("nats.memory"));
        assert_eq!(one(|s| s.data.storage = 820), weak_one("nats.storage"));
    }
}
