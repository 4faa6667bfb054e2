//! What stands on the machine itself: the files and the first lines of plugins, the root key; what `miractl` is told of
//! a server, of a key for it, and of times.

use store::seal::RootKey;

use crate::parts::{choice, text};

/// What the time is, in milliseconds since 1970.
const NOW: i64 = 1_790_000_000_000;

/// The first byte says which; the rest is its text.
pub(crate) fn read(data: &[u8]) {
    let Some((kind, Some(text))) = choice(data).map(|(kind, rest)| (kind, text(rest))) else {
        return;
    };
    match kind {
        b'k' => key(text),
        b'l' => line(text),
        b'p' => plugin(text),
        b'r' => root_key(text),
        b's' => server(text),
        b't' => since(text),
        _ => {}
    }
}

/// What was read and is written again reads the same, and no refusal shows what was read.
fn key(text: &str) {
    match miractl::key(text) {
        Ok([id, secret]) => {
            let written = serde_json::json!({ "api_key_id": id, "api_secret": secret });
            let again = miractl::key(&written.to_string());
            assert_eq!(again, Ok([id, secret]));
        }
        Err(told) => assert_eq!(Err(told), miractl::key("")),
    }
}

fn line(text: &str) {
    if let Some(port) = proto::environment::port(text) {
        let written = format!("{}{port}", proto::environment::PORT_LINE);
        assert_eq!(proto::environment::port(&written), Some(port));
        assert_ne!(port, 0);
    }
}

/// What was read and is written again, by numbers of characters, reads the same.
fn plugin(text: &str) {
    let Ok(command) = worker::plugins::command(text) else {
        return;
    };
    assert!(!command[0].is_empty(), "{command:?} names no program");
    let character = |c: char| format!("\\U{:08x}", u32::from(c));
    let item = |word: &String| {
        format!(
            "- \"{}\"\n",
            word.chars().map(character).collect::<String>()
        )
    };
    let items: String = command.iter().map(item).collect();
    let again = worker::plugins::command(&format!("command:\n{items}"));
    assert_eq!(again, Ok(command));
}

/// It is a key where it is 64 digits and nothing else, and shows itself to nobody.
fn root_key(text: &str) {
    let digits = text.trim();
    let is_key = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let key = RootKey::parse(text);
    assert_eq!(key.is_ok(), is_key, "{text:?}");
    if let Ok(key) = key {
        let bytes = std::array::from_fn(|at| {
            u8::from_str_radix(&digits[2 * at..][..2], 16).expect("two digits")
        });
        assert_eq!(key.derive("any"), RootKey::new(bytes).derive("any"));
        assert_eq!(format!("{key:?}"), "RootKey(…)");
    }
}

/// What an address is taken for, it is taken for again; it says nothing of who asks, and neither does a refusal.
fn server(text: &str) {
    match miractl::server(text) {
        Ok(address) => {
            assert_eq!(miractl::server(&address).as_ref(), Ok(&address), "{text:?}");
            let is_plain = address.starts_with("http://") || address.starts_with("https://");
            assert!(is_plain && !address.contains(['?', '#']), "{address}");
        }
        Err(told) => assert!(!told.replacen("…@", "", 1).contains('@'), "{told}"),
    }
}

/// It prints as a time that reads the same, whatever the time is then.
fn since(text: &str) {
    if let Ok(time) = miractl::since(text, NOW) {
        assert_eq!(miractl::since(&time, 0), Ok(time));
    }
}
