//! What the server says when it refuses (RFC 9457), turned into a failure.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::exit::{Exit, Failure, Spot};
use crate::model::{clean, decode as decode_value, lenient};

/// An `application/problem+json` body; every field may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(deserialize_with = "lenient")]
    title: String,
    #[serde(deserialize_with = "lenient")]
    detail: String,
    #[serde(deserialize_with = "lenient")]
    hint: Option<String>,
    #[serde(deserialize_with = "lenient")]
    code: Option<String>,
    #[serde(deserialize_with = "lenient")]
    request_id: Option<String>,
    #[serde(deserialize_with = "lenient")]
    errors: Vec<ProblemSpot>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemSpot {
    #[serde(deserialize_with = "lenient")]
    pointer: String,
    #[serde(deserialize_with = "lenient")]
    line: usize,
    #[serde(deserialize_with = "lenient")]
    column: usize,
    #[serde(deserialize_with = "lenient")]
    message: String,
    #[serde(deserialize_with = "lenient")]
    hint: Option<String>,
}

/// The failure that an answer with a status other than 2xx means.
pub(crate) fn failure(status: StatusCode, body: &[u8]) -> Box<Failure> {
    let Some(problem) = decode(body) else {
        let mut failure = Failure::new(exit(status), format!("the server answered {status}"));
        failure.hint = Some(if status.is_redirection() {
            "redirects are not followed: give the address that it points to with --server"
                .to_owned()
        } else {
            hint(status)
                .unwrap_or(
                    "the answer is not from Mirastack: check --server and what stands before it",
                )
                .to_owned()
        });
        return failure;
    };
    let message = [problem.detail, problem.title]
        .into_iter()
        .find(|text| !text.is_empty());
    let mut failure = Failure::new(
        exit(status),
        message.unwrap_or_else(|| format!("the server answered {status}")),
    );
    failure.hint = problem.hint.or_else(|| hint(status).map(str::to_owned));
    if problem.code.as_deref() == Some("not_supported") {
        // A route of a later version: asked for wrongly here, and not a thing that is missing.
        failure.exit = Exit::Usage;
    }
    failure.code = problem.code;
    failure.request_id = problem.request_id;
    failure.spots = problem.errors.into_iter().map(Spot::from).collect();
    failure
}

/// The places that a list of errors or warnings names.
pub(crate) fn spots(list: &Value) -> Vec<Spot> {
    let read: Vec<ProblemSpot> = decode_value(list);
    read.into_iter().map(Spot::from).collect()
}

impl From<ProblemSpot> for Spot {
    fn from(spot: ProblemSpot) -> Self {
        Self {
            pointer: spot.pointer,
            line: spot.line,
            column: spot.column,
            message: spot.message,
            hint: spot.hint.filter(|hint| !hint.is_empty()),
        }
    }
}

fn decode(body: &[u8]) -> Option<Problem> {
    let value: Value = serde_json::from_slice(body).ok()?;
    if !value.is_object() {
        return None;
    }
    serde_json::from_value(clean(&value)).ok()
}

/// The exit code for a status.
fn exit(status: StatusCode) -> Exit {
    match status.as_u16() {
        401 => Exit::NotAuthenticated,
        403 => Exit::Denied,
        404 | 410 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        // 501 is a refusal of what was asked, not trouble of the server.
        400..=499 | 501 if status.as_u16() != 429 => Exit::Usage,
        _ => Exit::Unreachable,
    }
}

fn hint(status: StatusCode) -> Option<&'static str> {
    match status.as_u16() {
        401 => Some("log in: miractl login"),
        403 => Some("`miractl whoami` shows your roles and rights"),
        429 => Some("too many requests: try again later"),
        500..=599 if status.as_u16() != 501 => Some("try again; the server's log tells more"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_the_exit_code_of_the_contract() {
        let table = [
            (400, Exit::Usage),
            (401, Exit::NotAuthenticated),
            (403, Exit::Denied),
            (404, Exit::NotFound),
            (409, Exit::Conflict),
            (412, Exit::Conflict),
            (413, Exit::Usage),
            (415, Exit::Usage),
            (422, Exit::Usage),
            (429, Exit::Unreachable),
            (500, Exit::Unreachable),
            (501, Exit::Usage),
            (503, Exit::Unreachable),
            (302, Exit::Unreachable),
        ];
        for (status, exit) in table {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(failure(status, b"{}").exit, exit, "{status}");
        }
    }

    #[test]
    fn a_problem_keeps_its_places_and_its_hints() {
        let body = br#"{"title":"invalid","detail":"2 errors","code":"invalid_document","request_id":"r1","retryable":false,
            "errors":[{"pointer":"/steps/0/uses","line":12,"column":11,"message":"no such action","hint":"did you mean x?"},
                      {"message":"other","line":null}]}"#;
        let failure = failure(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(failure.message, "2 errors");
        assert_eq!(failure.request_id.as_deref(), Some("r1"));
        assert_eq!(failure.spots.len(), 2);
        assert_eq!((failure.spots[0].line, failure.spots[0].column), (12, 11));
        assert_eq!(failure.spots[1].line, 0);
    }

    #[test]
    fn what_the_server_does_not_support_yet_is_wrong_usage() {
        let body = br#"{"detail":"chat is not supported in this version","code":"not_supported"}"#;
        assert_eq!(failure(StatusCode::NOT_FOUND, body).exit, Exit::Usage);
    }

    #[test]
    fn an_answer_of_something_else_says_so() {
        let failure = failure(StatusCode::NOT_FOUND, b"<html>nginx</html>");
        assert_eq!(failure.exit, Exit::NotFound);
        assert!(
            failure
                .hint
                .is_some_and(|h| h.contains("not from Mirastack"))
        );
    }
}
