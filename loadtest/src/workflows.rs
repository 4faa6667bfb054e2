//! The workflows of the load. They only read, so that nobody has to approve them.

use serde_json::{Value, json};

/// What a workflow of the load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many steps, one after the other.
    Sequence(u32),
    /// One step over so many items at once.
    FanOut(u32),
}

impl Shape {
    /// How many calls of actions one run makes.
    pub(crate) fn calls(self) -> u32 {
        match self {
            Shape::Sequence(calls) | Shape::FanOut(calls) => calls,
        }
    }
}

/// A workflow of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Workflow {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) shape: Shape,
}

const fn workflow(name: &'static str, shape: Shape) -> Workflow {
    Workflow { name, shape }
}

/// One step.
pub(crate) const ONE: Workflow = workflow("loadtest-one", Shape::Sequence(1));
/// Ten steps, one after the other.
pub(crate) const TEN: Workflow = workflow("loadtest-ten", Shape::Sequence(10));
/// A hundred steps, one after the other.
pub(crate) const HUNDRED: Workflow = workflow("loadtest-hundred", Shape::Sequence(100));
/// A thousand steps, one after the other.
pub(crate) const THOUSAND: Workflow = workflow("loadtest-thousand", Shape::Sequence(1000));
/// One step over a hundred items at once.
pub(crate) const FAN: Workflow = workflow("loadtest-fan", Shape::FanOut(100));

/// All that run to their end by themselves.
pub(crate) const ALL: [Workflow; 5] = [ONE, TEN, HUNDRED, THOUSAND, FAN];

/// One change that somebody must approve.
pub(crate) const APPROVED: Workflow = workflow("loadtest-approved", Shape::Sequence(1));

/// The workflows whose runs wait for a day: one for a time, one for a person.
pub(crate) const WAITING: [&str; 2] = ["loadtest-waiting", "loadtest-asking"];

/// The hook that starts [`ONE`] for each alert.
pub(crate) const HOOK: &str = "loadtest";
/// The name of the workflow that it starts.
pub(crate) const HOOK_WORKFLOW: &str = ONE.name;

/// What the workflow of that name does.
pub(crate) fn shape(name: &str) -> Option<Shape> {
    let found = ALL.iter().find(|workflow| workflow.name == name);
    found.map(|workflow| workflow.shape)
}

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

/// The document of a workflow. Each of its calls waits so long in the agent; without a time the agent is told of none.
pub(crate) fn document(workflow: Workflow, agent_ms: Option<u64>) -> Value {
    let steps = match workflow.shape {
        Shape::Sequence(steps) => (1..=steps)
            .map(|n| {
                let mut step = call(json!(n), agent_ms);
                step["id"] = json!(format!("echo_{n}"));
                step
            })
            .collect(),
        Shape::FanOut(items) => {
            let list: Vec<u32> = (0..items).collect();
            let mut step = call(json!("${{ item }}"), agent_ms);
            step["id"] = json!("echo");
            step["for_each"] = json!(format!("{list:?}"));
            step["max_parallel"] = json!(items);
            vec![step]
        }
    };
    let mut document = json!({"workflow": workflow.name, "steps": steps});
    if workflow == ONE {
        document["on"] = json!([{"hook": HOOK}]);
    }
    document
}

fn call(value: Value, agent_ms: Option<u64>) -> Value {
    let mut with = json!({"value": value});
    if let Some(ms) = agent_ms {
        with["delay_ms"] = json!(ms);
    }
    json!({"uses": "demo/echo", "with": with})
}

/// The document of [`APPROVED`].
pub(crate) fn approved() -> Value {
    json!({"workflow": APPROVED.name, "steps": [change()]})
}

/// The documents of [`WAITING`].
pub(crate) fn waiting() -> [Value; 2] {
    let [rests, asks] = WAITING;
    let mut asking = change();
    asking["approval"] = json!({"timeout": "24h"});
    [
        json!({"workflow": rests, "steps": [{"id": "rest", "wait": "24h"}]}),
        json!({"workflow": asks, "steps": [asking]}),
    ]
}

fn change() -> Value {
    let with = json!({"key": "loadtest", "value": "changed"});
    json!({"id": "change", "uses": "demo/change", "with": with})
}

#[cfg(test)]
mod tests {
    use super::{ALL, FAN, TEN, Workflow, document};
    use serde_json::{Value, json};

    fn of(workflow: Workflow) -> Value {
        document(workflow, None)
    }

    #[test]
    fn each_workflow_carries_its_own_name() {
        for workflow in ALL {
            assert_eq!(of(workflow)["workflow"], workflow.name);
        }
    }

    #[test]
    fn a_sequence_has_as_many_steps_as_it_counts() {
        let document = of(TEN);
        let steps = document["steps"].as_array().expect("a list of steps");
        assert_eq!(steps.len(), 10);
        assert_eq!(steps[9]["id"], "echo_10");
    }

    #[test]
    fn a_fan_out_runs_all_its_items_at_once() {
        let document = of(FAN);
        let step = &document["steps"][0];
        assert_eq!(step["max_parallel"], 100);
        let list: Vec<u32> =
            serde_json::from_str(step["for_each"].as_str().expect("a list as text"))
                .expect("a list");
        assert_eq!((list.len(), list[99]), (100, 99));
    }

    #[test]
    fn a_slow_agent_is_asked_for_the_same_as_one_that_does_not_wait() {
        for workflow in ALL {
            let mut slow = document(workflow, Some(2));
            for step in slow["steps"].as_array_mut().expect("a list of steps") {
                assert_eq!(step["with"]["delay_ms"], 2);
                step["with"]["delay_ms"] = json!(0);
            }
            assert_eq!(slow, document(workflow, Some(0)));
        }
    }
}
