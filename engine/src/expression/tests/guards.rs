//! No expression can stall or bloat its caller.

use super::*;

fn limited(source: &str) -> String {
    let expression = compile(source);
    let error = expression.evaluate(&values()).expect_err(source);
    assert_eq!(error.kind, ErrorKind::Limit, "{source}: {error:?}");
    error.message
}

fn refused(source: &str) {
    assert!(
        Expression::compile(source, &scope(), None).is_err(),
        "{}",
        &source[..60.min(source.len())]
    );
}

#[test]
fn nesting_is_bounded_before_it_is_parsed() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{'a':", "}"),
        ("size([", "])"),
        ("!", ""),
        ("-", ""),
        ("true?1:", ""),
        ("true?", ":1"),
        ("true&&(", ")"),
        ("x[", "]"),
        ("[1].map(y,", ")"),
    ] {
        for count in [66, 200, 20_000] {
            refused(&format!("{}1{}", open.repeat(count), close.repeat(count)));
        }
        refused(&open.repeat(700));
    }
    for unit in [
        "1+",
        "x.y.",
        "true&&",
        "x==",
        "[0]",
        "x.trim().",
        "a ? b : ",
        "\"",
        "'",
        "`",
        "r'",
        "\\",
        "1r'",
        "}",
        "//(\n",
    ] {
        for count in [100, 1000, 20_000] {
            let _ = Expression::compile(&unit.repeat(count), &scope(), None);
        }
        let _ = Expression::compile(&format!("{}1", unit.repeat(1000)), &scope(), None);
    }
    assert!(
        Expression::compile(
            &format!("{}1{}", "(".repeat(32), ")".repeat(32)),
            &scope(),
            None
        )
        .is_ok()
    );
    assert!(Expression::compile(&format!("{}1", "1+".repeat(120)), &scope(), None).is_ok());
    refused(&format!("'{}'", "a".repeat(SOURCE_BYTES_MAX)));
}

#[test]
fn brackets_cannot_hide_in_strings() {
    let deep = "(".repeat(2000);
    for source in [
        format!("1r'\\' + {deep}"),
        format!("r'\\' + {deep}"),
        format!("'\\'' + {deep}"),
        format!("//'\n{deep}"),
        format!("`'` + {deep}"),
        format!("'''a' ''' + {deep}"),
        format!("b\"\\\"\" + {deep}"),
        format!("'a\n' + {deep}"),
    ] {
        refused(&source);
    }
}

#[test]
fn comprehensions_are_bounded() {
    assert!(
        problems("[1].map(a, [1].map(b, [1].map(c, c)))")[0].contains("more than 2 comprehensions")
    );
    assert_eq!(eval("[1].map(a, a).map(b, b).map(c, c)"), json!([1]));
    let message = limited("lists.range(100000).map(a, lists.range(100000).map(b, a * b))");
    assert!(message.contains("more than 1000000 steps"), "{message}");
    limited("lists.range(9223372036854775807)");
    limited("lists.range(20000).distinct()");
    limited("lists.range(2000).exists(a, lists.range(2000).exists(b, a + b < 0))");
}

#[test]
fn doubling_is_bounded() {
    let doubled = |rounds: usize| format!("['abcdefgh']{}", ".map(y, y + y)".repeat(rounds));
    assert_eq!(
        eval(&doubled(2)),
        json!(["abcdefghabcdefghabcdefghabcdefgh"])
    );
    limited(&doubled(40));
    limited(&format!("[x]{}", ".map(y, y.replace('', y))".repeat(30)));
    limited(&format!("[x]{}", ".map(y, y.split('').join(y))".repeat(30)));
    limited(&format!("[[x]]{}", ".map(y, y + y)".repeat(40)));
    // A tree of shared parts is small in memory and huge when printed or compared.
    limited(&format!("[x]{}", ".map(y, [y, y])".repeat(60)));
    limited(&format!("[x]{0}== [x]{0}", ".map(y, [y, y])".repeat(60)));
    limited(&format!(
        "[x]{} == []",
        ".map(y, '%s%s'.format([y, y]))".repeat(30)
    ));
    limited("lists.range(200000).map(i, '0123456789012345678901234567890123456789').join() == x");
    assert!(fails("'%.99999999f'.format([1.0])").contains("at most 100 digits"));
}

#[test]
fn cel_bind_is_refused() {
    assert!(problems("cel.bind(y, x + x, y + y)")[0].contains("`cel.bind` is not supported"));
}

#[test]
fn regular_expressions_are_bounded() {
    assert!(problems(r"x.matches('(\\w{100}){10}')")[0].contains("too large"));
    assert!(problems(&format!("x.matches('{}')", "a".repeat(600)))[0].contains("over the limit"));
    assert!(problems(&format!("x.matches('{}')", "(".repeat(500))).len() == 1);
    limited("lists.range(10000).exists(i, x.matches('[a-c]{' + string(i % 3) + '}z'))");
    limited(
        "lists.range(10000).exists(i, matches(lists.range(6000).map(j, '0123456789').join(''), 'z'))",
    );
    assert!(
        limited("lists.range(7000).map(j, '0123456789').join('').matches('(a|b|ab)*c')")
            .contains("65536 bytes")
    );
    assert_eq!(
        eval(r"x.matches('^\\w+$') && x.matches('^[a-z]{4}$')"),
        json!(true)
    );
}

