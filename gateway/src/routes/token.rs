//! A token for an API key.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use engine::id::Tenant;
use engine::principal::Principal;
use engine::time::Timestamp;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::auth::right::Right;
use crate::auth::token::{Claims, TTL_MAX};
use crate::gate::Shared;
use crate::problem::Problem;
use crate::request::json;
use crate::respond;
use crate::route::{Keyed, Route, Shape};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            ("/api/v1/auth/token", Right::Open),
            "createToken",
            "Exchange an API key for a token.",
            create,
        )
        .keyed(Keyed::Refused)
        .body(Shape::json::<TokenRequest>())
        .answer(200, "The token.", Shape::json::<Token>()),
    ]
}

/// An API key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// The name of the key.
    api_key_id: String,
    /// Its secret.
    #[schema(value_type = String)]
    api_secret: Secret,
}

/// A text that is wiped when it is dropped and never printed.
pub(crate) struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl Secret {
    /// The text.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// A token.
#[derive(Serialize, ToSchema)]
pub(crate) struct Token {
    /// `Authorization: Bearer …`.
    token: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

async fn create(
    State(gate): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let request: TokenRequest = json(&headers, &body)?;
    let refused = || {
        metrics::counter!("mirastack_logins_refused_total").increment(1);
        Problem::unauthenticated()
            .hint("the API key is not known, is revoked, or its secret is another one")
    };
    let tenant = Tenant::default();
    let now = gate.now();
    let key = gate
        .api_keys
        .get(&tenant, &request.api_key_id)
        .filter(|key| key.value.is_active());
    let known = key.as_ref().map(|key| &*key.value);
    let secret = request.api_secret.reveal();
    let right = gate.hasher.verify(known, secret, now).await?;
    let key = key.filter(|_| right).ok_or_else(refused)?;
    let expires_at = now.plus(gate.config.token_ttl.min(TTL_MAX));
    let token = gate.tokens.seal(&Claims {
        jti: gate.backend.random.nonce(),
        sub: Principal::Key(request.api_key_id),
        tenant,
        role: key.value.role,
        serial: key.value.serial,
        iat: now,
        exp: expires_at,
    });
    Ok(respond::plain(StatusCode::OK, &Token { token, expires_at }))
}
