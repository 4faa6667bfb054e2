//! Who it says it is.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use proto::manifest::{Action, Kind, Manifest, Permission, Setting, SettingType};
use serde_json::{Value, json};

/// What `--manifest` prints.
pub(crate) fn print(name: &str, manners: &str) -> ExitCode {
    let printed = match manners {
        "manifest-hangs" => loop {
            std::thread::park();
        },
        "manifest-fails" => return ExitCode::from(4),
        "manifest-endless" => {
            let mut out = std::io::stdout();
            while out.write_all(&[b'x'; 4096]).is_ok() {}
            return ExitCode::SUCCESS;
        }
        // A child that keeps the output open.
        "manifest-forks" => {
            let child = Command::new("sleep")
                .arg("3600")
                .stdin(Stdio::null())
                .spawn();
            let pid = child.map(|child| child.id()).unwrap_or_default();
            std::fs::write("child", pid.to_string()).expect("its own folder");
            json!(of(name)).to_string().into_bytes()
        }
        "manifest-empty" => Vec::new(),
        "manifest-huge" => "x".repeat(proto::limits::MANIFEST + 1).into_bytes(),
        "manifest-bytes" => b"\xff\xfe\x00{}".to_vec(),
        "manifest-deep" => {
            format!("{{\"actions\":[{{\"input_schema\":{}", "[".repeat(100_000)).into_bytes()
        }
        _ => bent(name, manners).to_string().into_bytes(),
    };
    std::io::stdout().write_all(&printed).expect("an open pipe");
    ExitCode::SUCCESS
}

/// Its manifest, with one lie in it.
fn bent(name: &str, manners: &str) -> Value {
    let mut manifest = json!(of(name));
    let first = &mut manifest["actions"][0];
    match manners {
        "manifest-other-name" => manifest["name"] = "somebody-else".into(),
        "manifest-twice" => {
            let again = first.clone();
            manifest["actions"][1] = again;
        }
        "manifest-no-schema" => first["input_schema"] = json!("anything"),
        "manifest-bad-schema" => first["output_schema"] = json!({ "type": "whatever" }),
        "manifest-far-schema" => {
            first["input_schema"] = json!({ "$ref": "http://127.0.0.1:9/schema.json" });
        }
        "manifest-file-schema" => first["input_schema"] = json!({ "$ref": "file:///etc/passwd" }),
        "manifest-loose-pattern" => {
            first["output_schema"] =
                json!({ "type": "object", "properties": { "a": { "pattern": "(a+)+\\1$" } } });
        }
        "manifest-no-permission" => first["permission"] = "NONE".into(),
        "manifest-no-number" => first["timeout_ms"] = "\u{1b}[2J".repeat(100_000).into(),
        "manifest-long-id" => first["id"] = "a".repeat(1 << 20).into(),
        "manifest-escapes" => manifest["description"] = "\u{1b}[2Jgone".into(),
        "manifest-many" => {
            let one = first.clone();
            manifest["actions"] = (0..201).map(|_| one.clone()).collect();
        }
        _ => {}
    }
    manifest
}

/// Its manifest. Files in its folder change it, as an upgrade would.
pub(crate) fn of(name: &str) -> Manifest {
    manifest(name, Path::new("extra").exists())
}

/// Its manifest with an action more than it has.
pub(crate) fn with_extra(name: &str) -> Manifest {
    manifest(name, true)
}

fn manifest(name: &str, extra: bool) -> Manifest {
    let mut actions = vec![
        action("act", Permission::Read),
        action("change", Permission::Modify),
    ];
    if extra {
        actions.push(action("extra", Permission::Read));
    }
    if Path::new("other").exists() {
        actions[0].input_schema = json!({ "type": "object", "required": ["more"] });
    }
    Manifest {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        description: "Does as it is told.".to_owned(),
        kind: Kind::Agent,
        actions,
        settings: vec![Setting {
            key: "url".to_owned(),
            kind: SettingType::String,
            required: false,
            default: None,
            description: "Nothing.".to_owned(),
            secret: false,
        }],
    }
}

fn action(id: &str, permission: Permission) -> Action {
    Action {
        id: id.to_owned(),
        description: "Does as it is told.".to_owned(),
        permission,
        idempotent: false,
        lookup: true,
        plan: false,
        settle_ms: None,
        timeout_ms: None,
        input_schema: json!({ "type": "object" }),
        output_schema: json!({ "type": "object" }),
    }
}
