use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(text: &str) -> Node {
    let mut documents = parse(text).expect("a good text");
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0)
}

/// Each problem as `line:column message`.
fn problems(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err("a bad text");
    problems
        .iter()
        .map(|p| format!("{}:{} {}", p.at.line, p.at.column, p.message))
        .collect()
}

fn hint(text: &str) -> String {
    let problems = parse(text).expect_err("a bad text");
    problems[0].hint.clone().unwrap_or_default()
}

#[test]
fn everything_knows_its_place() {
    let node = one("workflow: hello\nsteps:\n  - id: a\n    with: { q: 'x' }\n");
    let steps = node.get("steps").expect("steps");
    let step = &steps.list().expect("a list")[0];
    assert_eq!(step.at, Position { line: 3, column: 5 });
    let with = step.get("with").expect("with");
    assert_eq!(
        with.at,
        Position {
            line: 4,
            column: 11
        }
    );
    assert_eq!(
        with.map().expect("a map")[0].at,
        Position {
            line: 4,
            column: 13
        }
    );
    assert_eq!(
        with.get("q").expect("q").at,
        Position {
            line: 4,
            column: 16
        }
    );
    assert_eq!(
        node.to_json(),
        json!({"workflow": "hello", "steps": [{"id": "a", "with": {"q": "x"}}]})
    );
}

#[test]
fn a_file_holds_several_documents_and_json_is_yaml() {
    let documents = parse("---\nhook: a\n---\nworkflow: b\n---\n").expect("good");
    assert_eq!(documents.len(), 2);
    assert_eq!(parse("# nothing\n").expect("good"), []);
    let text = "{\"a\": [1, 2.5, null, true, \"x\\u00e9\"],\n\t\"b\": {}}";
    assert_eq!(
        one(text).to_json(),
        json!({"a": [1, 2.5, null, true, "xé"], "b": {}})
    );
}

#[test]
fn all_problems_of_a_text_come_at_once() {
    let text = "a: 1\na: 2\nb: &x 3\nc: *x\nd: *y\n<<: {e: 1}\nf: !steps.x\n1: g\n? [k]\n: v\nh: {h: 1, h: 2}\ntrue: i\n";
    assert_eq!(
        problems(text),
        [
            "2:1 `a` is written twice; the first is in line 1",
            "3:4 YAML anchors are not supported: `&x`",
            "4:4 YAML aliases are not supported: `*x`",
            "5:4 YAML aliases are not supported: `*y`",
            "6:1 merge keys (`<<`) are not supported",
            "7:4 YAML tags are not supported: `!steps.x`",
            "8:1 a key must be text, and `1` is not",
            "9:3 a list or mapping cannot be a key",
            "11:11 `h` is written twice; the first is in line 11",
            "12:1 a key must be text, and `true` is not",
        ]
    );
}

#[test]
fn an_error_of_the_parser_comes_after_ours() {
    assert_eq!(problems("a: 1\na: 2\nb: [1\nc: 3\n").len(), 2);
    assert_eq!(
        problems("%YAML 1.2\n---\na: 1\n"),
        ["1:1 YAML directives are not supported"]
    );
}

#[test]
fn every_tag_is_refused() {
    for text in [
        "a: !!str 1",
        "a: !x [1]",
        "a: !<tag:x> {}",
        "!x a: 1",
        "a: ! 1",
        "if: !steps.x.output.ok",
    ] {
        let all = problems(text);
        assert!(all.iter().any(|p| p.contains("tag")), "{text}: {all:?}");
    }
}

#[test]
fn an_unquoted_expression_that_yaml_misreads_says_quote_it() {
    for text in [
        "if: a ? b : c",
        "a: ${{ x ? 'b' : 'c' }}",
        "with: { q: ${{ inputs.x }} }",
        "with: { q: {{ inputs.x }} }",
        "a: {{ inputs.x }}",
        "a: [x ? y : z]",
        "if: a &&\n  b ? c : d",
    ] {
        assert!(
            hint(text).contains("quote the expression"),
            "{text}: {:?}",
            parse(text)
        );
    }
}

