//! What holds for the language as a whole. Functions are tested in `functions/tests.rs`.

mod guards;
mod properties;

use serde_json::json;

use super::*;

/// A scope like that of a step, and values that fit it.
fn scope() -> Scope {
    let output = Type::from_schema(&json!({
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "count": {"type": "integer"},
            "value": {"type": "number"},
            "note": {"type": ["string", "null"]},
            "series": {"type": "array", "items": {
                "type": "object",
                "properties": {
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "value": {"type": "number"},
                },
            }},
        },
    }));
    let step =
        |output: Type| Type::object([("status", Type::String), ("output", Type::nullable(output))]);
    let alert = Type::object([("labels", Type::Labels), ("status", Type::String)]);
    Scope::new()
        .with(
            "inputs",
            Type::object([
                ("name", Type::String),
                ("window", Type::Duration),
                ("since", Type::Timestamp),
                ("ratio", Type::Double),
                ("n", Type::Int),
                ("waits", Type::list(Type::Duration)),
                ("any", Type::Dyn),
            ]),
        )
        .with(
            "steps",
            Type::object([("rate", step(output)), ("other", step(Type::Dyn))]),
        )
        .with(
            "event",
            Type::object([("alert", alert.clone()), ("alerts", Type::list(alert))]),
        )
        .with("item", Type::Dyn)
        .with("x", Type::String)
}

fn values() -> serde_json::Map<String, Json> {
    let values = json!({
        "inputs": {
            "name": "Ann", "window": "1h30m", "since": "2026-01-31T08:00:00+01:00", "ratio": 2, "n": 3,
            "waits": ["90s", "1h"], "any": {"a": [1, 2.5, "t", null], "b": 7},
        },
        "steps": {
            "rate": {"status": "succeeded", "output": {
                "id": "s1", "count": 2, "value": 4, "note": null, "series": [
                    {"labels": {"instance": "a:9", "job": "api"}, "value": 1.5},
                    {"labels": {"instance": "b:9"}, "value": 3},
                ],
            }},
            "other": {"status": "skipped", "output": null},
        },
        "event": {
            "alert": {"labels": {"severity": "page", "with-dash": "d"}, "status": "firing"},
            "alerts": [{"labels": {"severity": "page"}, "status": "firing"}, {"labels": {}, "status": "resolved"}],
        },
        "item": {"host": "h1", "port": 80},
        "x": "text",
    });
    match values {
        Json::Object(map) => map,
        _ => unreachable!("it is an object"),
    }
}

fn compile(source: &str) -> Expression {
    Expression::compile(source, &scope(), None)
        .unwrap_or_else(|problems| panic!("{source}: {problems:?}"))
}

fn eval(source: &str) -> Json {
    compile(source)
        .evaluate(&values())
        .unwrap_or_else(|error| panic!("{source}: {error:?}"))
}

fn fails(source: &str) -> String {
    let error = compile(source).evaluate(&values()).expect_err(source);
    assert_eq!(error.kind, ErrorKind::Failed, "{source}: {error:?}");
    error.message
}

/// The problems of a source: `3..7 message (hint)`.
fn problems(source: &str) -> Vec<String> {
    problems_for(source, None)
}

fn problems_for(source: &str, expected: Option<&Type>) -> Vec<String> {
    let Err(problems) = Expression::compile(source, &scope(), expected) else {
        panic!("{source} is no problem");
    };
    let shown = problems.into_iter().map(|problem| {
        let hint = problem
            .hint
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default();
        format!(
            "{}..{} {}{hint}",
            problem.span.start, problem.span.end, problem.message
        )
    });
    shown.collect()
}

#[test]
fn values_keep_their_types() {
    assert_eq!(eval("1 + 2"), json!(3));
    assert_eq!(eval("inputs.ratio"), json!(2.0));
    assert_eq!(eval("inputs.ratio * 1.5"), json!(3.0));
    assert_eq!(eval("steps.rate.output.value / 8.0"), json!(0.5));
    assert_eq!(eval("steps.rate.output.count + 1"), json!(3));
    assert_eq!(eval("item.port + 1"), json!(81));
    assert_eq!(
        eval("{'a': [1, 2.0, true, null, 'x']}"),
        json!({"a": [1, 2.0, true, null, "x"]})
    );
    assert_eq!(eval("inputs"), values()["inputs"]);
    assert_eq!(
        eval("steps.rate.output.series[1].labels"),
        json!({"instance": "b:9"})
    );
    assert_eq!(
        eval("9223372036854775807u + 9u"),
        json!(9_223_372_036_854_775_816_u64)
    );
}

