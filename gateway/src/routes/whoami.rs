//! Who one is, and what one may do.

use axum::response::Response;
use engine::id::Tenant;
use engine::principal::{Principal, Role};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::respond;
use crate::route::{Route, Shape};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/whoami", Right::Read),
            "getWhoami",
            "Who the token stands for, and its rights.",
            whoami,
        )
        .answer(200, "The caller.", Shape::json::<Whoami>()),
    ]
}

/// The caller.
#[derive(Serialize, ToSchema)]
pub(crate) struct Whoami {
    /// `key:NAME`.
    #[schema(value_type = String)]
    principal: Principal,
    /// Whose.
    #[schema(value_type = String)]
    tenant: Tenant,
    /// Its roles.
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
    /// Its rights; docs/rights.md says what each allows.
    rights: Vec<&'static str>,
}

async fn whoami(caller: Caller) -> Response {
    respond::json(&Whoami {
        rights: Right::of(caller.role).map(Right::as_str).collect(),
        roles: vec![caller.role],
        principal: caller.who,
        tenant: caller.tenant,
    })
}
