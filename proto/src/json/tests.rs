use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::v1;
use crate::wire::Dialect::{Go, Python};

fn written<M: Serialize>(message: &M, dialect: Dialect) -> Value {
    serde_json::from_slice(&encode(message, dialect)).expect("it is JSON")
}

fn read<M: DeserializeOwned>(text: &str, dialect: Dialect) -> M {
    decode(text.as_bytes(), dialect).expect(text)
}

#[test]
fn a_python_registration_is_read() {
    let asked: v1::RegisterPluginRequest = read(
        r#"{"name": "query_metrics", "version": "0.2.0", "grpc_addr": "127.0.0.1:52527", "plugin_type": 1,
            "instance_id": "811506de", "tenant_id": "824a1531", "unheard of": [1]}"#,
        Python,
    );
    assert_eq!(asked.plugin_type(), PluginType::Agent);
    assert_eq!(
        (asked.name.as_str(), asked.instance_id.as_str()),
        ("query_metrics", "811506de")
    );
}

#[test]
fn requests_without_a_field_are_an_empty_object() {
    for dialect in [Go, Python] {
        assert_eq!(written(&v1::InfoRequest {}, dialect), json!({}));
        assert_eq!(written(&v1::HealthCheckRequest {}, dialect), json!({}));
    }
}

