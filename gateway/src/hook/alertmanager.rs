//! The webhook of Alertmanager, version 4, and Grafana's superset of it.
//!
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>. Only what is used is read; the rest of
//! the payload may be anything.

use std::collections::BTreeMap;

use engine::digest::Digest;
use engine::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::hook::Occurrence;
use crate::hook::episode::Sighting;

/// What is delivered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payload {
    #[serde(default)]
    group_key: String,
    #[serde(default)]
    receiver: String,
    #[serde(default)]
    group_labels: BTreeMap<String, String>,
    #[serde(default, rename = "externalURL")]
    external_url: String,
    /// How many alerts were left out: a number, and in some versions a null.
    #[serde(default)]
    truncated_alerts: Option<u64>,
    alerts: Vec<Alert>,
}

/// One alert of a delivery.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: Status,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: String,
    #[serde(default)]
    ends_at: String,
    #[serde(default, rename = "generatorURL")]
    generator_url: String,
    #[serde(default)]
    fingerprint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Firing,
    Resolved,
}

/// What a delivery says about one alert, or about its group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// What makes it one alert (or group).
    pub(crate) fingerprint: String,
    /// What is said of it.
    pub(crate) sighting: Sighting,
    /// As expressions see it.
    pub(crate) occurrence: Occurrence,
}

impl Payload {
    /// A payload from its bytes.
    ///
    /// # Errors
    /// What cannot be read.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let read = strict_json::read(body).and_then(serde_json::from_value);
        read.map_err(|e| e.to_string())
    }

    /// What is said about each alert. Each one's own status counts; a delivery in which alerts were left out resolves
    /// nothing.
    ///
    /// # Errors
    /// A time that cannot be read.
    pub(crate) fn alerts(&self) -> Result<Vec<Seen>, String> {
        let mut all = Vec::new();
        for alert in &self.alerts {
            if alert.status == Status::Resolved && self.is_truncated() {
                continue;
            }
            let planted = engine::planted!("fuzz_delivery");
            assert!(
                !(planted && self.is_truncated() && alert.fingerprint.is_empty()),
                "planted: delivery"
            );
            let event = json!({"alert": alert.json()?, "group": self.group_json()});
            let fingerprint = alert.fingerprint();
            all.push(Seen {
                sighting: alert.sighting()?,
                occurrence: Occurrence {
                    event,
                    fingerprint: Some(fingerprint.clone()),
                },
                fingerprint,
            });
        }
        Ok(all)
    }

    /// What is said about the group: it fires while one of its alerts does, and is resolved when all of them are and
    /// none was left out. `None`: nothing.
    ///
    /// # Errors
    /// A time that cannot be read.
    pub(crate) fn group(&self) -> Result<Option<Seen>, String> {
        let mut firing: Option<Timestamp> = None;
        let mut ended: Option<Timestamp> = None;
        let mut alerts = Vec::new();
        for alert in &self.alerts {
            match alert.sighting()? {
                Sighting::Firing { starts_at } => {
                    firing = Some(firing.map_or(starts_at, |first| first.min(starts_at)));
                }
                Sighting::Resolved { ends_at } => ended = ended.max(ends_at),
            }
            alerts.push(alert.json()?);
        }
        let sighting = match firing {
            Some(starts_at) => Sighting::Firing { starts_at },
            None if self.alerts.is_empty() || self.is_truncated() => return Ok(None),
            None => Sighting::Resolved { ends_at: ended },
        };
        let event = json!({"group": self.group_json(), "alerts": alerts});
        Ok(Some(Seen {
            fingerprint: self.group_key.clone(),
            sighting,
            occurrence: Occurrence {
                event,
                fingerprint: None,
            },
        }))
    }

    fn is_truncated(&self) -> bool {
        self.truncated_alerts.is_some_and(|n| n > 0)
    }

    fn group_json(&self) -> Json {
        json!({
            "key": self.group_key,
            "labels": self.group_labels,
            "receiver": self.receiver,
            "external_url": self.external_url,
        })
    }
}

impl Alert {
    fn sighting(&self) -> Result<Sighting, String> {
        Ok(match self.status {
            Status::Firing => Sighting::Firing {
                starts_at: time(&self.starts_at)?,
            },
            Status::Resolved => Sighting::Resolved {
                ends_at: self.ends_at()?,
            },
        })
    }

    /// `0001-01-01T00:00:00Z` says that there is none.
    fn ends_at(&self) -> Result<Option<Timestamp>, String> {
        if self.ends_at.is_empty() || self.ends_at.starts_with("0001-01-01") {
            return Ok(None);
        }
        time(&self.ends_at).map(Some)
    }

    fn json(&self) -> Result<Json, String> {
        Ok(json!({
            "status": match self.status { Status::Firing => "firing", Status::Resolved => "resolved" },
            "labels": self.labels,
            "annotations": self.annotations,
            "starts_at": time(&self.starts_at)?,
            "ends_at": self.ends_at()?,
            "fingerprint": self.fingerprint(),
            "generator_url": self.generator_url,
        }))
    }

