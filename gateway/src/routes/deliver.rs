//! The doors for events from outside.
//!
//! The headers are looked at before the body is read, the body's signature before it is parsed, and 2xx is answered
//! only for what is durable. A refusal says nothing about why.

mod kinds;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use bytes::Bytes;
use engine::definition::{Hook, HookType};
use engine::id::{RunId, Tenant};
use engine::registry::{SavedHook, secret_seal};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use std::collections::BTreeMap;
use store::port::{Delivery as Row, DeliveryOutcome};
use utoipa::ToSchema;

use crate::auth::right::Right;
use crate::gate::Shared;
use crate::hook::{Came, Found, verify};
use crate::mirror::Kept;
use crate::problem::Problem;
use crate::request::{Origin, read_body, stranger, uncompressed};
use crate::respond;
use crate::room::Sender;
use crate::route::{Keyed, Route, Shape};

/// So many bytes of a body are kept with a delivery that made no run.
const BODY_KEPT: usize = 4_096;

pub(super) fn routes() -> Vec<Route> {
    let describe = |route: Route| {
        route
            .keyed(Keyed::Natural)
            .reads_body()
            .body(Shape::any("application/json"))
            .answer(202, "It is taken, durably.", Shape::json::<Taken>())
            .answer(200, "It was known already.", Shape::json::<Duplicate>())
    };
    vec![
        describe(Route::post(
            ("/hooks/{name}", Right::Open),
            "deliver",
            "Deliver an event to a hook, with its sender's own credentials.",
            deliver_default,
        )),
        describe(Route::post(
            ("/hooks/{tenant}/{name}", Right::Open),
            "deliverTo",
            "Deliver an event to a hook of a tenant.",
            deliver_to,
        )),
    ]
}

/// A delivery that was taken.
#[derive(Serialize, ToSchema)]
#[schema(as = TakenDelivery)]
struct Taken {
    /// Its id.
    delivery: String,
    /// The runs that it made, or that it was about.
    runs: Vec<RunOf>,
    /// No workflow wanted it.
    unmatched: bool,
}

/// A delivery that was known already.
#[derive(Serialize, ToSchema)]
#[schema(as = DuplicateDelivery)]
struct Duplicate {
    /// Always true.
    duplicate: bool,
    /// The runs that the first one made.
    runs: Vec<RunOf>,
}

/// A run of a delivery.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryRun)]
struct RunOf {
    /// Its id.
    #[schema(value_type = String)]
    id: RunId,
    /// Its workflow.
    workflow: String,
    /// Where it can be looked at.
    url: String,
}

async fn deliver_default(
    State(gate): State<Shared>,
    origin: Origin,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let tenant = Tenant::default();
    deliver(&gate, origin, (&tenant, &name), request).await
}

async fn deliver_to(
    State(gate): State<Shared>,
    origin: Origin,
    Path((tenant, name)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let tenant = Tenant::new(&tenant).ok_or_else(|| Problem::not_found("hook", &name))?;
    deliver(&gate, origin, (&tenant, &name), request).await
}

/// One delivery on its way through.
struct Door<'a> {
    gate: &'a Shared,
    tenant: &'a Tenant,
    hook: &'a Hook,
    id: String,
    traceparent: String,
}

async fn deliver(
    gate: &Shared,
    origin: Origin,
    (tenant, name): (&Tenant, &str),
    request: Request,
) -> Result<Response, Problem> {
    let saved = gate.hooks.get(tenant, name);
    let saved: Kept<SavedHook> = saved
        .filter(|kept| !kept.value.deleted)
        .ok_or_else(|| Problem::not_found("hook", name))?;
    let door = Door {
        gate,
        tenant,
        hook: &saved.value.hook,
        id: gate.new_id(),
        traceparent: origin.traceparent,
    };
    let (parts, body) = request.into_parts();
    let answer = door.enter(&parts, body).await;
    let outcome = match &answer {
        Ok(answer) => answer.outcome,
        Err(_) => DeliveryOutcome::Refused,
    };
    count(door.hook, outcome);
    answer.map(|answer| answer.response)
}

struct Answered {
    response: Response,
    outcome: DeliveryOutcome,
}