#[test]
fn offsets_in_a_scalar_map_to_columns() {
    for (text, needle) in [
        ("k: ab ${{ x }}", "${{"),
        ("k: 'it''s ${{ x }}'", "${{"),
        (r#"k: "é\n\x41\u00e9\t\"${{ x }}""#, "${{"),
        ("k: \"plain ${{ x }}\"", "x"),
    ] {
        let node = one(text);
        let value = node.get("k").expect("k");
        let offset = value
            .scalar()
            .expect("a scalar")
            .text
            .find(needle)
            .expect("there");
        let column = value.position(offset).column;
        let expected =
            text.chars().count() - text[text.find(needle).expect("there")..].chars().count() + 1;
        assert_eq!(column, expected, "{text}");
    }
    let block = one("k: |\n  a\n  ${{ x }}\n");
    let value = block.get("k").expect("k");
    assert_eq!(value.position(4), value.at);
}

#[test]
fn numbers_keep_their_spelling() {
    let node = one("a: 1.10\nb: '1.10'\nc: 1.1\n");
    let scalar = |key| node.get(key).and_then(Node::scalar).expect("a scalar");
    assert!(scalar("a").is_misspelled_number());
    assert_eq!(scalar("a").text, "1.10");
    assert!(!scalar("b").is_misspelled_number());
    assert!(!scalar("c").is_misspelled_number());
}

#[test]
fn bounds_hold() {
    let brackets = "[".repeat(20_000);
    assert_eq!(problems(&brackets).len(), 1);
    let closed = format!("{brackets}{}", "]".repeat(20_000));
    assert!(problems(&closed)[0].contains("nested more than 64 deep"));
    let braces = "{a: ".repeat(20_000);
    assert!(problems(&braces)[0].contains("nested more than 64 deep"));
    let steps: String = (0..100)
        .map(|n| format!("{}- \n", "  ".repeat(n)))
        .collect();
    assert!(problems(&steps)[0].contains("nested more than 64 deep"));
    assert_eq!(problems(&"[".repeat(TEXT_BYTES_MAX)).len(), 1);
    assert!(problems(&"a".repeat(TEXT_BYTES_MAX + 1))[0].contains("over the limit"));
    assert!(problems(&"- a\n".repeat(NODES_MAX))[0].contains("more than 50000 values"));
    let twice: String = (0..1000).map(|_| "a: 1\n").collect();
    assert_eq!(problems(&twice).len(), PROBLEMS_MAX);
    let deep = format!("{}1{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
    assert!(parse(&deep).is_ok());
}

#[test]
fn an_alias_bomb_costs_nothing() {
    let mut text = "a0: &a0 [x, x]\n".to_owned();
    for n in 1..40 {
        text += &format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1);
    }
    assert_eq!(problems(&text).len(), PROBLEMS_MAX);
}

#[test]
fn a_text_of_one_mebibyte_is_read_in_linear_time() {
    // Each of these took a shape that a careless reader is quadratic in; the test would hang, not fail.
    for unit in [
        "a: b\n",
        "'",
        "\"",
        "&a ",
        "*a ",
        "- ",
        "? ",
        "{",
        "}",
        ": ",
        "# x\n",
        "|\n",
        "\t",
        "\u{feff}",
        "é",
        "a ",
        "- - - -\n",
        "---\n",
    ] {
        let text = unit.repeat(TEXT_BYTES_MAX / unit.len());
        let _ = parse(&text);
    }
    let long_keys: String = (0..20_000)
        .map(|n| format!("key-number-{n}: x\n"))
        .collect();
    assert!(parse(&long_keys).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_soup_of_yaml_makes_it_panic(parts in proptest::collection::vec(
        prop_oneof!["[-\\[\\]{}:?,#&*!|>'\"%@` \n\t~<]", "[a-z0-9.]{1,3}", Just("${{".to_owned()), Just("}}".to_owned()), Just("\n  ".to_owned())],
        0..60,
    )) {
        if let Ok(documents) = parse(&parts.concat()) {
            for document in documents {
                walk(&document);
            }
        }
    }

    #[test]
    fn json_reads_as_json(value in json_value()) {
        let text = serde_json::to_string(&value).expect("JSON prints");
        let documents = parse(&text).expect("JSON is YAML");
        prop_assert_eq!(documents[0].to_json(), value);
    }
}

fn walk(node: &Node) {
    let _ = node.to_json();
    if let Some(scalar) = node.scalar() {
        for offset in 0..=scalar.text.len() + 1 {
            assert!(node.position(offset) >= node.at);
        }
    }
    for item in node.list().unwrap_or_default() {
        walk(item);
    }
    for entry in node.map().unwrap_or_default() {
        walk(&entry.value);
    }
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        "[ -~é]{0,12}".prop_map(serde_json::Value::from),
    ];
    let tree = leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    proptest::collection::btree_map("[a-z]{1,6}", tree, 1..4)
        .prop_map(|map| serde_json::Value::Object(map.into_iter().collect()))
}
