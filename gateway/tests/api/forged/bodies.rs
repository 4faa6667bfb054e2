//! Bodies that are no JSON, or not the JSON of one reader.

/// Under good credentials: each is malformed.
pub(super) fn broken(good: &str) -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let with = |bytes: &[u8]| {
        let mut body = br#"{"alerts": [], "id": "x"#.to_vec();
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\"}");
        body
    };
    let first = good.get(..good.len() / 2).expect("plain text");
    vec![
        ("no body", Vec::new()),
        ("white space", text(" \r\n\t ")),
        ("half of it", text(first)),
        ("two of it", text(&format!("{good}{good}"))),
        ("lines of it", text(&format!("{good}\n{good}\n"))),
        ("something after it", text(&format!("{good}]"))),
        ("a mark of the byte order", text(&format!("\u{feff}{good}"))),
        (
            "UTF-16",
            good.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
        ("a name twice", text(r#"{"alerts": [], "id": 1, "id": 2}"#)),
        (
            "a name twice, escaped",
            text(r#"{"alerts": [], "id": 1, "i\u0064": 1}"#),
        ),
        (
            "a name twice, further down",
            text(r#"{"alerts": [], "id": {"a": [{"b": 1, "b": 1}]}}"#),
        ),
        ("no UTF-8", with(b"\xff\xfe")),
        ("a long form of UTF-8", with(b"\xc0\xaf")),
        ("half a surrogate in UTF-8", with(b"\xed\xa0\x80")),
        ("half a surrogate, escaped", with(br"\ud800")),
        ("NUL", with(b"\0")),
        ("a control character", with(b"\x1b[2J")),
        ("an unknown escape", with(br"\x41")),
        ("deep lists", text(&"[".repeat(30_000))),
        (
            "deep lists, closed",
            text(&format!(
                "{{\"alerts\": [], \"id\": {}1{}}}",
                "[".repeat(200),
                "]".repeat(200)
            )),
        ),
        ("deep objects", text(&r#"{"a":"#.repeat(10_000))),
        (
            "a number without end",
            text(r#"{"alerts": [], "id": 1e999}"#),
        ),
        (
            "a number with a zero before it",
            text(r#"{"alerts": [], "id": 01}"#),
        ),
        ("no number", text(r#"{"alerts": [], "id": NaN}"#)),
        ("a comma too many", text(r#"{"alerts": [], "id": 1,}"#)),
        ("single quotes", text("{'alerts': [], 'id': 1}")),
        ("a comment", text("/* good */ {\"alerts\": [], \"id\": 1}")),
        ("names without quotes", text("{alerts: [], id: 1}")),
        ("YAML", text("alerts: []\nid: 1\n")),
        ("a form", text("payload=%7B%22alerts%22%3A%5B%5D%7D")),
        ("XML", text("<alerts/>")),
        ("a word", text("hello")),
    ]
}
