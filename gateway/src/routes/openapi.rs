//! The description of the API (OpenAPI 3.1), made from the table of routes.

mod links;
mod parameter;

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;
use utoipa::PartialSchema;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApiBuilder, PathItem, PathsBuilder, RefOr,
    Required, Schema,
};

use crate::auth::right::Right;
use crate::problem;
use crate::route::{Answers, Keyed, Route, Shape};

/// The name of the security scheme.
const TOKEN: &str = "token";

/// The whole description.
pub(crate) fn document() -> Value {
    let routes = super::all();
    let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
    let mut paths = PathsBuilder::new();
    let problem = Shape::of::<problem::Body<'static>>(problem::MEDIA_TYPE);
    schemas.extend(problem.named.iter().cloned());
    for route in &routes {
        let shapes = route.body.iter();
        let shapes = shapes.chain(route.answers.iter().filter_map(|a| a.shape.as_ref()));
        for shape in shapes {
            schemas.extend(shape.named.iter().cloned());
        }
        let item = PathItem::new(method(route), operation(route, &problem));
        paths = paths.path(route.path, item);
    }
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = schemas
        .into_iter()
        .fold(ComponentsBuilder::new(), |all, (name, schema)| {
            all.schema(name, schema)
        })
        .security_scheme(TOKEN, token)
        .build();
    let document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Mirastack")
                .version("v1")
                .description(Some(ABOUT))
                .build(),
        )
        .paths(paths.build())
        .components(Some(components))
        .build();
    let mut document = serde_json::to_value(document).expect("a description has text as keys");
    parameter::refine(&mut document);
    links::add(&mut document);
    document
}

const ABOUT: &str = "A governed job runner for platform engineering. Errors are RFC 9457 problems with a stable `code`. \
Lists answer `{items, next_cursor}`. Of an argument that takes several values a comma is OR and a repetition AND; \
every other is given once. \
A token comes from `POST /api/v1/auth/token`.";

fn method(route: &Route) -> HttpMethod {
    match route.method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(route: &Route, problem: &Shape) -> Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.id))
        .summary(Some(route.says))
        .tag(group(route.path));
    let repeats = route.method == Method::POST && route.keyed == Keyed::Natural;
    if repeats && route.right != Right::Open {
        operation = operation.description(Some(
            "An Idempotency-Key has no effect: nothing is changed, and each request is answered anew.",
        ));
    }
    for parameter in parameters(route) {
        operation = operation.parameter(parameter);
    }
    if !route.body.is_empty() {
        operation = operation.request_body(Some(body(&route.body)));
    }
    let mut answers: BTreeMap<u16, Vec<&Answers>> = BTreeMap::new();
    for answer in &route.answers {
        answers.entry(answer.status).or_default().push(answer);
    }
    for (status, answers) in answers {
        operation = operation.response(status.to_string(), answer(&answers));
    }
    operation = operation.response(
        "default",
        ResponseBuilder::new()
            .description("Refused; `code` says why.")
            .content(problem.media, content(problem))
            .build(),
    );
    if route.right != Right::Open {
        let none: [&str; 0] = [];
        operation = operation.security(SecurityRequirement::new(TOKEN, none));
    }
    operation.build()
}

/// The first part of the path that tells what it is about.
fn group(path: &str) -> String {
    let rest = path.strip_prefix("/api/v1/").unwrap_or(&path[1..]);
    let first = rest.split('/').next().unwrap_or_default();
    match path.starts_with("/api/v1/") || first == "hooks" {
        true => first.to_owned(),
        false => "server".to_owned(),
    }
}

fn parameters(route: &Route) -> Vec<Parameter> {
    let text = || Some(String::schema());
    let mut all = Vec::new();
    let names = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    for name in names {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(text());
        all.push(parameter.build());
    }
    for arg in route.args {
        let parameter = ParameterBuilder::new()
            .name(arg.name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(arg.says))
            .schema(text());
        all.push(parameter.build());
    }
    if matches!(route.keyed, Keyed::Own | Keyed::Answer) {
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "The same key with the same body is one request, for 7 days.",
            ))
            .schema(text());
        all.push(parameter.build());
    }
    all
}

fn body(shapes: &[Shape]) -> RequestBody {
    shapes
        .iter()
        .fold(RequestBodyBuilder::new(), |body, shape| {
            // One without anything that must be there may be left out.
            let needed = shape.needed.then_some(Required::True);
            let body = body.content(shape.media, content(shape));
            match needed {
                Some(needed) => body.required(Some(needed)),
                None => body,
            }
        })
        .build()
}

fn answer(answers: &[&Answers]) -> Response {
    let says: Vec<&str> = answers.iter().map(|a| a.says).collect();
    let response = ResponseBuilder::new().description(says.join(" "));
    let shapes = answers.iter().filter_map(|a| a.shape.as_ref());
    shapes
        .fold(response, |response, shape| {
            response.content(shape.media, content(shape))
        })
        .build()
}

fn content(shape: &Shape) -> utoipa::openapi::Content {
    ContentBuilder::new()
        .schema(Some(shape.schema.clone()))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_openapi_3_1_with_an_id_for_each_operation() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        let routes = super::super::all();
        let ids: BTreeSet<&str> = routes.iter().map(|route| route.id).collect();
        assert_eq!(ids.len(), routes.len(), "two routes have the same id");
        let described: usize = document["paths"]
            .as_object()
            .expect("paths")
            .values()
            .map(|path| path.as_object().map_or(0, serde_json::Map::len))
            .sum();
        assert_eq!(described, routes.len());
    }

    #[test]
    fn every_named_schema_is_there() {
        let text = document().to_string();
        let document = document();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().expect("a name");
            assert!(
                document["components"]["schemas"].get(name).is_some(),
                "the schema {name} is missing"
            );
        }
    }
}