impl Door<'_> {
    async fn enter(&self, parts: &Parts, body: axum::body::Body) -> Result<Answered, Problem> {
        let headers = &parts.headers;
        let secrets = self.secrets();
        let proven = verify::by_headers(&self.hook.auth, &secrets, headers);
        if proven == Some(false) {
            return Err(self.refused(headers, None, "its credentials are wrong"));
        }
        let room = &self.gate.room;
        let sender = match proven {
            Some(true) => Sender::Known,
            _ => stranger(parts),
        };
        let mut taken = room.for_body(sender);
        let body = read_body(body, &self.gate.config.edge, &mut taken).await?;
        // Not before: whoever sends a body slowly, and has proven nothing yet, would keep the seat.
        let busy = "too many deliveries at once: send it again";
        let seat = self.gate.deliveries.try_acquire();
        let _seat = seat.map_err(|_| Problem::unavailable(busy))?;
        let proven =
            proven == Some(true) || verify::by_body(&self.hook.auth, &secrets, headers, &body);
        if !proven {
            return Err(self.refused(headers, Some(&body), "its signature is wrong"));
        }
        uncompressed(headers)?;
        self.check_rate()?;
        room.for_values(&body, &mut taken).await?;
        let came = match self.hook.kind {
            HookType::Alertmanager => self.alertmanager(headers, &body).await?,
            HookType::Github => self.github(headers, &body).await?,
            HookType::Generic => self.generic(headers, &body).await?,
        };
        Ok(self.answer(came, headers, &body))
    }

    fn secrets(&self) -> Vec<verify::Value> {
        let names = verify::names(&self.hook.auth).iter();
        let values = names.filter_map(|name| {
            let kept = self.gate.secrets.get(self.tenant, name)?;
            let newest = kept.value.newest()?;
            let bound = secret_seal(self.tenant, name, newest.version);
            self.gate.unseal(&bound, &newest.sealed)
        });
        values.collect()
    }

    fn check_rate(&self) -> Result<(), Problem> {
        let Some(rate) = self.hook.rate else {
            return Ok(());
        };
        let now = self.gate.now();
        let taken = self.gate.rates.take(&self.hook.name, rate, now);
        taken.map_err(|seconds| {
            let detail = format!("the hook takes {} deliveries in {}", rate.max, rate.per);
            let mut problem = Problem::rate_limited(detail, seconds);
            // Alertmanager sends again only after 5xx.
            if self.hook.kind == HookType::Alertmanager {
                problem.status = StatusCode::SERVICE_UNAVAILABLE;
            }
            problem
        })
    }

    fn answer(&self, came: Vec<Came>, headers: &HeaderMap, body: &[u8]) -> Answered {
        let (mut fresh, mut known, mut changed, mut repeated) =
            (Vec::new(), Vec::new(), false, false);
        for one in came {
            match one {
                Came::Of(found) => {
                    changed = true;
                    fresh.extend(found);
                }
                Came::Known(found) => {
                    repeated = true;
                    known.extend(found);
                }
                Came::Unmatched => {}
            }
        }
        let failed = fresh.iter().any(|found| found.failed);
        let outcome = match (changed, repeated) {
            (true, _) if failed => DeliveryOutcome::Error,
            (true, _) => DeliveryOutcome::Accepted,
            (false, true) => DeliveryOutcome::Duplicate,
            (false, false) => DeliveryOutcome::Unmatched,
        };
        if failed {
            metrics::counter!("mirastack_hook_trigger_errors_total", "hook" => self.hook.name.clone())
                .increment(1);
        }
        if outcome != DeliveryOutcome::Accepted {
            let runs = if changed { &fresh } else { &known };
            let runs = runs.iter().map(|found| found.run).collect();
            let error =
                failed.then(|| "an expression or an input is wrong: its runs say which".to_owned());
            self.note(headers, Some(body), (outcome, runs, error));
        }
        let response = match outcome {
            DeliveryOutcome::Duplicate => respond::plain(
                StatusCode::OK,
                &Duplicate {
                    duplicate: true,
                    runs: self.shown(known),
                },
            ),
            DeliveryOutcome::Accepted
            | DeliveryOutcome::Unmatched
            | DeliveryOutcome::Refused
            | DeliveryOutcome::Error => respond::plain(
                StatusCode::ACCEPTED,
                &Taken {
                    delivery: self.id.clone(),
                    unmatched: outcome == DeliveryOutcome::Unmatched,
                    runs: self.shown(fresh),
                },
            ),
        };
        Answered { response, outcome }
    }

    fn shown(&self, found: Vec<Found>) -> Vec<RunOf> {
        found
            .into_iter()
            .map(|found| RunOf {
                id: found.run,
                workflow: found.workflow,
                url: self.gate.run_url(found.run),
            })
            .collect()
    }

    /// 401 that says nothing.
    fn refused(&self, headers: &HeaderMap, body: Option<&Bytes>, why: &str) -> Problem {
        let outcome = (DeliveryOutcome::Refused, Vec::new(), Some(why.to_owned()));
        self.note(headers, body.map(|bytes| &bytes[..]), outcome);
        let mut problem = Problem::unauthenticated();
        "not authenticated".clone_into(&mut problem.detail);
        problem
    }

    /// 400 to an authentic sender.
    fn malformed(&self, headers: &HeaderMap, body: &[u8], why: &str) -> Problem {
        let outcome = (DeliveryOutcome::Refused, Vec::new(), Some(why.to_owned()));
        self.note(headers, Some(body), outcome);
        Problem::malformed(format!("the delivery cannot be read: {why}"))
    }

    /// Notes a delivery in the ring, beside the answer. A flood is noted only in part: the ring may lose anything.
    fn note(
        &self,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        (outcome, runs, error): (DeliveryOutcome, Vec<RunId>, Option<String>),
    ) {
        let Ok(seat) = self.gate.notes.clone().try_acquire_owned() else {
            return;
        };
        let row = Row {
            id: self.id.clone(),
            hook: self.hook.name.clone(),
            at: self.gate.now(),
            outcome,
            runs,
            error,
            headers: harmless(self.hook, headers),
            body: body.map(|body| {
                let kept = &body[..body.len().min(BODY_KEPT)];
                String::from_utf8_lossy(kept).into_owned()
            }),
        };
        let (gate, tenant) = (self.gate.clone(), self.tenant.clone());
        self.gate.tasks.spawn(async move {
            if let Err(error) = gate.backend.views.note_delivery(&tenant, &row).await {
                tracing::debug!(%error, "a delivery was not noted");
            }
            drop(seat);
        });
    }
}