#[test]
fn durations_and_timestamps_are_typed_and_print_as_the_contract_says() {
    assert_eq!(eval("inputs.window"), json!("1h30m"));
    assert_eq!(eval("inputs.window + duration('30m')"), json!("2h"));
    assert_eq!(
        eval("duration('7d') - duration('1ms')"),
        json!("6d23h59m59s999ms")
    );
    assert_eq!(eval("duration('-1.5s')"), json!("-1s500ms"));
    assert_eq!(eval("inputs.since"), json!("2026-01-31T07:00:00Z"));
    assert_eq!(
        eval("inputs.since + inputs.window"),
        json!("2026-01-31T08:30:00Z")
    );
    assert_eq!(
        eval("inputs.since - timestamp('2026-01-31T06:00:00Z')"),
        json!("1h")
    );
    assert_eq!(eval("inputs.since.getHours('Europe/Berlin')"), json!(8));
    assert_eq!(
        eval("inputs.waits.map(w, w + duration('1s'))"),
        json!(["1m31s", "1h1s"])
    );
    assert_eq!(eval("duration('3600s') in inputs.waits"), json!(true));
    assert_eq!(eval("inputs.waits[0] < inputs.window"), json!(true));
}

#[test]
fn absent_labels_read_as_empty() {
    assert_eq!(eval("event.alert.labels.severity == 'page'"), json!(true));
    assert_eq!(eval("event.alert.labels.team"), json!(""));
    assert_eq!(
        eval("event.alert.labels['with-dash'] + event.alert.labels['without-dash']"),
        json!("d")
    );
    assert_eq!(eval("event.alert.labels[x]"), json!(""));
    assert_eq!(eval("has(event.alert.labels.team)"), json!(false));
    assert_eq!(
        eval("event.alert.labels.?team.orValue('none')"),
        json!("none")
    );
    assert_eq!(
        eval("event.alerts.filter(a, a.labels.severity == '').map(a, a.status)"),
        json!(["resolved"])
    );
    assert_eq!(eval("'team' in event.alert.labels"), json!(false));
    assert_eq!(eval("size(event.alert.labels)"), json!(2));
    assert_eq!(
        eval("event.alert.labels.transformList(k, v, k + '=' + v)"),
        json!(["severity=page", "with-dash=d"])
    );
}

#[test]
fn what_is_absent_is_an_error_unless_it_is_optional() {
    assert!(fails("item.nope").contains("there is no `nope`"));
    assert!(fails("item.host.name").contains("text has no field `name`"));
    assert!(fails("steps.other.output.id").contains("null has no field `id`"));
    assert_eq!(
        eval("steps.other.?output.?id.orValue('none')"),
        json!("none")
    );
    assert_eq!(eval("steps.rate.?output.?id.orValue('none')"), json!("s1"));
    assert_eq!(eval("item.?nope.?deeper.orValue(7)"), json!(7));
    assert_eq!(eval("item.?host.hasValue()"), json!(true));
    assert_eq!(eval("inputs.any.a[?9].orValue('?')"), json!("?"));
    assert_eq!(
        eval("has(item.nope) || has(steps.other.output.id)"),
        json!(false)
    );
    assert_eq!(eval("[?item.?nope, ?item.?host]"), json!(["h1"]));
    assert_eq!(
        eval("{?'a': item.?nope, ?'b': item.?host}"),
        json!({"b": "h1"})
    );
    assert_eq!(eval("item.?port.optMap(p, p + 1).orValue(0)"), json!(81));
    assert_eq!(eval("item.?nope.optFlatMap(p, p.?q).orValue(0)"), json!(0));
    assert_eq!(eval("steps.other.output == null"), json!(true));
}

