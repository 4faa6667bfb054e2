//! The workflows of the load. They only read, so that nobody has to approve them.

use serde_json::{Value, json};

/// One step, with its number of calls.
pub(crate) const ONE: (&str, u32) = ("loadtest-one", 1);
/// Ten steps, one after the other, with its number of calls.
pub(crate) const TEN: (&str, u32) = ("loadtest-ten", 10);
/// One step over a hundred items at once, with its number of calls.
pub(crate) const FAN: (&str, u32) = ("loadtest-fan", 100);

/// The hook that starts [`ONE`] for each alert.
pub(crate) const HOOK: &str = "loadtest";

/// The document of the hook. It names no secret, so that the server makes one.
pub(crate) fn hook() -> Value {
    json!({"hook": HOOK, "description": "The load of loadtest.", "type": "alertmanager"})
}

/// One firing alert, as Alertmanager sends it; each number is an alert of its own.
pub(crate) fn alert(number: u64) -> Value {
    let labels = json!({"alertname": "Load", "number": number.to_string()});
    let alert = json!({
        "status": "firing", "labels": labels, "annotations": {}, "generatorURL": "http://prometheus",
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": format!("{number:016x}"),
    });
    json!({
        "version": "4", "groupKey": format!("{{}}:{number}"), "truncatedAlerts": 0, "status": "firing",
        "receiver": "loadtest", "groupLabels": {}, "commonLabels": labels, "commonAnnotations": {},
        "externalURL": "http://alertmanager", "alerts": [alert],
    })
}

/// Each workflow with its name.
pub(crate) fn all() -> [(&'static str, Value); 3] {
    [
        (ONE.0, sequence(ONE)),
        (TEN.0, sequence(TEN)),
        (FAN.0, fan_out(FAN)),
    ]
}

/// Steps that each wait for the one before.
fn sequence((name, steps): (&str, u32)) -> Value {
    let steps: Vec<Value> = (1..=steps)
        .map(|n| json!({"id": format!("echo_{n}"), "uses": "demo/echo", "with": {"value": n}}))
        .collect();
    let mut document = json!({"workflow": name, "steps": steps});
    if name == ONE.0 {
        document["on"] = json!([{"hook": HOOK}]);
    }
    document
}

/// One step over a list.
fn fan_out((name, items): (&str, u32)) -> Value {
    let list: Vec<u32> = (0..items).collect();
    let step = json!({
        "id": "echo",
        "uses": "demo/echo",
        "for_each": format!("{list:?}"),
        "max_parallel": items,
        "with": {"value": "${{ item }}"},
    });
    json!({"workflow": name, "steps": [step]})
}

#[cfg(test)]
mod tests {
    use super::{FAN, TEN, all, fan_out, sequence};

    #[test]
    fn each_workflow_carries_its_own_name() {
        for (name, document) in all() {
            assert_eq!(document["workflow"], name);
        }
    }

    #[test]
    fn a_sequence_has_as_many_steps_as_it_counts() {
        let document = sequence(TEN);
        let steps = document["steps"].as_array().expect("a list of steps");
        assert_eq!(steps.len(), 10);
        assert_eq!(steps[9]["id"], "echo_10");
    }

    #[test]
    fn a_fan_out_runs_all_its_items_at_once() {
        let step = &fan_out(FAN)["steps"][0];
        assert_eq!(step["max_parallel"], 100);
        let list: Vec<u32> =
            serde_json::from_str(step["for_each"].as_str().expect("a list as text"))
                .expect("a list");
        assert_eq!((list.len(), list[99]), (100, 99));
    }
}