/// The headers without those that may hold a credential.
fn harmless(hook: &Hook, headers: &HeaderMap) -> BTreeMap<String, String> {
    const SUSPECT: [&str; 7] = [
        "auth",
        "cookie",
        "token",
        "secret",
        "signature",
        "key",
        "password",
    ];
    let signed = match &hook.auth {
        engine::definition::HookAuth::Hmac { header, .. } => Some(header.as_str()),
        engine::definition::HookAuth::Bearer(_) | engine::definition::HookAuth::Basic(_) => None,
    };
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            Some(name) != signed && !SUSPECT.iter().any(|part| name.contains(part))
        })
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

fn count(hook: &Hook, outcome: DeliveryOutcome) {
    let outcome = match outcome {
        DeliveryOutcome::Accepted => "accepted",
        DeliveryOutcome::Duplicate => "duplicate",
        DeliveryOutcome::Unmatched => "unmatched",
        DeliveryOutcome::Refused => "refused",
        DeliveryOutcome::Error => "error",
    };
    metrics::counter!("mirastack_hook_deliveries_total", "hook" => hook.name.clone(), "outcome" => outcome)
        .increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::definition::HookAuth;
    use engine::principal::Role;
    use http::HeaderValue;

    #[test]
    fn no_credential_is_kept_with_a_delivery() {
        let hook = Hook {
            name: "h".to_owned(),
            description: None,
            kind: HookType::Generic,
            auth: HookAuth::Hmac {
                header: "x-proof".to_owned(),
                prefix: String::new(),
                secrets: Vec::new(),
            },
            role: Role::Operator,
            rate: None,
            headers: Vec::new(),
            dedupe: None,
        };
        let names = [
            "authorization",
            "x-proof",
            "cookie",
            "x-gitlab-token",
            "x-api-key",
            "x-build",
        ];
        let headers: HeaderMap = names
            .into_iter()
            .map(|name| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_static("canary"),
                )
            })
            .collect();
        let kept = harmless(&hook, &headers);
        assert_eq!(
            kept.keys().map(String::as_str).collect::<Vec<_>>(),
            ["x-build"]
        );
    }
}