#[test]
fn unknown_names_fields_and_functions_are_problems_with_the_nearest_name() {
    assert_eq!(
        problems("input.name"),
        ["0..5 unknown name `input` (did you mean `inputs`?)"]
    );
    assert_eq!(
        problems("rate.output"),
        ["0..4 unknown name `rate` (did you mean `steps.rate`?)"]
    );
    assert_eq!(
        problems("steps.rat.output"),
        ["0..9 there is no field `rat` (did you mean `rate`?)"]
    );
    assert_eq!(
        problems("1 + size(steps.rate.output.serie)"),
        ["9..32 there is no field `serie` (did you mean `series`?)"]
    );
    assert_eq!(
        problems("steps.rate.output.series.filter(s, s.labls.job == 'x')"),
        ["35..42 there is no field `labls` (did you mean `labels`?)"]
    );
    assert_eq!(
        problems("x.startWith('a')"),
        ["0..16 unknown function `startWith` (did you mean `startsWith`?)"]
    );
    assert_eq!(
        problems("upperAscii(x)"),
        ["0..13 unknown function `upperAscii` (it is called on a value: x.upperAscii(…))"]
    );
    assert_eq!(
        problems("quote(x)"),
        ["0..8 unknown function `quote` (did you mean `strings.quote`?)"]
    );
    assert_eq!(
        problems("math.ab(1)"),
        ["0..10 unknown function `math.ab` (did you mean `math.abs`?)"]
    );
    assert_eq!(problems("has(steps.rate.output.nope)").len(), 1);
    assert_eq!(problems("steps.rate.output.?nope.orValue(1)").len(), 1);
}

