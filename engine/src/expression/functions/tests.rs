use serde_json::{Value as Json, json};

use super::super::{Expression, Scope, Type};
use super::all;

fn eval(source: &str) -> Result<Json, String> {
    let scope = Scope::new().with("d", Type::Dyn);
    let expression = Expression::compile(source, &scope, None)
        .map_err(|problems| problems[0].message.clone())?;
    let values: serde_json::Map<String, Json> =
        [("d".to_owned(), json!({"n": 1, "s": "é", "l": [3, 1, 2]}))]
            .into_iter()
            .collect();
    expression.evaluate(&values).map_err(|error| error.message)
}

fn check(cases: &[(&str, Json)]) {
    for (source, expected) in cases {
        assert_eq!(eval(source).as_ref(), Ok(expected), "{source}");
    }
}

fn check_errors(cases: &[(&str, &str)]) {
    for (source, part) in cases {
        let error = eval(source).expect_err(source);
        assert!(error.contains(part), "{source}: {error}");
    }
}

#[test]
fn conversions() {
    check(&[
        ("int('42') + int(2.9) + int(-2.9) + int(3u)", json!(45)),
        ("int(timestamp('1970-01-01T00:01:00Z'))", json!(60)),
        ("double('1.5') + double(2)", json!(3.5)),
        ("uint(5) + uint('6')", json!(11)),
        (
            "string(1) + string(2.0) + string(2.5) + string(true) + string(1u)",
            json!("122.5true1"),
        ),
        ("string(1e300) + ' ' + string(1e-7)", json!("1e300 1e-7")),
        (
            "string(b'ab') + string(duration('90m')) + string(timestamp(0))",
            json!("ab1h30m1970-01-01T00:00:00Z"),
        ),
        ("bool('true') && !bool('false')", json!(true)),
        (
            "size('héé') + size(b'ab') + size([1]) + size({'a': 1}) + 'ab'.size()",
            json!(9),
        ),
        (
            "string(type(1)) + string(type('a')) + string(type([])) + string(type(null))",
            json!("intstringlistnull_type"),
        ),
        ("dyn(1) == 1.0", json!(true)),
    ]);
    check_errors(&[
        ("int('x')", "`x` is no int"),
        ("int(1e19)", "out of the range of int"),
        ("uint(-1)", "out of the range of uint"),
        ("9223372036854775807 + 1", "out of range"),
        ("-(-9223372036854775807 - 1)", "out of range"),
        ("(-9223372036854775807 - 1) / -1", "out of range"),
        ("(-9223372036854775807 - 1) % -1", "out of range"),
        ("1 / 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("1.0 / 0.0", "is no number that JSON has"),
        ("string(b'\\xff')", "no UTF-8"),
        (
            "duration('99999999999999999999999999999999999h')",
            "is no duration",
        ),
        ("duration('1x')", "is no duration"),
        ("duration('')", "is no duration"),
        ("timestamp('yesterday')", "is no time"),
        ("timestamp('-000001-01-01T00:00:00Z')", "is no time"),
        ("timestamp(9223372036854775807)", "out of the range"),
        (
            "timestamp('9999-12-30T00:00:00Z') + duration('10d')",
            "out of range",
        ),
        (
            "timestamp('0001-01-01T00:00:00Z') - duration('10d')",
            "out of range",
        ),
    ]);
}

#[test]
fn strings() {
    check(&[
        (
            "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')",
            json!(true),
        ),
        ("'héllo'.charAt(1) + 'abc'.charAt(3)", json!("é")),
        (
            "'héllo héllo'.indexOf('llo') * 100 + 'héllo héllo'.indexOf('llo', 3)",
            json!(208),
        ),
        (
            "'abcabc'.lastIndexOf('bc') * 100 + 'abcabc'.lastIndexOf('bc', 3)",
            json!(401),
        ),
        ("'x'.indexOf('y') + 'x'.lastIndexOf('y')", json!(-2)),
        ("'ÄbC'.lowerAscii() + 'äbC'.upperAscii()", json!("ÄbcäBC")),
        (
            "'aaa'.replace('a', 'b') + 'aaa'.replace('a', 'b', 2) + 'aaa'.replace('a', 'b', 0)",
            json!("bbbbbaaaa"),
        ),
        (
            "'a,b,c'.split(',') + 'a,b,c'.split(',', 2) + 'ab'.split('')",
            json!(["a", "b", "c", "a", "b,c", "a", "b"]),
        ),
        ("'a,b'.split(',', 0)", json!([])),
        (
            "'héllo'.substring(1) + 'héllo'.substring(1, 3)",
            json!("éllo".to_owned() + "él"),
        ),
        ("' a b\\t'.trim() + 'héy'.reverse()", json!("a byéh")),
        (
            "['a', 'b'].join() + ['a', 'b'].join('-') + [].join('x')",
            json!("aba-b"),
        ),
        (
            "'%s %d %.2f %x %X %o %b %e %%'.format(['a', -5, 1.5, 255, 'k', 8, true, 150.0])",
            json!("a -5 1.50 ff 6B 10 1 1.500000e+02 %"),
        ),
        (
            "'%s'.format([[1, 'a', {'b': null}]])",
            json!("[1,\"a\",{\"b\":null}]"),
        ),
    ]);
    check_errors(&[
        ("'abc'.charAt(4)", "out of range"),
        ("'abc'.substring(-1)", "out of range"),
        ("'abc'.substring(2, 1)", "before the beginning"),
        ("[d.n].join()", "takes text, and element 0 is int"),
        ("'%s %s'.format(['a'])", "more than the 1 values"),
        ("'%d'.format(['a'])", "%d does not take string"),
        ("'%q'.format(['a'])", "%q is not known"),
        ("'%'.format([])", "ends after %"),
        ("'%.101f'.format([1.0])", "at most 100"),
    ]);
}

#[test]
fn quoted_text_is_one_literal_for_promql_and_logsql() {
    check(&[
        ("strings.quote('a')", json!("\"a\"")),
        (
            "strings.quote('say \"hi\" \\\\ {x=~\".*\"} \\' `')",
            json!(r#""say \"hi\" \\ {x=~\".*\"} ' `""#),
        ),
        ("strings.quote('a\\nb\\tc\\rd')", json!(r#""a\nb\tc\rd""#)),
        (
            "strings.quote('\\u0000\\u0007\\u001b\\u2028é')",
            json!(r#""\u0000\u0007\u001b\u2028é""#),
        ),
    ]);
}

#[test]
fn lists() {
    check(&[
        (
            "[3, 1, 2].sort() + [3, 1].reverse() + [1, 2, 3].slice(1, 3)",
            json!([1, 2, 3, 1, 3, 2, 3]),
        ),
        ("[1, [2, [3]]].flatten()", json!([1, 2, [3]])),
        ("[1, [2, [3]]].flatten(5)", json!([1, 2, 3])),
        ("[1, 1.0, 'a', 'a', 2].distinct()", json!([1, "a", 2])),
        ("lists.range(3) + lists.range(-1)", json!([0, 1, 2])),
        (
            "[7, 8].first().orValue(0) + [7, 8].last().orValue(0) + [].first().orValue(1)",
            json!(16),
        ),
        ("d.l.sort()[0] + d.l[1]", json!(2)),
        ("{'a': 1, 'b': 1} + {'b': 2}", json!({"a": 1, "b": 2})),
        (
            "1 in [1, 2] && !('z' in ['a']) && 'a' in {'a': 1}",
            json!(true),
        ),
        ("[1, {'a': [2.0]}] == [1.0, {'a': [2]}]", json!(true)),
    ]);
    check_errors(&[
        ("[1, 'a'].sort()", "have no order"),
        ("[1, 2].slice(1, 5)", "out of range"),
        ("[1][1]", "there is no element 1"),
        ("[1][-1]", "there is no element -1"),
        ("{'a': 1, 'a': 2}", "there twice"),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("math.greatest(1, 3, 2) + math.least([4, 5])", json!(7)),
        ("math.greatest([1.5, 2.5])", json!(2.5)),
        (
            "[math.ceil(1.2), math.floor(-1.2), math.round(-1.5), math.trunc(1.9)]",
            json!([2.0, -2.0, -2.0, 1.0]),
        ),
        ("math.abs(-3) + math.sign(-5)", json!(2)),
        (
            "[math.abs(-1.5), math.sign(0.0), math.sqrt(9)]",
            json!([1.5, 0.0, 3.0]),
        ),
        (
            "math.isNaN(0.0 / 0.0) && math.isInf(1.0 / 0.0) && math.isFinite(1.0)",
            json!(true),
        ),
        (
            "[math.bitAnd(6, 3), math.bitOr(6, 3), math.bitXor(6, 3), math.bitNot(0)]",
            json!([2, 7, 5, -1]),
        ),
        (
            "[math.bitShiftLeft(1, 4), math.bitShiftLeft(1, 64), math.bitShiftRight(-1, 63)]",
            json!([16, 0, 1]),
        ),
        ("7 / 2 + 7 % 4 - -1 * 2", json!(8)),
        (
            "dyn(18446744073709551615u) > 9223372036854775807.0 && dyn(9007199254740993) > 9007199254740992.0",
            json!(true),
        ),
        ("0.0 / 0.0 == 0.0 / 0.0 || 0.0 / 0.0 < 1.0", json!(false)),
    ]);
    check_errors(&[
        ("math.greatest([])", "the list is empty"),
        ("math.greatest(1, 2.0)", "does not take"),
        ("math.abs(-9223372036854775807 - 1)", "out of range"),
        ("math.bitShiftLeft(1, -1)", "not negative"),
    ]);
}

#[test]
fn times() {
    check(&[
        (
            "timestamp('2024-02-29T23:59:58.123Z').getFullYear()",
            json!(2024),
        ),
        (
            "[0].map(i, timestamp('2024-02-29T23:59:58.123Z')).map(t, [t.getMonth(), t.getDate(), t.getDayOfMonth(), t.getDayOfWeek(), t.getDayOfYear(), t.getHours(), t.getMinutes(), t.getSeconds(), t.getMilliseconds()])[0]",
            json!([1, 29, 28, 4, 59, 23, 59, 58, 123]),
        ),
        (
            "timestamp('2024-07-01T23:00:00Z').getDate('Europe/Berlin')",
            json!(2),
        ),
        (
            "timestamp('2024-07-01T23:00:00Z').getHours('-05:30')",
            json!(17),
        ),
        (
            "timestamp('1969-12-31T23:59:59.5Z').getMilliseconds()",
            json!(500),
        ),
        (
            "[0].map(i, duration('1h1m1s500ms')).map(t, [t.getHours(), t.getMinutes(), t.getSeconds(), t.getMilliseconds()])[0]",
            json!([1, 61, 3661, 500]),
        ),
        (
            "timestamp('2024-01-02T00:00:00Z') > timestamp('2024-01-01T23:00:00-01:00')",
            json!(false),
        ),
        ("duration('1d2h3m4s5ms6us7ns')", json!("1d2h3m4s5ms6us7ns")),
        ("duration('1.5h') == duration('90m')", json!(true)),
    ]);
    check_errors(&[
        ("timestamp(0).getHours('Nowhere')", "is no time zone"),
        ("timestamp(0).getHours('2000000000:00')", "is no time zone"),
        ("timestamp(0).getHours('+99:99')", "is no time zone"),
    ]);
}

#[test]
fn optionals_and_encoders() {
    check(&[
        (
            "optional.of(1).or(optional.none()).value() + optional.none().orValue(2)",
            json!(3),
        ),
        (
            "optional.ofNonZeroValue('').hasValue() || optional.ofNonZeroValue([]).hasValue()",
            json!(false),
        ),
        ("optional.ofNonZeroValue('a').orValue('b')", json!("a")),
        ("base64.encode(b'hi')", json!("aGk=")),
        (
            "string(base64.decode('aGk=')) + string(base64.decode('aGk'))",
            json!("hihi"),
        ),
    ]);
    check_errors(&[
        ("optional.none().value()", "absent"),
        ("string(base64.decode('!'))", "no base64"),
    ]);
}

/// Every signature can be met and answers or fails, whatever it is given: none contradicts its own table.
#[test]
fn every_function_takes_what_its_table_says() {
    use super::super::meter::Meter;
    use super::super::value::Value;
    use super::P;
    let sample = |param: &P| match param {
        P::Any | P::T | P::String => Value::text("1"),
        P::N | P::Int => Value::Int(1),
        P::Bool => Value::Bool(true),
        P::Uint => Value::Uint(1),
        P::Double => Value::Double(1.0),
        P::Bytes => Value::Bytes([65].into()),
        P::Duration => Value::Duration(jiff::SignedDuration::from_secs(1)),
        P::Timestamp => Value::Timestamp(jiff::Timestamp::UNIX_EPOCH),
        P::Kind => Value::Kind("int"),
        P::List | P::Numbers => Value::list(vec![Value::Int(1)]),
        P::Strings => Value::list(vec![Value::text("a")]),
        P::Map => Value::map([].into()),
        P::Optional => Value::Int(1).some(),
    };
    let meant_to_fail = [
        "bool",
        "duration",
        "timestamp",
        "base64.decode",
        "getDate",
        "format",
    ];
    for signature in all() {
        let args: Vec<Value<'_>> = signature.params.iter().map(sample).collect();
        assert!(signature.accepts(&args), "{}", signature.name);
        let done = (signature.run)(&mut Meter::new(None), &args);
        let name = signature.name;
        if let Err(fault) = done {
            let zone = name.starts_with("get") && args.len() == 2;
            assert!(zone || meant_to_fail.contains(&name), "{name}: {fault:?}");
        }
    }
}
