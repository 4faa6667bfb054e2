//! Who asks, and whether they may.

pub(crate) mod api_key;
pub(crate) mod constant_time;
mod hash;
pub(crate) mod right;
pub(crate) mod token;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use engine::id::{Nonce, Tenant};
use engine::principal::{Permission, Principal, Role};
use engine::registry::ApiKey;
use engine::time::Timestamp;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::gate::Gate;
use crate::problem::Problem;
use right::Right;

/// Whoever asks, after their token was checked.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) who: Principal,
    pub(crate) tenant: Tenant,
    pub(crate) role: Role,
    /// The serial of the API key that the token was given for.
    serial: Nonce,
    /// When the token ends.
    until: Timestamp,
}

impl Caller {
    /// Whether the token still holds, for answers that go on.
    pub(crate) fn still_holds(&self, gate: &Gate) -> bool {
        gate.now() < self.until && active_key(gate, &self.tenant, &self.who, self.serial).is_some()
    }

    /// # Errors
    /// 403 when the caller lacks the right.
    pub(crate) fn must(&self, right: Right) -> Result<(), Problem> {
        if right.allows(self.role) {
            return Ok(());
        }
        Err(self.lacks(right))
    }

    /// # Errors
    /// 403 when the caller may not use or save something of this level.
    pub(crate) fn must_reach(&self, permission: Permission, what: &str) -> Result<(), Problem> {
        let needs = match permission {
            Permission::Read => return Ok(()),
            Permission::Modify => Role::Engineer,
            Permission::Admin => Role::Admin,
        };
        if self.role >= needs {
            return Ok(());
        }
        let role = self.role;
        Err(Problem::forbidden(format!(
            "{what} is {permission}: that takes the role {needs}, and {} has the role {role}",
            self.who
        )))
    }

    fn lacks(&self, right: Right) -> Problem {
        let (needs, role) = (right.role(), self.role);
        Problem::forbidden(format!(
            "this takes the right {:?} (role {needs}), and {} has the role {role}",
            right.as_str(),
            self.who
        ))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The guard of the route put it there; on an open route there is nobody.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(Problem::unauthenticated)
    }
}

/// Checks the request's token.
///
/// # Errors
/// 401 when there is none that holds; it never says why.
pub(crate) fn authenticate(gate: &Arc<Gate>, parts: &Parts) -> Result<Caller, Problem> {
    let token = bearer(parts).ok_or_else(Problem::unauthenticated)?;
    let claims = gate.tokens.open(token, gate.now()).map_err(|why| {
        tracing::debug!(%why, "a token was refused");
        Problem::unauthenticated()
    })?;
    // Its key as it is now: a revoked one's tokens end with it.
    let key = active_key(gate, &claims.tenant, &claims.sub, claims.serial)
        .ok_or_else(Problem::unauthenticated)?;
    Ok(Caller {
        who: claims.sub.clone(),
        tenant: claims.tenant.clone(),
        role: key.role.min(claims.role),
        serial: claims.serial,
        until: claims.exp,
    })
}

fn active_key(gate: &Gate, tenant: &Tenant, who: &Principal, serial: Nonce) -> Option<Arc<ApiKey>> {
    let Principal::Key(name) = who else {
        return None;
    };
    let key = gate.api_keys.get(tenant, name)?.value;
    (key.is_active() && key.serial == serial).then_some(key)
}

fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
impl Caller {
    /// Somebody whose token never ends.
    pub(crate) fn of(name: &str, role: Role) -> Self {
        Self {
            who: Principal::Key(name.to_owned()),
            tenant: Tenant::default(),
            role,
            serial: Nonce([0; 16]),
            until: Timestamp::MAX,
        }
    }
}