#[test]
fn all_problems_come_at_once() {
    let found = problems("inputs.nam + nope(x) + steps.rat.output");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn types_that_do_not_fit_are_problems() {
    for (source, message) in [
        (
            "x == 5",
            "string and int cannot be compared (use string(x), or int(x) of the text)",
        ),
        (
            "inputs.ratio + 1",
            "`+` does not take (double, int) (int and double do not mix: use double(x), or write 1.0)",
        ),
        (
            "inputs.ratio > 1",
            "double and int cannot be compared (int and double do not mix: use double(x), or write 1.0)",
        ),
        (
            "x + 1",
            "`+` does not take (string, int) (use string(x), or int(x) of the text)",
        ),
        ("size(5)", "`size` does not take (int)"),
        ("x.replace('a')", "`replace` takes 2 or 3 arguments, not 1"),
        (
            "x && true",
            "true or false is needed, and this is string (compare it with something: ==, !=, >, size(x) > 0)",
        ),
        (
            "inputs.window > '5m'",
            "duration and string cannot be compared (write duration('1h30m'))",
        ),
        (
            "steps.rate.output.series.labels",
            "list(object) has no field `labels` (take an element first, as in x[0], or go through them: x.map(y, …))",
        ),
        (
            "x in 'abc'",
            "string cannot be in string (for text inside text: x.contains(y))",
        ),
        (
            "5 in event.alert.labels",
            "int cannot be in labels (in takes an element and a list, or a key and a mapping)",
        ),
        (
            "inputs.n.map(y, y)",
            "int has no elements to go through (only lists and mappings have elements)",
        ),
        ("{1: 2}", "a key is text, not int (use string(x))"),
        (
            "item.?a",
            "the value may be absent (say what holds then: .orValue(…))",
        ),
        (
            "item.?a == 1 ? item.?b : 1",
            "optional(dyn) and int cannot be compared (say what holds when it is absent: .orValue(…))",
        ),
        (
            "type(x)",
            "a type cannot leave an expression (compare it: type(x) == int)",
        ),
        (
            "b'x'",
            "bytes cannot leave an expression (use base64.encode(x))",
        ),
        (
            "inputs.n[0]",
            "int cannot be indexed by int (a list is indexed by int, a mapping by text)",
        ),
        ("x.matches('a(')", "no regular expression: unclosed group"),
    ] {
        let found = problems(source);
        assert!(found[0].ends_with(message), "{source}: {found:?}");
    }
}

#[test]
fn unknown_types_are_decided_by_the_values() {
    assert_eq!(eval("(item.port + inputs.any.b) > 80"), json!(true));
    assert_eq!(eval("-item.port - 1 < 0"), json!(true));
    assert_eq!(eval("inputs.any.a.exists(e, e == 't')"), json!(true));
    assert_eq!(eval("item.port == 80.0 && item.port > 79.5"), json!(true));
    assert!(fails("item.port + 1.5").contains("int and double do not mix, use double(x)"));
    assert!(fails("item.host - 1").contains("`-` does not take (string, int)"));
    assert_eq!(
        eval("type(item.port) == int && type(inputs.window) == duration"),
        json!(true)
    );
}

#[test]
fn the_result_must_be_of_the_type_that_is_expected() {
    assert_eq!(
        problems_for("inputs.n", Some(&Type::String)),
        ["0..8 this is int, and string is needed (use string(x))"]
    );
    assert_eq!(
        problems_for("size(x)", Some(&Type::Bool)),
        [
            "0..7 this is int, and bool is needed (compare it with something: ==, !=, >, size(x) > 0)"
        ]
    );
    let double = Expression::compile("inputs.n", &scope(), Some(&Type::Double))
        .expect("a whole number fits");
    assert_eq!(double.evaluate(&values()).expect("a value"), json!(3.0));
    assert!(Expression::compile("inputs.window", &scope(), Some(&Type::String)).is_ok());
    assert!(Expression::compile("item.x", &scope(), Some(&Type::Bool)).is_ok());
    let condition = Expression::condition("item.host", &scope()).expect("unknown type");
    let error = condition.test(&values()).expect_err("text is no condition");
    assert_eq!(error.message, "true or false is needed, not text");
}

#[test]
fn conditions_may_leave_the_braces_out() {
    for text in [
        "inputs.n > 2",
        "${{ inputs.n > 2 }}",
        "  ${{inputs.n > 2}} ",
        "inputs.n>2",
    ] {
        let condition = Expression::condition(text, &scope()).expect(text);
        assert!(condition.test(&values()).expect(text));
    }
    for text in [
        "a ${{ inputs.n > 2 }}",
        "${{ true }} && ${{ true }}",
        "",
        "  ",
        "${{ }}",
        "${{ true",
    ] {
        assert!(Expression::condition(text, &scope()).is_err(), "{text}");
    }
    let problems = Expression::condition(" ${{ nope }}", &scope()).expect_err("unknown");
    assert_eq!(problems[0].span, 5..9);
}

#[test]
fn errors_of_the_parser_say_what_is_meant() {
    for (source, hint) in [
        ("x = 'a'", "equality is =="),
        ("x == 'a' and true", "and is &&"),
        ("not x", "write f(x)"),
        ("x | upper", "there are no pipes"),
    ] {
        let found = problems(source).join(" ");
        assert!(
            found.contains(hint) || source == "not x",
            "{source}: {found}"
        );
    }
    assert_eq!(problems("x + // c").len(), 1);
    assert_eq!(problems("'abc").len(), 1);
    assert_eq!(problems("(x").len(), 1);
}

#[test]
fn names_are_paths_as_far_as_they_are_known() {
    let names = |source: &str| -> Vec<String> {
        let expression = compile(source);
        expression
            .names()
            .paths()
            .map(|path| path.join("."))
            .collect()
    };
    assert_eq!(
        names("steps.rate.output.series.map(s, s.labels.instance + inputs.name)"),
        ["inputs.name", "steps.rate.output.series"]
    );
    assert_eq!(names("steps['rate'].output"), ["steps.rate.output"]);
    assert_eq!(names("size(steps) > 0"), ["steps"]);
    assert_eq!(
        names("steps.rate.output.series[inputs.n].value"),
        ["inputs.n", "steps.rate.output.series"]
    );
    assert_eq!(
        names("has(steps.other.output) ? item : x"),
        ["item", "steps.other.output", "x"]
    );
    assert_eq!(
        names("math.abs(1) + size([1].map(y, y))"),
        Vec::<String>::new()
    );
    let expression =
        compile("strings.quote(inputs.name) + x + steps.other.status + string(steps.rate.status)");
    let unquoted: Vec<String> = expression
        .names()
        .unquoted()
        .map(|path| path.join("."))
        .collect();
    assert_eq!(unquoted, ["steps.other.status", "steps.rate.status", "x"]);
    let under: Vec<&str> = expression.names().under("steps").collect();
    assert_eq!(under, ["other", "rate"]);
    assert!(expression.names().mentions("inputs") && !expression.names().whole("steps"));
    assert!(compile("size(steps) > 0").names().whole("steps"));
}

#[test]
fn a_side_that_decides_is_enough() {
    assert_eq!(eval("item.nope == 1 || true"), json!(true));
    assert_eq!(eval("item.nope == 1 && false"), json!(false));
    assert!(fails("item.nope == 1 && true").contains("nope"));
    assert_eq!(
        eval("inputs.any.a.exists(e, e > 2 || e == 't')"),
        json!(true)
    );
    assert_eq!(
        eval("inputs.any.a.exists(e, e.k == 1) || true"),
        json!(true)
    );
    assert!(fails("inputs.any.a.all(e, e.k == 1)").contains("has no field `k`"));
    assert_eq!(
        eval("[1, 2].all(e, e > item.nope || e == 5 - 5) || true"),
        json!(true)
    );
}

#[test]
fn comprehensions_go_through_lists_and_mappings() {
    assert_eq!(eval("[1, 2, 3].filter(n, n > 1)"), json!([2, 3]));
    assert_eq!(eval("[1, 2, 3].map(n, n > 1, n * 2)"), json!([4, 6]));
    assert_eq!(
        eval("[1, 2, 3].exists_one(n, n > 2) && [1, 2].all(n, n > 0)"),
        json!(true)
    );
    assert_eq!(eval("{'b': 1, 'a': 2}.map(k, k)"), json!(["a", "b"]));
    assert_eq!(
        eval("{'b': 1, 'a': 2}.transformMap(k, v, v > 1, v + 1)"),
        json!({"a": 3})
    );
    assert_eq!(
        eval("['a', 'b'].transformList(i, v, string(i) + v)"),
        json!(["0a", "1b"])
    );
    assert_eq!(eval("['bb', 'a'].sortBy(s, size(s))"), json!(["a", "bb"]));
    assert_eq!(
        eval("[1, 2].map(n, [1, 2].map(m, n * m))"),
        json!([[1, 2], [2, 4]])
    );
    assert_eq!(
        eval("[[1, 2], [3]].map(n, n.map(m, m + size(n)))"),
        json!([[3, 4], [4]])
    );
    assert!(problems("[1].map(x, x)")[0].contains("`x` is in scope already"));
    assert!(problems("[1].map(1, 2)")[0].contains("a variable is needed"));
}

#[test]
fn values_are_asked_for_only_where_they_are_touched() {
    struct Careful(Json);
    impl Values for Careful {
        fn get(&self, name: &str) -> Option<View<'_>> {
            match name {
                "item" => Some(View::Json(&self.0)),
                "steps" => Some(View::Values(self)),
                "rate" => Some(View::Json(&self.0)),
                "other" => Some(View::Missing("blob 7".to_owned())),
                other => panic!("nobody asked for {other}"),
            }
        }
        fn names(&self) -> Vec<String> {
            vec!["rate".to_owned(), "other".to_owned()]
        }
    }
    let values = Careful(json!({"host": "h", "status": "succeeded"}));
    let answer = |source: &str| compile(source).evaluate(&values);
    assert_eq!(answer("item.host").expect("a value"), json!("h"));
    assert_eq!(
        answer("steps.rate.status").expect("a value"),
        json!("succeeded")
    );
    assert_eq!(answer("size(steps)").expect("a value"), json!(2));
    assert_eq!(
        answer("true || inputs.n > 1").expect("a value"),
        json!(true)
    );
    let missing = answer("steps.other.output == 1 || true").expect_err("not there yet");
    assert_eq!(
        (missing.kind, missing.message.as_str()),
        (ErrorKind::Missing, "blob 7")
    );
    assert_eq!(missing.span, 0..11);
    assert_eq!(
        answer("dyn(steps).map(s, s)").expect("a value"),
        json!(["other", "rate"])
    );
}