#[test]
fn bytes_are_base64_for_go_and_text_for_python_in_both_directions() {
    let request = v1::ExecuteRequest {
        action_id: "x".to_owned(),
        params_json: Bytes::from_static(b"{\"q\":\"1\"}"),
        execution_mode: 2,
        ..v1::ExecuteRequest::default()
    };
    let (go, python) = (written(&request, Go), written(&request, Python));
    assert_eq!(go["params_json"], "eyJxIjoiMSJ9");
    assert_eq!(python["params_json"], "{\"q\":\"1\"}");
    assert_eq!(
        (&go["execution_mode"], &python["mode"]),
        (&json!(2), &json!(2))
    );
    for (text, dialect) in [
        (r#"{"success":true,"result_json":"eyJhIjoxfQ=="}"#, Go),
        (r#"{"success":true,"result_json":"{\"a\":1}"}"#, Python),
        (
            r#"{"success":true,"result_json":{"a":1},"logs":[]}"#,
            Python,
        ),
    ] {
        let answer: v1::ExecuteResponse = read(text, dialect);
        assert_eq!(answer.result_json, "{\"a\":1}", "{text}");
    }
}

#[test]
fn null_is_zero_wherever_it_stands() {
    let health: v1::HealthCheckResponse =
        read(r#"{"healthy":true,"message":"ok","details":null}"#, Go);
    assert!(health.healthy && health.details.is_empty());
    let answer: v1::ExecuteResponse = read(
        r#"{"success":false,"result_json":null,"error":"invalid params JSON","duration_ms":0}"#,
        Go,
    );
    assert!(answer.result_json.is_empty() && !answer.success);
}

#[test]
fn a_null_in_a_result_stays() {
    for dialect in [Go, Python] {
        let answer: v1::ExecuteResponse = read(
            r#"{"success":true,"result_json":{"a":null,"b":[{"c":null}]},"error":null}"#,
            dialect,
        );
        assert_eq!(answer.result_json, r#"{"a":null,"b":[{"c":null}]}"#);
        let answer: v1::ExecuteResponse = read(r#"{"result_json":[null,1]}"#, dialect);
        assert_eq!(answer.result_json, "[null,1]");
    }
}

#[test]
fn nulls_in_lists_of_messages_and_in_maps_are_left_out() {
    let info: v1::InfoResponse = read(
        r#"{"actions":[{"id":"a","intents":null,"input_params":null}],"metadata":{"a":null,"b":"1"},"logs":[null]}"#,
        Go,
    );
    assert!(info.actions[0].input_params.is_empty() && info.actions[0].id == "a");
    assert_eq!(info.metadata, [("b".to_owned(), "1".to_owned())].into());
}

#[test]
fn a_name_that_stands_twice_is_refused_wherever_it_stands() {
    for text in [
        r#"{"key":"a","key":"b"}"#,
        r#"{"key":"a","k\u0065y":null}"#,
        r#"{"value":"","value":""}"#,
        r#"{"nobody's":{"a":1,"a":1}}"#,
        r#"{"nobody's":[{"a":1,"a":1}],"key":"a"}"#,
    ] {
        for dialect in [Go, Python] {
            let told = decode::<v1::CacheSetRequest>(text.as_bytes(), dialect).expect_err(text);
            assert!(told.to_string().contains("stands there twice"), "{told}");
        }
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for (text, why) in [
        ("[]", "it is no object"),
        ("null", "it is no object"),
        ("{} {}", "trailing characters"),
        (r#"{"key":1}"#, "expected a string"),
        (r#"{"value":"*"}"#, "no base64"),
        (r#"{"key":"\ud800"}"#, "hex escape"),
    ] {
        let told = decode::<v1::CacheSetRequest>(text.as_bytes(), Go).expect_err(text);
        assert!(told.to_string().contains(why), "{text}: {told}");
    }
}

#[test]
fn a_message_has_so_many_names_and_items_at_most() {
    let of = |items: usize| {
        let text = format!(r#"{{"keys":[""{}]}}"#, r#","""#.repeat(items - 1));
        decode::<v1::CacheGetBatchRequest>(text.as_bytes(), Go)
    };
    assert_eq!(of(65_535).expect("as many as may be").keys.len(), 65_535);
    let told = of(65_536).expect_err("one too many").to_string();
    assert!(
        told.starts_with("it has more than 65536 names and items"),
        "{told}"
    );
    // What is in a field of bytes is text.
    let text = format!(r#"{{"result_json":[0{}]}}"#, ",0".repeat(100_000));
    let read = decode::<v1::PublishResultRequest>(text.as_bytes(), Go);
    assert_eq!(read.expect("a result").result_json.len(), 200_003);
}

#[test]
fn a_cached_value_may_be_binary_for_go_and_is_never_guessed() {
    let set: v1::CacheSetRequest =
        read(r#"{"key":"k1","value":"diDinJMgH4v/","ttl_seconds":9}"#, Go);
    assert_eq!(&*set.value, b"v \xe2\x9c\x93 \x1f\x8b\xff");
    let set: v1::CacheSetRequest = read(r#"{"key": "k1", "value": "v \u2713"}"#, Python);
    assert_eq!(set.value, "v \u{2713}");
    let looks_encoded: v1::CacheSetRequest = read(r#"{"key": "k", "value": "e30="}"#, Python);
    assert_eq!(looks_encoded.value, "e30=");
    let entry = v1::CacheEntry {
        key: "k1".to_owned(),
        value: set.value,
        found: true,
    };
    let batch = v1::CacheGetBatchResponse {
        entries: vec![entry],
    };
    let found = written(&batch, Go);
    assert_eq!(
        found["entries"][0],
        json!({"key": "k1", "value": "diDinJM=", "found": true})
    );
    let empty = written(&batch, Python);
    assert_eq!(
        empty["entries"][0],
        json!({"key": "k1", "value": "", "found": false})
    );
}

#[test]
fn maps_of_settings_keep_keys_that_are_fields_elsewhere() {
    let config = v1::GetConfigResponse {
        config: [("value".to_owned(), "eA==".to_owned())].into(),
        version: 3,
        config_json: "{\"value\":\"eA==\"}".to_owned(),
    };
    let told = written(&config, Python);
    assert_eq!(told["config"]["value"], "eA==");
    assert_eq!(told["config_json"], "{\"value\":\"eA==\"}");
}

#[test]
fn parameters_become_a_flat_object_of_texts_that_names_the_action() {
    let request = v1::ExecuteRequest {
        action_id: "query".to_owned(),
        params_json: json!({"n": 1, "b": true, "s": "x", "o": {"k": [2]}, "none": null})
            .to_string()
            .into(),
        ..v1::ExecuteRequest::default()
    };
    let flat = execute_request(&request).expect("an object");
    let flat: Value = serde_json::from_slice(&flat.params_json).expect("JSON");
    let expected =
        json!({"action": "query", "n": "1", "b": "true", "s": "x", "o": "{\"k\":[2]}", "none": ""});
    assert_eq!(flat, expected);
}

#[test]
fn a_result_with_an_error_is_a_failure() {
    let of = |result: &str| {
        execute_response(v1::ExecuteResponse {
            success: true,
            result_json: result.to_owned().into(),
            ..v1::ExecuteResponse::default()
        })
    };
    let failed = of(r#"{"error":"unknown action: nope"}"#);
    assert_eq!(
        (failed.success, failed.error.as_str()),
        (false, "unknown action: nope")
    );
    let failed = of(r#"{"error":{"code":7},"result":null}"#);
    assert_eq!(
        (failed.success, failed.error.as_str()),
        (false, r#"{"code":7}"#)
    );
    assert!(of(r#"{"result":{"error":"inside"}}"#).success);
    assert!(of(r#"["error"]"#).success);
}

#[test]
fn what_an_agent_says_of_itself_becomes_a_manifest() {
    let params = r#"[{"Name":"query","Type":"string","Required":true,"Description":"MetricsQL"},{"Name":"limit","Type":"number"}]"#;
    let info = json!({
        "name": "query_vmetrics", "version": "0.2.0", "description": "Queries.", "type": 1, "metadata": null,
        "actions": [{
            "id": "instant_query", "description": "Asks.", "permission": 1, "stages": [8], "intents": [{"pattern": "x", "confidence": 1}],
            "input_params": base64::text(params.as_bytes()),
        }, {"id": "snapshot", "description": "Makes one.", "permission": 4}],
        "config_schema": [{"key": "metrics_url", "type": "string", "required": false, "default": "", "description": "", "is_secret": false}],
    });
    let info = native_info(read(&info.to_string(), Go));
    let manifest = crate::manifest::Manifest::from_info(info).expect("a manifest");
    assert_eq!(
        manifest.actions[0].input_schema,
        json!({
            "type": "object", "required": ["query"],
            "properties": {
                "query": {"type": "string", "description": "MetricsQL"},
                "limit": {"type": ["number", "string"]},
            },
        })
    );
    assert_eq!(
        manifest.actions[1].permission,
        crate::manifest::Permission::Modify
    );
}