    /// Old versions do not send one: then its labels are what makes it one alert.
    fn fingerprint(&self) -> String {
        if !self.fingerprint.is_empty() {
            return self.fingerprint.clone();
        }
        Digest::of(json!(self.labels).to_string().as_bytes()).to_string()[..16].to_owned()
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|e| format!("{text:?} is {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(truncated: u64, alerts: &Json) -> Payload {
        let body = json!({
            "version": "4", "groupKey": "{}:{alertname=\"Down\"}", "truncatedAlerts": truncated, "status": "firing",
            "receiver": "mirastack", "groupLabels": {"alertname": "Down"}, "commonLabels": {}, "commonAnnotations": {},
            "externalURL": "http://am", "alerts": alerts, "orgId": 1, "title": "Grafana sends more",
        });
        Payload::read(body.to_string().as_bytes()).expect("a payload")
    }

    fn alert(fingerprint: &str, status: &str, starts: u32, ends: Option<u32>) -> Json {
        json!({
            "status": status, "labels": {"alertname": "Down", "instance": fingerprint}, "annotations": {},
            "startsAt": format!("2026-01-01T00:{starts:02}:00.123456789Z"),
            "endsAt": ends.map_or("0001-01-01T00:00:00Z".to_owned(), |m| format!("2026-01-01T00:{m:02}:00Z")),
            "generatorURL": "http://prom", "fingerprint": fingerprint,
        })
    }

    fn at(minute: u32) -> Timestamp {
        format!("2026-01-01T00:{minute:02}:00Z")
            .parse()
            .expect("a time")
    }

    #[test]
    fn each_alert_counts_by_its_own_status() {
        let payload = payload(
            0,
            &json!([
                alert("a", "firing", 1, None),
                alert("b", "resolved", 2, Some(3))
            ]),
        );
        let seen = payload.alerts().expect("readable");
        assert_eq!(seen[0].fingerprint, "a");
        assert!(matches!(seen[0].sighting, Sighting::Firing { .. }));
        assert_eq!(
            seen[1].sighting,
            Sighting::Resolved {
                ends_at: Some(at(3))
            }
        );
        let event = &seen[0].occurrence.event;
        assert_eq!(event["alert"]["labels"]["instance"], "a");
        assert_eq!(event["alert"]["starts_at"], "2026-01-01T00:01:00.123Z");
        assert_eq!(event["alert"]["ends_at"], Json::Null);
        assert_eq!(event["group"]["receiver"], "mirastack");
    }

    #[test]
    fn what_was_truncated_resolves_nothing() {
        let resolved = json!([alert("a", "resolved", 1, Some(2))]);
        let cut = payload(3, &resolved);
        assert!(cut.alerts().expect("readable").is_empty());
        assert_eq!(cut.group().expect("readable"), None);
        assert_eq!(payload(0, &resolved).alerts().expect("readable").len(), 1);
    }

    #[test]
    fn a_group_fires_while_one_of_its_alerts_does() {
        let some = payload(
            0,
            &json!([
                alert("a", "resolved", 1, Some(5)),
                alert("b", "firing", 3, None),
                alert("c", "firing", 2, None)
            ]),
        );
        let group = some.group().expect("readable").expect("it fires");
        let Sighting::Firing { starts_at } = group.sighting else {
            panic!("it fires");
        };
        assert_eq!(
            starts_at.millis() / 60_000,
            at(2).millis() / 60_000,
            "the earliest that fires"
        );
        assert_eq!(
            group.occurrence.event["alerts"].as_array().map(Vec::len),
            Some(3)
        );
        let none = payload(
            0,
            &json!([
                alert("a", "resolved", 1, Some(5)),
                alert("b", "resolved", 1, Some(7))
            ]),
        );
        let group = none.group().expect("readable").expect("it is resolved");
        assert_eq!(
            group.sighting,
            Sighting::Resolved {
                ends_at: Some(at(7))
            }
        );
    }

    #[test]
    fn an_alert_without_a_fingerprint_has_one_by_its_labels() {
        let mut one = alert("", "firing", 1, None);
        let mut two = one.clone();
        two["labels"]["instance"] = "other".into();
        one["startsAt"] = "2026-01-01T01:00:00+01:00".into();
        let seen = payload(0, &json!([one, two])).alerts().expect("readable");
        assert_ne!(seen[0].fingerprint, seen[1].fingerprint);
        assert_eq!(seen[0].fingerprint.len(), 16);
        assert_eq!(seen[0].sighting, Sighting::Firing { starts_at: at(0) });
    }

    #[test]
    fn what_is_no_payload_is_told() {
        assert!(Payload::read(b"{}").is_err());
        assert!(Payload::read(br#"{"alerts": [{"status": "pending"}]}"#).is_err());
        let mut bad = alert("a", "firing", 1, None);
        bad["startsAt"] = "yesterday".into();
        assert!(payload(0, &json!([bad])).alerts().is_err());
    }
}
