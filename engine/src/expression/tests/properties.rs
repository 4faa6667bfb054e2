//! What holds for every source.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_source_makes_it_panic(source in "\\PC{0,120}") {
        if let Ok(expression) = Expression::compile(&source, &scope(), None) {
            let _ = expression.evaluate(&values());
        }
    }

    #[test]
    fn no_soup_of_cel_makes_it_panic(parts in proptest::collection::vec(prop_oneof![
        proptest::sample::select(vec![
            "x", "item", "inputs", "steps", "event", ".rate", ".output", ".series", ".?a", "[0]", "[?1]", "1", "2.5",
            "3u", "'a'", "b'c'", "null", "true", "size(", ")", "[", "]", "{'k': ", "}", ", ", " + ", " - ", " * ", " / ",
            " % ", " == ", " < ", " in ", " && ", " || ", " ? ", " : ", "!", "-", ".map(y, ", ".filter(z, ", "y", "z",
            ".orValue(", ".join(", ".split(", ".format(", "'%s'", "duration(", "timestamp(", "math.abs(", "lists.range(",
            ".sort()", ".flatten()", "string(", "int(", "9223372036854775807", "1e308", ".substring(", ".charAt(",
            ".getHours(", "inputs.since", "inputs.window", "has(", ".labels.a", "event.alert", "strings.quote(",
        ]).prop_map(str::to_owned),
    ], 1..20)) {
        if let Ok(expression) = Expression::compile(&parts.concat(), &scope(), None) {
            let first = expression.evaluate(&values());
            prop_assert_eq!(first, expression.evaluate(&values()));
        }
    }

    /// What the checker says of a result holds: its values have that type.
    #[test]
    fn the_type_of_a_result_is_the_checked_one(left in operand(), right in operand(), op in operator()) {
        let source = format!("{left} {op} {right}");
        if let Ok(expression) = Expression::compile(&source, &scope(), None)
            && let Ok(value) = expression.evaluate(&values())
        {
            let fits = match expression.ty() {
                Type::Bool => value.is_boolean(),
                Type::Int | Type::Uint => value.is_i64() || value.is_u64(),
                Type::Double => value.is_f64(),
                Type::String | Type::Duration | Type::Timestamp => value.is_string(),
                Type::List(_) => value.is_array(),
                _ => true,
            };
            prop_assert!(fits, "{} is {:?}: {}", source, expression.ty(), value);
        }
    }
}

fn operand() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "1",
        "2.5",
        "3u",
        "'a'",
        "true",
        "null",
        "x",
        "item.port",
        "inputs.n",
        "inputs.ratio",
        "inputs.window",
        "inputs.since",
        "inputs.waits",
        "[1, 2]",
        "['a']",
        "item.host",
        "steps.rate.output.value",
        "inputs.any.b",
    ])
}

fn operator() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||",
    ])
}
