//! Any JSON, signed or with a credential.

use std::collections::BTreeMap;

use engine::definition::Hook;
use engine::expression::{Expression, Scope, Type};
use http::{HeaderMap, HeaderName};
use serde_json::{Value as Json, json};

use crate::hook::Occurrence;
use crate::request::header;

/// The event of a delivery: `id`, the headers that the hook lists, the body.
///
/// # Errors
/// Why the body cannot be read.
pub(crate) fn occurrence(
    hook: &Hook,
    id: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Occurrence, String> {
    let body = strict_json::read(body).map_err(|e| e.to_string())?;
    let shown: BTreeMap<&str, &str> = hook
        .headers
        .iter()
        .filter_map(|name| {
            let named: HeaderName = name.parse().ok()?;
            Some((name.as_str(), header(headers, &named)?))
        })
        .collect();
    Ok(Occurrence {
        event: json!({"id": id, "headers": shown, "body": body}),
        fingerprint: None,
    })
}

/// What makes two deliveries one; `None`: nothing does.
///
/// # Errors
/// Why the expression has no value.
pub(crate) fn identity(hook: &Hook, event: &Json) -> Result<Option<String>, String> {
    let Some(source) = &hook.dedupe else {
        return Ok(None);
    };
    let scope = Scope::new().with(
        "event",
        Type::object([
            ("id", Type::String),
            ("headers", Type::Labels),
            ("body", Type::Dyn),
        ]),
    );
    let expression = Expression::whole(source, &scope, None).map_err(|problems| {
        let all: Vec<String> = problems.into_iter().map(|p| p.message).collect();
        all.join("; ")
    })?;
    let values = BTreeMap::from([("event".to_owned(), event.clone())]);
    let value = expression.evaluate(&values).map_err(|e| e.to_string())?;
    match value {
        Json::Null => {
            Err("dedupe has the value null, which would make all such events one".to_owned())
        }
        Json::String(text) if text.is_empty() => {
            Err("dedupe has an empty value, which would make all such events one".to_owned())
        }
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
            Ok(Some(value.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::definition::{HookAuth, HookType};
    use engine::principal::Role;
    use http::HeaderValue;

    fn hook(dedupe: Option<&str>) -> Hook {
        Hook {
            name: "builds".to_owned(),
            description: None,
            kind: HookType::Generic,
            auth: HookAuth::Bearer(Vec::new()),
            role: Role::Operator,
            rate: None,
            headers: vec!["x-build".to_owned(), "x-absent".to_owned()],
            dedupe: dedupe.map(str::to_owned),
        }
    }

    fn event() -> Json {
        let headers = HeaderMap::from_iter([
            (
                HeaderName::from_static("x-build"),
                HeaderValue::from_static("7"),
            ),
            (
                http::header::AUTHORIZATION,
                HeaderValue::from_static("Bearer canary"),
            ),
        ]);
        let body = br#"{"id": 42, "ok": true}"#;
        occurrence(&hook(None), "d1", &headers, body)
            .expect("JSON")
            .event
    }

    #[test]
    fn an_event_shows_only_the_headers_that_the_hook_lists() {
        let event = event();
        assert_eq!(event["headers"], json!({"x-build": "7"}));
        assert_eq!(event["id"], "d1");
        assert!(!event.to_string().contains("canary"));
        assert!(occurrence(&hook(None), "d1", &HeaderMap::new(), b"no").is_err());
    }

    #[test]
    fn an_expression_says_what_makes_two_deliveries_one() {
        let of = |source| identity(&hook(Some(source)), &event());
        assert_eq!(of("event.body.id"), Ok(Some("42".to_owned())));
        assert_eq!(of("event.headers['x-build']"), Ok(Some("\"7\"".to_owned())));
        assert!(of("event.body.nope").is_err(), "an absent key");
        assert!(
            of("event.headers['x-absent']").is_err(),
            "an empty identity is none"
        );
        assert_eq!(identity(&hook(None), &event()), Ok(None));
    }
}
