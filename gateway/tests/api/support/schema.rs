//! Whether an answer is what the description of the API says.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Answer;

static DOCUMENT: LazyLock<Value> = LazyLock::new(gateway::openapi);

/// The description.
pub(crate) fn document() -> &'static Value {
    &DOCUMENT
}

/// Holds an answer to the description. A route that is not described has no answer but a problem.
pub(crate) fn check(method: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or(path);
    let kind = answer.header("content-type");
    let Some(operation) = operation(method, path) else {
        let refused = matches!(answer.status, 404 | 405) || *method == Method::OPTIONS;
        assert!(
            refused,
            "{method} {path} is not described, and answers {}",
            answer.status
        );
        return;
    };
    let status = answer.status.to_string();
    let described = operation["responses"].get(&status);
    if answer.status == 304 {
        return;
    }
    let content = match described {
        Some(described) => &described["content"],
        None => {
            assert!(
                answer.status >= 400,
                "{method} {path} answers {status}, which is not described"
            );
            &operation["responses"]["default"]["content"]
        }
    };
    let media = kind.split(';').next().unwrap_or_default();
    let Some(all) = content.as_object().filter(|all| !all.is_empty()) else {
        assert!(
            answer.status >= 400 || answer.body.is_empty(),
            "{method} {path} answers {status} with a body, which is not described"
        );
        return;
    };
    if answer.status == 503 && media == "application/problem+json" {
        return;
    }
    let Some(body) = all.get(media) else {
        panic!(
            "{method} {path} answers {status} as {kind}, and is described as {:?}",
            all.keys()
        );
    };
    // HEAD has the headers of GET and no body.
    if media.ends_with("json") && *method != Method::HEAD {
        validate(
            &body["schema"],
            &answer.json,
            &format!("{method} {path} {status}"),
        );
    }
}

fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let parts: Vec<&str> = path.split('/').collect();
    let mut fitting: Vec<(&String, &Value)> = paths
        .iter()
        .filter(|(template, _)| fits(template, &parts))
        .collect();
    // A literal part is nearer than a name.
    fitting.sort_by_key(|(template, _)| template.matches('{').count());
    let method = match *method {
        Method::HEAD => "get".to_owned(),
        _ => method.as_str().to_lowercase(),
    };
    fitting.first().and_then(|(_, item)| item.get(&method))
}

fn fits(template: &str, parts: &[&str]) -> bool {
    let template: Vec<&str> = template.split('/').collect();
    let same = |(a, b): (&&str, &&str)| a.starts_with('{') && !b.is_empty() || a == b;
    template.len() == parts.len() && template.iter().zip(parts).all(same)
}

fn validate(schema: &Value, body: &Value, what: &str) {
    let mut root = schema.clone();
    root["components"] = DOCUMENT["components"].clone();
    let any_of = root.get("oneOf").is_some() || root.get("anyOf").is_some();
    let root = if any_of {
        json!({"allOf": [root.clone()], "components": root["components"]})
    } else {
        root
    };
    let validator = jsonschema::draft202012::new(&root)
        .unwrap_or_else(|error| panic!("{what}: the schema is none: {error}"));
    let errors: Vec<String> = validator
        .iter_errors(body)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{what}: {errors:?}\n{body:#}");
}
