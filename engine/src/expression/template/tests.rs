use serde_json::json;

use super::*;

fn scope() -> Scope {
    Scope::new()
        .with("name", Type::String)
        .with("n", Type::Int)
        .with("ratio", Type::Double)
        .with("window", Type::Duration)
        .with("list", Type::list(Type::Int))
        .with("any", Type::Dyn)
        .with_secrets()
}

fn values() -> serde_json::Map<String, Json> {
    let values = json!({
        "name": "Ann", "n": 3, "ratio": 2.0, "window": "90m", "list": [1], "any": {"a": null, "l": [1], "b": true},
    });
    values.as_object().cloned().unwrap_or_default()
}

fn render(text: &str) -> Rendered {
    let template = Template::parse(text, &scope(), None)
        .unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
    template
        .render(&values())
        .unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn value(text: &str) -> Json {
    match render(text) {
        Rendered::Value(value) => value,
        Rendered::Secret(parts) => panic!("{parts:?}"),
    }
}

fn problem(text: &str) -> Problem {
    let mut problems = Template::parse(text, &scope(), None).expect_err(text);
    problems.remove(0)
}

#[test]
fn a_whole_expression_keeps_its_type_and_others_become_text() {
    assert_eq!(value("plain"), json!("plain"));
    assert_eq!(value(""), json!(""));
    assert_eq!(value("${{ n }}"), json!(3));
    assert_eq!(value("${{n}}"), json!(3));
    assert_eq!(value("${{ list }}"), json!([1]));
    assert_eq!(value("${{ any.a }}"), json!(null));
    assert_eq!(
        value("n=${{ n }}, ${{ ratio }} [${{ window }}] ${{ name }} ${{ any.b }}"),
        json!("n=3, 2 [1h30m] Ann true")
    );
    assert_eq!(value(" ${{ n }}"), json!(" 3"));
    assert_eq!(value("${{ n }}${{ n }}"), json!("33"));
    assert_eq!(value("é${{ name }}é"), json!("éAnné"));
}

#[test]
fn the_end_is_the_first_one_outside_strings_and_brackets() {
    assert_eq!(value("${{ '}}' }}"), json!("}}"));
    assert_eq!(value("${{ {'a': {'b': n}} }}"), json!({"a": {"b": 3}}));
    assert_eq!(value("${{ {'a': {'b': n}}.a.b}} x"), json!("3 x"));
    assert_eq!(value("a}} ${{ r'\\}}' }} }}"), json!("a}} \\}} }}"));
}

#[test]
fn the_escape_writes_it_literally() {
    assert_eq!(value("$${{ n }}"), json!("${{ n }}"));
    assert_eq!(value("a $${{ ${{ n }}"), json!("a ${{ 3"));
    assert_eq!(value("$$ ${ $"), json!("$$ ${ $"));
    let literal = Template::parse("$${{ n }}", &scope(), None).expect("literal");
    assert_eq!(literal.literal(), Some("${{ n }}"));
}

#[test]
fn without_its_end_it_is_a_problem_that_says_quote() {
    for text in [
        "${{ n",
        "a ${{ n }",
        "${{ 'n }}",
        "${{ (n }}",
        "${{ a",
        "${{",
    ] {
        let problem = problem(text);
        assert!(
            problem.message.contains("without its end"),
            "{text}: {problem:?}"
        );
        assert!(
            problem
                .hint
                .expect("a hint")
                .contains("quote the expression")
        );
    }
    assert_eq!(problem("ab ${{ n").span, 3..8);
}

#[test]
fn places_are_those_of_the_text() {
    assert_eq!(problem("ab ${{ nope }}").span, 7..11);
    assert_eq!(problem("${{  nope }}").span, 5..9);
    let problems =
        Template::parse("${{ nope }} ${{ n + }} ${{ name.x }}", &scope(), None).expect_err("three");
    assert_eq!(problems.len(), 3);
    let template = Template::parse("é ${{ any.nope }}", &scope(), None).expect("sound");
    let error = template.render(&values()).expect_err("absent");
    assert_eq!(error.span, 7..15);
    let template = Template::parse("${{ any.nope }}", &scope(), None).expect("sound");
    assert_eq!(template.render(&values()).expect_err("absent").span, 4..12);
}

#[test]
fn what_is_no_text_cannot_be_part_of_one() {
    assert!(
        problem("a ${{ list }}")
            .message
            .contains("list(int) cannot be part of a text")
    );
    for text in ["a ${{ any.l }}", "a ${{ any.a }}", "a ${{ any }}"] {
        let template = Template::parse(text, &scope(), None).expect("unknown types");
        assert!(
            template
                .render(&values())
                .expect_err(text)
                .message
                .contains("is no text")
        );
    }
}

#[test]
fn the_expected_type_holds_for_whole_values_and_for_text() {
    let parse = |text: &str, ty: &Type| Template::parse(text, &scope(), Some(ty));
    assert!(parse("${{ n }}", &Type::Int).is_ok());
    assert!(parse("${{ name }}", &Type::Int).is_err());
    assert!(parse("a${{ name }}", &Type::Int).is_err());
    assert!(parse("a${{ n }}", &Type::String).is_ok());
    assert!(parse("1h", &Type::Duration).is_ok());
    assert!(parse("${{ window }}", &Type::String).is_ok());
}

#[test]
fn a_secret_is_a_part_and_never_text() {
    let text = |text: &str| Part::Text(text.to_owned());
    let secret = |name: &str| Part::Secret(name.to_owned());
    assert_eq!(
        render("${{ secrets.token }}"),
        Rendered::Secret(vec![secret("token")])
    );
    assert_eq!(
        render("Bearer ${{ secrets.alerts-token }}, ${{ n }}${{ secrets.b }}."),
        Rendered::Secret(vec![
            text("Bearer "),
            secret("alerts-token"),
            text(", 3"),
            secret("b"),
            text(".")
        ])
    );
    let template = Template::parse(
        "${{ secrets.a }}${{secrets.b}}",
        &scope(),
        Some(&Type::String),
    )
    .expect("text");
    assert_eq!(template.secrets().collect::<Vec<_>>(), ["a", "b"]);
    assert!(Template::parse("${{ secrets.a }}", &scope(), Some(&Type::Int)).is_err());
}

#[test]
fn anything_else_with_a_secret_is_refused() {
    for text in [
        "${{ secrets.a + 'x' }}",
        "${{ secrets }}",
        "${{ size(secrets.a) }}",
        "${{ secrets['a'] }}",
        "${{ (secrets.a) }}",
        "${{ [1].map(y, secrets.a) }}",
        "${{ dyn(secrets).a }}",
        "x ${{ .secrets.a }}",
        "${{ has(secrets.a) }}",
    ] {
        assert!(
            problem(text)
                .message
                .contains("`secrets` cannot be computed with"),
            "{text}"
        );
    }
    let without = Template::parse("${{ secrets.a }}", &Scope::new(), None).expect_err("not here");
    assert!(without[0].message.contains("only in `with`"));
}

#[test]
fn a_text_is_bounded() {
    let big: serde_json::Map<String, Json> =
        [("any".to_owned(), json!("x".repeat(3 * 1024 * 1024)))]
            .into_iter()
            .collect();
    let template = Template::parse("${{ any }}${{ any }}", &scope(), None).expect("sound");
    let error = template.render(&big).expect_err("6 MiB");
    assert_eq!(error.kind, super::super::ErrorKind::Limit);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..proptest::prelude::ProptestConfig::with_cases(256) })]

    #[test]
    fn no_text_makes_it_panic(text in "([$]?[$]\\{\\{|\\}\\}|\\PC|n|'|\"|\\\\| ){0,40}") {
        if let Ok(template) = Template::parse(&text, &scope(), None) {
            let _ = template.render(&values());
        }
        let _ = unwrapped(&text);
    }

    #[test]
    fn text_without_braces_stays_as_it_is(text in "[^$]{0,60}") {
        proptest::prop_assert_eq!(value(&text), json!(text));
    }
}