#[test]
fn what_is_read_and_made_is_bounded() {
    let text = "y".repeat(1024 * 1024);
    let big: serde_json::Map<String, Json> = [("x".to_owned(), json!(text))].into_iter().collect();
    let run = |source: &str| compile(source).evaluate(&big);
    assert!(run("x").is_ok());
    assert_eq!(
        run("x + x + x + x + x").expect_err("5 MiB").kind,
        ErrorKind::Limit
    );
    assert_eq!(
        run("[x, x, x, x, x]").expect_err("5 MiB").kind,
        ErrorKind::Limit
    );
    assert_eq!(
        run("lists.range(100).all(i, x.contains('z') == false)")
            .expect_err("100 MiB")
            .kind,
        ErrorKind::Limit
    );
    assert_eq!(run("size(x) == 1048576").expect("1 MiB"), json!(true));
    assert_eq!(
        run("lists.range(100).map(i, x.lowerAscii())[0]")
            .expect_err("100 MiB")
            .kind,
        ErrorKind::Limit
    );
}

#[test]
fn a_limit_is_never_swallowed() {
    limited("lists.range(9223372036854775807) == [] || true");
    limited("[1, 2].exists(i, lists.range(9223372036854775807) == [] || i == 2)");
    limited("has(lists.range(9223372036854775807)[0].a)");
}

#[test]
fn going_through_keys_is_charged_however_soon_it_ends() {
    let wide: Json = (0..20_000)
        .map(|n| (n.to_string(), json!(n)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let values: serde_json::Map<String, Json> = [("item".to_owned(), wide)].into_iter().collect();
    let run = |source: &str| compile(source).evaluate(&values);
    assert_eq!(
        run("size(item) + item.map(k, k).size()").expect("twice"),
        json!(40_000)
    );
    let error = run("lists.range(1000).all(i, item.exists(k, true))").expect_err("20 million keys");
    assert_eq!(error.kind, ErrorKind::Limit);
    struct Lazy(serde_json::Map<String, Json>);
    impl Values for Lazy {
        fn get(&self, _: &str) -> Option<View<'_>> {
            Some(View::Values(self))
        }
        fn names(&self) -> Vec<String> {
            vec!["a".to_owned(); 20_000]
        }
    }
    let lazy = Lazy(serde_json::Map::new());
    let error = compile("lists.range(1000).all(i, size(item) > 0)")
        .evaluate(&lazy)
        .expect_err("20 million names");
    assert_eq!(error.kind, ErrorKind::Limit);
    assert!(lazy.0.is_empty());
}

#[test]
fn a_type_that_doubles_takes_no_time_to_check() {
    let grown = |rounds: usize| format!("[x]{}", ".map(y, {'a': y, 'b': y})".repeat(rounds));
    let source = format!("true ? {0} : {0}", grown(40));
    assert!(Expression::compile(&source, &scope(), None).is_ok());
    let source = format!("{0} == {0}", grown(40));
    assert!(Expression::compile(&source, &scope(), Some(&Type::Bool)).is_ok());
    let source = format!("[{0}, {0}] + [{0}]", grown(30));
    assert!(Expression::compile(&source, &scope(), Some(&Type::list(Type::Dyn))).is_ok());
}

#[test]
fn the_deepest_expression_runs_on_a_small_stack() {
    let run = || {
        for (source, expected) in [
            (format!("{}1", "1+".repeat(120)), json!(121)),
            (format!("{}1{}", "(".repeat(32), ")".repeat(32)), json!(1)),
            (
                format!("size({}1{})", "[".repeat(31), "]".repeat(31)),
                json!(1),
            ),
            (format!("{}1", "false?1:".repeat(64)), json!(1)),
            (format!("{}true", "true&&".repeat(120)), json!(true)),
            (format!("size([1]{})", ".map(y,[y])".repeat(100)), json!(1)),
        ] {
            assert_eq!(eval(&source), expected, "{source}");
        }
    };
    // Half of what a thread of the servers has.
    let thread = std::thread::Builder::new()
        .stack_size(1024 * 1024)
        .spawn(run);
    thread
        .expect("a thread starts")
        .join()
        .expect("it does not overflow");
}

#[test]
fn sorting_what_has_no_order_is_an_error_and_no_panic() {
    for keys in [
        "[1, 'a', 2.5, 'b', true, 3]",
        "[1.0, 0.0 / 0.0, 2.0, 0.0 / 0.0]",
        "[[1], [2]]",
        "[null, null]",
    ] {
        let many = format!("lists.range(50).map(i, {keys}).flatten().sort()");
        assert!(fails(&many).contains("order"), "{keys}");
    }
    assert_eq!(eval("[2u, 1.5, 1, -3].sort()"), json!([-3, 1, 1.5, 2]));
}
