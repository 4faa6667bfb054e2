//! Holds a step's parameters against its action's schema: unknown and missing ones, literals and templates of a wrong
//! type.

use serde_json::Value as Json;

use crate::expression::{Scope, Template, Type, nearest};
use crate::language::Fault;
use crate::language::compile::Compiler;
use crate::language::read::join;
use crate::manifest::ActionName;
use crate::plan::Tree;
use crate::schema::Schema;

/// Parameters whose text another system runs.
const QUERIES: &[&str] = &["query", "logsql", "expr"];

/// The parameters, compiled.
pub(super) fn check(
    compiler: &mut Compiler<'_>,
    pointer: &str,
    action: &ActionName,
    with: &Json,
    scope: &Scope,
) -> Tree {
    let actions = compiler.actions;
    let Some(schema) = actions.get(action).map(|a| &a.input) else {
        return compiler.tree(pointer, with, scope);
    };
    check_names(compiler, pointer, action, with, schema);
    check_literals(compiler, pointer, with, schema, schema);
    let before = compiler.faults.len();
    let tree = compiler.typed_tree(pointer, with, scope, Some(&Type::from_schema(schema)));
    if compiler.faults.len() == before {
        warn_about_queries(compiler, pointer, &tree);
    }
    tree
}

fn check_names(
    compiler: &mut Compiler<'_>,
    pointer: &str,
    action: &ActionName,
    with: &Json,
    schema: &Json,
) {
    let empty = serde_json::Map::new();
    let given = with.as_object().unwrap_or(&empty);
    let known = schema
        .get("properties")
        .and_then(Json::as_object)
        .unwrap_or(&empty);
    let is_open = schema
        .get("additionalProperties")
        .is_some_and(|a| *a != Json::Bool(false));
    for name in given.keys().filter(|n| !known.contains_key(*n) && !is_open) {
        let near = nearest::did_you_mean(name, known.keys().map(String::as_str));
        let all: Vec<&str> = known.keys().map(String::as_str).collect();
        let hint = near.or_else(|| Some(format!("{action} takes: {}", all.join(", "))));
        compiler.say(
            &join(pointer, name),
            format!("{action} has no parameter {name}"),
            hint,
        );
    }
    let required = schema
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    for name in required
        .filter_map(Json::as_str)
        .filter(|n| !given.contains_key(*n))
    {
        let what = known
            .get(name)
            .and_then(|p| p.get("description"))
            .and_then(Json::as_str);
        let hint = what.map(str::to_owned);
        compiler.say(
            pointer,
            format!("{action} needs the parameter {name}"),
            hint,
        );
    }
}

/// Literals are held against their part of the schema, as deep as it says.
fn check_literals(
    compiler: &mut Compiler<'_>,
    pointer: &str,
    json: &Json,
    part: &Json,
    root: &Json,
) {
    let part = resolved(part, root);
    let is_number = part
        .get("type")
        .is_some_and(|t| t == "number" || t == "integer");
    if is_number {
        compiler.numbers.insert(pointer.to_owned());
    }
    match json {
        Json::Object(map) => {
            for (name, value) in map {
                if let Some(field) = part.get("properties").and_then(|p| p.get(name)) {
                    check_literals(compiler, &join(pointer, name), value, field, root);
                }
            }
        }
        Json::Array(items) if has_template(json) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(element) = part.get("items") {
                    check_literals(
                        compiler,
                        &join(pointer, &index.to_string()),
                        item,
                        element,
                        root,
                    );
                }
            }
        }
        Json::String(text) if text.contains("${{") => {}
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            check_literal(compiler, pointer, json, part, root);
        }
    }
}

fn check_literal(
    compiler: &mut Compiler<'_>,
    pointer: &str,
    json: &Json,
    part: &Json,
    root: &Json,
) {
    let mut schema = part.clone();
    if let (Some(map), Some(defs)) = (schema.as_object_mut(), root.get("$defs")) {
        map.insert("$defs".to_owned(), defs.clone());
    }
    let Ok(schema) = Schema::compile(&schema) else {
        return;
    };
    let coerced = schema.coerce(json.clone());
    for violation in schema.validate(&coerced).err().unwrap_or_default() {
        let hint = wanted(part, json).filter(|_| violation.pointer.is_empty());
        let pointer = format!("{pointer}{}", violation.pointer);
        compiler.say(&pointer, violation.message, hint);
    }
}

/// How to write what the schema wants in the place of this literal; else what it says that it is.
fn wanted(part: &Json, literal: &Json) -> Option<String> {
    let kind = part.get("type").and_then(Json::as_str);
    let hint = match (kind, literal) {
        (Some("string"), Json::Number(_) | Json::Bool(_) | Json::Null) => {
            "write it in quotes: then it is a string"
        }
        (Some("number" | "integer"), Json::String(_)) => {
            "a number is written without quotes, such as 5"
        }
        (Some("boolean"), Json::String(_)) => "write true or false, without quotes",
        (Some("array"), _) if !literal.is_array() => "write a list, such as [a, b]",
        _ => part.get("description").and_then(Json::as_str)?,
    };
    Some(hint.to_owned())
}

fn resolved<'s>(part: &'s Json, root: &'s Json) -> &'s Json {
    let target = part
        .get("$ref")
        .and_then(Json::as_str)
        .and_then(|r| r.strip_prefix('#'));
    target
        .and_then(|pointer| root.pointer(pointer))
        .unwrap_or(part)
}

fn has_template(json: &Json) -> bool {
    match json {
        Json::String(text) => text.contains("${{"),
        Json::Array(items) => items.iter().any(has_template),
        Json::Object(map) => map.values().any(has_template),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// Data from outside that becomes part of a query could make it another query.
fn warn_about_queries(compiler: &mut Compiler<'_>, pointer: &str, tree: &Tree) {
    let Tree::Map(entries) = tree else { return };
    for (name, entry) in entries
        .iter()
        .filter(|(name, _)| QUERIES.contains(&name.as_str()))
    {
        let Tree::Template(template) = entry else {
            continue;
        };
        if let Some(path) = first_unquoted(template) {
            compiler.warnings.push(Fault {
                pointer: join(pointer, name),
                offset: 0,
                message: format!(
                    "{path} becomes part of a query as it is, and may come from outside"
                ),
                hint: Some(format!("strings.quote({path}) makes a safe literal of it")),
            });
        }
    }
}

fn first_unquoted(template: &Template) -> Option<String> {
    let outside = |path: &&[String]| matches!(path[0].as_str(), "inputs" | "item" | "steps");
    template
        .names()
        .unquoted()
        .find(outside)
        .map(|path| path.join("."))
}
