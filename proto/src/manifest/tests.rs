use serde_json::json;

use super::*;

fn silence() -> Manifest {
    let json = json!({
        "name": "alertmanager", "version": "0.1.0", "description": "Silences.", "type": "agent",
        "actions": [{
            "id": "create_silence", "description": "Silences alerts.", "permission": "MODIFY",
            "lookup": true, "settle_ms": 5000, "timeout_ms": 30000,
            "input_schema": { "type": "object" }, "output_schema": { "type": "object" },
        }],
        "settings": [{ "key": "alertmanager_url", "type": "string", "required": true, "description": "Where." }],
    });
    Manifest::parse(json.to_string().as_bytes()).expect("a good manifest")
}

#[test]
fn info_carries_the_whole_manifest() {
    let manifest = silence();
    assert_eq!(
        Manifest::from_info(manifest.to_info("i-1")).expect("a good manifest"),
        manifest
    );
}

#[test]
fn write_ranks_as_a_change() {
    assert_eq!(
        Permission::from_wire(v1::Permission::Write),
        Some(Permission::Modify)
    );
    assert!(Permission::Read < Permission::Modify && Permission::Modify < Permission::Admin);
}

#[test]
fn an_action_without_a_permission_is_refused() {
    let mut info = silence().to_info("i-1");
    info.actions[0].set_permission(v1::Permission::Unspecified);
    let refused = Manifest::from_info(info)
        .expect_err("no permission")
        .to_string();
    assert_eq!(
        refused,
        "the manifest's action create_silence: permission is not declared"
    );
}

#[test]
fn each_rule_is_held() {
    type Break = fn(&mut Manifest);
    let broken: [(&str, Break); 8] = [
        ("name", |m| m.name = "Alert Manager".into()),
        ("version", |m| m.version.clear()),
        ("description", |m| m.description = " ".into()),
        ("action create_silence is declared twice", |m| {
            m.actions.push(m.actions[0].clone())
        }),
        ("action create-silence: id", |m| {
            m.actions[0].id = "create-silence".into()
        }),
        ("action create_silence: input_schema", |m| {
            m.actions[0].input_schema = json!(true)
        }),
        ("setting alertmanager_url: default", |m| {
            m.settings[0].default = Some("http://localhost".into())
        }),
        ("settings are more than 200", |m| {
            m.settings = vec![m.settings[0].clone(); 201]
        }),
    ];
    for (place, break_it) in broken {
        let mut manifest = silence();
        break_it(&mut manifest);
        let refused = manifest.check().expect_err(place).to_string();
        assert!(
            refused.starts_with(&format!("the manifest's {place}")),
            "{refused}"
        );
    }
}

#[test]
fn what_is_no_manifest_is_refused() {
    let refused = Manifest::parse(b"ready").expect_err("no JSON").to_string();
    assert!(
        refused.starts_with("the manifest cannot be read"),
        "{refused}"
    );
    let refused = Manifest::parse(&vec![b' '; limits::MANIFEST + 1]).expect_err("too large");
    assert_eq!(refused, ManifestError::TooLarge(limits::MANIFEST + 1));
}

#[test]
fn schemas_that_would_take_much_memory_are_not_read() {
    let small = r#"{"":0},"#.repeat(90_000);
    let schema = format!(r#"{{"enum":[{small}0]}}"#);
    let info = v1::InfoResponse {
        r#type: v1::PluginType::Agent.into(),
        actions: vec![v1::Action {
            input_schema: schema.into(),
            ..v1::Action::default()
        }],
        ..v1::InfoResponse::default()
    };
    let refused = Manifest::from_info(info).expect_err("heavy").to_string();
    assert!(refused.contains("would take some 71 MiB"), "{refused}");
}
