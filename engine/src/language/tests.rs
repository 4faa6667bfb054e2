//! The language, told as what must hold: what is read, and every way to be told that something is wrong.

use serde_json::{Value as Json, json};

use super::*;
use crate::definition::{HookAuth, HookType, StepKind};
use crate::duration::Duration;
use crate::manifest::{Action, ActionName};
use crate::principal::{Permission, Role};

fn query() -> Json {
    json!({
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "A PromQL query."},
            "step": {"type": "number"},
            "matchers": {"type": "array", "items": {"$ref": "#/$defs/Matcher"}},
        },
        "required": ["query"],
        "$defs": {"Matcher": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
            "required": ["name", "value"],
        }},
    })
}

fn actions() -> Actions {
    let action = |id: &str, permission, input, output| Action {
        id: id.to_owned(),
        description: String::new(),
        permission,
        input,
        output: Some(output),
        idempotent: false,
        lookup: false,
        settle_ms: None,
        timeout_ms: None,
    };
    let query = query();
    let series = json!({
        "type": "object",
        "properties": {"series": {"type": "array", "items": {
            "type": "object",
            "properties": {"labels": {"type": "object", "additionalProperties": {"type": "string"}}, "value": {"type": "number"}},
        }}},
    });
    let all = [
        (
            "metrics",
            action(
                "instant_query",
                Permission::Read,
                query.clone(),
                series.clone(),
            ),
        ),
        (
            "metrics",
            action(
                "range_query",
                Permission::Read,
                query.clone(),
                series.clone(),
            ),
        ),
        (
            "alertmanager",
            action(
                "create_silence",
                Permission::Modify,
                query,
                json!({
                    "type": "object", "properties": {"id": {"type": "string"}},
                }),
            ),
        ),
    ];
    all.into_iter()
        .map(|(agent, a)| {
            (
                ActionName {
                    agent: agent.to_owned(),
                    action: a.id.clone(),
                },
                a,
            )
        })
        .collect()
}

/// `line:column message | hint` of each problem.
fn problems(text: &str) -> Vec<String> {
    let problems = check(text, &actions()).expect_err("something is wrong with it");
    let show = |p: &Problem| {
        let hint = p
            .hint
            .as_ref()
            .map(|h| format!(" | {h}"))
            .unwrap_or_default();
        format!("{}:{} {}{hint}", p.at.line, p.at.column, p.message)
    };
    problems.iter().map(show).collect()
}

fn workflow(text: &str) -> CheckedWorkflow {
    let documents = check(text, &actions()).unwrap_or_else(|p| panic!("{p:#?}"));
    match documents.into_iter().next() {
        Some(Document::Workflow(workflow)) => *workflow,
        other => panic!("no workflow: {other:?}"),
    }
}

const FULL: &str = r#"
workflow: silence-noisy-alert
description: Look at a firing alert and, once a person agrees, silence it for an hour.
labels: { team: payments }
owner: payments-oncall
runbook: https://wiki.example/noisy-alerts
on:
  - hook: alerts
    if: event.alert.labels.severity == 'page'
    with: { alertname: "${{ event.alert.labels.alertname }}", instance: "${{ event.alert.labels.instance }}" }
    resolved: cancel
    per: alert
inputs:
  alertname: { type: string }
  instance:  { type: string, default: "" }
  window:    { type: duration, default: 30m }
vars: { job: "${{ inputs.alertname.startsWith('Api') ? 'api' : 'web' }}" }
mode: guided
timeout: 1h
steps:
  - id: rate
    uses: metrics/range_query
    with: { query: "rate(http_requests_total{instance=${{ strings.quote(inputs.instance) }}}[5m])" }
    time_range: { last: "${{ inputs.window }}" }
    timeout: 20s
    retry: { attempts: 3, delay: 1s, factor: 2, max_delay: 30s }
  - id: hosts
    for_each: ${{ steps.rate.output.series }}
    key: ${{ item.labels.instance }}
    max_parallel: 10
    max_failed: 5%
    uses: metrics/instant_query
    with: { query: "up{instance=${{ strings.quote(item.labels.instance) }}}" }
  - id: silence
    needs: [rate]
    if: ${{ size(steps.rate.output.series) > 0 }}
    uses: alertmanager/create_silence
    with: { query: x, matchers: [{ name: alertname, value: "${{ inputs.alertname }}" }] }
    approval: { by: [role:engineer], quorum: 1, timeout: 30m, on_reject: stop }
outputs: { silence: "${{ steps.silence.?output.?id.orValue('none') }}" }
on_failure: []
finally: []
"#;

#[test]
fn the_workflow_of_the_reference_is_read_whole() {
    let checked = workflow(FULL);
    let definition = &checked.definition;
    assert_eq!(definition.permission, Permission::Modify);
    assert_eq!(definition.timeout, Duration::from_secs(3_600));
    assert_eq!(
        definition.steps[2].approval.as_ref().map(|a| a.by.clone()),
        Some(vec![Role::Engineer])
    );
    assert!(checked.warnings.is_empty(), "{:?}", checked.warnings);
    let graph: Vec<String> = graph(&checked.plan)
        .into_iter()
        .map(|(_, id, needs)| format!("{id} <- {}", needs.join(" ")))
        .collect();
    assert_eq!(graph, ["rate <- ", "hosts <- rate", "silence <- rate"]);
}

#[test]
fn a_stored_definition_compiles_to_the_same_plan() {
    let checked = workflow(FULL);
    let again =
        plan(&checked.definition.bytes(), &actions()).expect("it was right when it was saved");
    assert_eq!(again.digest, checked.plan.digest);
    assert_eq!(again.workflow, checked.definition);
}

#[test]
fn how_it_is_spelled_does_not_change_the_digest() {
    let one = workflow("workflow: w\nsteps: [{ id: a, wait: 5m }]\n");
    let two = workflow("{\"workflow\": \"w\", \"steps\": [{\"wait\": \"5m\", \"id\": \"a\"}]}");
    assert_eq!(one.definition.digest(), two.definition.digest());
}

#[test]
fn a_misspelt_action_parameter_and_field_are_found_with_their_places() {
    let text = "\
workflow: w
steps:
  - id: x
    uses: metrics/instant_qeury
    with: { query: up }
  - id: y
    uses: metrics/instant_query
    with: { qery: up, step: fast }
  - id: z
    uses: metrics/instant_query
    with: { query: \"${{ steps.y.output.nope }}\" }
";
    assert_eq!(
        problems(text),
        [
            "4:11 there is no action metrics/instant_qeury | did you mean `metrics/instant_query`?",
            "8:11 metrics/instant_query needs the parameter query | A PromQL query.",
            "8:19 metrics/instant_query has no parameter qery | did you mean `query`?",
            "8:29 value is not of type \"number\" | a number is written without quotes, such as 5",
            "11:25 there is no field `nope` | there are series",
        ]
    );
}

#[test]
fn a_literal_of_another_type_is_told_how_to_be_written() {
    let text = "workflow: w\nsteps: [{ id: x, uses: metrics/instant_query, with: { query: 5, step: 1, matchers: up } }]\n";
    assert_eq!(
        problems(text),
        [
            "2:62 value is not of type \"string\" | write it in quotes: then it is a string",
            "2:84 value is not of type \"array\" | write a list, such as [a, b]",
        ]
    );
}

#[test]
fn what_comes_later_is_refused_by_name_and_place() {
    let text = "\
workflow: w
concurrency: { key: x }
mode: autonomous
on: [{ schedule: '0 8 * * *' }]
steps:
  - { id: a, run: other }
  - { id: b, wait: 1s, compensate: { uses: a/b } }
";
    let found = problems(text);
    for (line, what) in [
        (2, "concurrency"),
        (3, "mode"),
        (4, "schedule"),
        (6, "run"),
        (7, "compensate"),
    ] {
        let here = found.iter().any(|f| {
            f.starts_with(&format!("{line}:")) && f.contains("not supported in this version")
        });
        assert!(here, "{what}: {found:#?}");
    }
}

#[test]
fn every_key_of_a_step_or_an_approval_that_comes_later_is_refused() {
    let of_a_step = "run steps wait_for ask show set template compensate precheck verify cooldown \
        repeat environment";
    let of_an_approval = "ask per not_requester";
    let steps = of_a_step.split_whitespace();
    let steps = steps.map(|key| (key, format!("{{ id: a, uses: demo/echo, {key}: 1s }}")));
    let approvals = of_an_approval.split_whitespace();
    let approvals = approvals.map(|key| {
        let step = format!("{{ id: a, uses: demo/echo, approval: {{ {key}: 1s }} }}");
        (key, step)
    });
    for (key, step) in steps.chain(approvals) {
        let found = problems(&format!("workflow: w\nsteps: [{step}]\n"));
        let here = found.iter().any(|f| {
            f.contains(&format!(" {key}: ")) && f.contains("not supported in this version")
        });
        assert!(here, "{key}: {found:#?}");
    }
}

#[test]
fn unknown_keys_and_kinds_name_the_nearest() {
    assert_eq!(
        problems("workflow: w\nsteps: [{ id: a, wiat: 5m }]\n")[0],
        "2:18 wiat: there is no such key | did you mean `wait`?"
    );
    assert!(problems("worfklow: w\n")[0].ends_with("| did you mean `workflow`?"));
    assert!(problems("schedule: nightly\n")[0].contains("not supported in this version"));
}

#[test]
fn an_empty_guard_is_an_error() {
    let found = problems(
        "workflow: w\nsteps:\n  - { id: a, if: , wait: 1s }\n  - { id: b, assert: \"\" }\n",
    );
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found.iter().all(|f| f.contains("this is empty")));
}

#[test]
fn a_tag_never_loses_a_guard() {
    assert!(
        problems("workflow: w\nsteps: [{ id: a, if: !steps.x, wait: 1s }]\n")
            .iter()
            .any(|f| f.contains("tag"))
    );
}

#[test]
fn numbers_that_would_not_print_back_are_refused_where_no_schema_says_number() {
    let found = problems(
        "workflow: w\nsteps:\n  - { id: a, uses: metrics/instant_query, with: { query: 1.10 } }\n",
    );
    assert!(found.iter().any(|f| f.contains("1.10")), "{found:#?}");
    workflow(
        "workflow: w\nsteps:\n  - { id: a, uses: metrics/instant_query, with: { query: up, step: 1.10 } }\n",
    );
}

#[test]
fn circles_and_unknown_needs_are_found() {
    let found = problems(
        "workflow: w\nsteps:\n  - { id: a, needs: [b], wait: 1s }\n  - { id: b, wait: 1s }\n",
    );
    assert!(
        found[0].contains("wait for each other") && found[0].contains("a, b"),
        "{found:#?}"
    );
    let found = problems(
        "workflow: w\nsteps:\n  - { id: rate, needs: [], wait: 1s }\n  - { id: b, needs: [rat], wait: 1s }\n",
    );
    assert!(
        found[0].contains("there is no step rat") && found[0].contains("rate"),
        "{found:#?}"
    );
}

#[test]
fn a_mentioned_step_is_always_waited_for() {
    let checked = workflow(
        "workflow: w\nsteps:\n  - { id: a, uses: metrics/instant_query, with: { query: up } }\n  - { id: b, needs: [], assert: \"size(steps.a.output.series) > 0\" }\n",
    );
    assert_eq!(checked.plan.steps[1].needs, [0]);
}

#[test]
fn ids_are_unique_over_all_sections() {
    let found =
        problems("workflow: w\nsteps: [{ id: a, wait: 1s }]\nfinally: [{ id: a, wait: 1s }]\n");
    assert!(found[0].contains("is taken already"), "{found:#?}");
}

#[test]
fn the_ceiling_is_the_highest_level_and_cannot_be_lower() {
    let step = "steps: [{ id: a, uses: alertmanager/create_silence, with: { query: x } }]\n";
    assert_eq!(
        workflow(&format!("workflow: w\n{step}"))
            .definition
            .permission,
        Permission::Modify
    );
    assert!(
        problems(&format!("workflow: w\npermission: READ\n{step}"))[0]
            .contains("the ceiling is READ")
    );
    let higher = workflow(&format!("workflow: w\npermission: ADMIN\n{step}"));
    assert_eq!(higher.definition.permission, Permission::Admin);
}

#[test]
fn data_from_outside_in_a_query_is_warned_about() {
    let checked = workflow(
        "workflow: w\ninputs: { host: { type: string } }\nsteps:\n  - { id: a, uses: metrics/instant_query, with: { query: \"up{instance='${{ inputs.host }}'}\" } }\n",
    );
    assert_eq!(checked.warnings.len(), 1);
    assert_eq!(checked.warnings[0].at.line, 4);
    assert!(
        checked.warnings[0]
            .hint
            .as_ref()
            .is_some_and(|h| h.contains("strings.quote(inputs.host)"))
    );
}

#[test]
fn an_event_must_give_every_input_without_a_default() {
    let found = problems(
        "workflow: w\non: [{ hook: alerts }]\ninputs: { a: { type: string } }\nsteps: [{ id: x, wait: 1s }]\n",
    );
    assert!(
        found[0].contains("the input a has no default"),
        "{found:#?}"
    );
}

#[test]
fn inputs_are_converted_to_their_types_and_all_problems_come_at_once() {
    let checked = workflow(
        "workflow: w\ninputs: { n: { type: number }, i: { type: integer }, d: { type: duration, default: 90s }, t: { type: timestamp } }\nsteps: [{ id: x, wait: 1s }]\n",
    );
    let given = |json: Json| json.as_object().cloned().expect("an object");
    let good = inputs(
        &checked.definition,
        &given(json!({"n": 3, "i": 4.0, "t": "2026-01-31T09:00:00+01:00"})),
    )
    .expect("right");
    assert_eq!(
        Json::Object(good),
        json!({"n": 3.0, "i": 4, "d": "1m30s", "t": "2026-01-31T08:00:00.000Z"})
    );
    let bad = inputs(
        &checked.definition,
        &given(json!({"n": "3", "i": 4.5, "tt": 1})),
    )
    .expect_err("wrong");
    let names: Vec<&str> = bad.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["tt", "i", "n", "t"]);
    assert_eq!(bad[0].hint.as_deref(), Some("did you mean `t`?"));
}

#[test]
fn a_hook_is_read_and_holds_no_secret() {
    let text = "hook: alerts\ntype: alertmanager\nauth: { bearer: [\"${{ secrets.alerts_token }}\"] }\nrole: engineer\nrate: { max: 600, per: 1m }\n";
    let Some(Document::Hook(hook)) = check(text, &actions()).expect("right").into_iter().next()
    else {
        panic!("no hook")
    };
    assert_eq!(hook.kind, HookType::Alertmanager);
    assert_eq!(hook.auth, HookAuth::Bearer(vec!["alerts_token".to_owned()]));
    assert_eq!(hook.role, Role::Engineer);
    let open = text.replace("${{ secrets.alerts_token }}", "hunter2");
    assert!(problems(&open)[0].contains("a secret is never written into a document"));
    let empty = text.replace("[\"${{ secrets.alerts_token }}\"]", "[]");
    assert!(problems(&empty)[0].contains("one value, or two"));
    assert!(
        problems("hook: h\ntype: gitlab\nauth: { bearer: [\"${{ secrets.a }}\"] }\n")[0]
            .contains("not supported")
    );
}

#[test]
fn a_github_hook_is_signed_as_github_signs() {
    let base = "hook: h\ntype: github\nauth: { hmac: { secrets: [\"${{ secrets.a }}\"] } }\n";
    let Some(Document::Hook(hook)) = check(base, &actions()).expect("right").into_iter().next()
    else {
        panic!("no hook")
    };
    let signed = HookAuth::Hmac {
        header: "x-hub-signature-256".to_owned(),
        prefix: "sha256=".to_owned(),
        secrets: vec!["a".to_owned()],
    };
    assert_eq!((hook.kind, hook.auth), (HookType::Github, signed));
    for (from, to, why) in [
        ("hmac: {", "hmac: { header: x-a,", "GitHub has its own"),
        ("hmac: {", "hmac: { prefix: sha1=,", "GitHub has its own"),
        ("secrets: [\"${{ secrets.a }}\"]", "", "hmac needs secrets"),
        (
            "hmac: { secrets: [\"${{ secrets.a }}\"] }",
            "bearer: [\"${{ secrets.a }}\"]",
            "GitHub signs: it needs hmac",
        ),
        ("type", "dedupe: none\ntype", "belongs to the type generic"),
    ] {
        let told = problems(&base.replace(from, to));
        assert!(told[0].contains(why), "{told:?}");
    }
}

#[test]
fn a_generic_hook_says_what_makes_two_deliveries_one() {
    let base = "hook: h\ntype: generic\nauth: { hmac: { header: X-Sig, prefix: sha256=, secrets: [\"${{ secrets.a }}\"] } }\n";
    assert!(problems(base)[0].contains("dedupe"));
    for (dedupe, kept) in [("none", None), ("event.body.id", Some("event.body.id"))] {
        let text = format!("{base}dedupe: {dedupe}\n");
        let Some(Document::Hook(hook)) =
            check(&text, &actions()).expect("right").into_iter().next()
        else {
            panic!("no hook")
        };
        assert_eq!(hook.dedupe.as_deref(), kept);
    }
}

#[test]
fn keys_that_do_not_belong_are_not_ignored() {
    let found =
        problems("workflow: w\nsteps:\n  - { id: a, wait: 1s, approval: { quorum: 2 }, key: x }\n");
    assert!(
        found
            .iter()
            .any(|f| f.contains("approval belongs to a step with uses")),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .any(|f| f.contains("key belongs to a step with for_each")),
        "{found:#?}"
    );
}

#[test]
fn every_problem_of_several_documents_comes_at_once() {
    let text = "workflow: w\nsteps: [{ id: A, wait: 1s }]\n---\nworkflow: v\nsteps: [{ id: b, wait: soon }]\n";
    let lines: Vec<String> = problems(text)
        .iter()
        .map(|p| p.split(':').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(lines, ["2", "5"]);
}

#[test]
fn the_schema_knows_every_key_that_is_read() {
    let schema = schema();
    let text = schema.to_string();
    for key in [
        "start_within",
        "max_failed",
        "on_timeout",
        "time_range",
        "dedupe",
    ] {
        assert!(text.contains(&format!("\"{key}\"")), "{key}");
    }
    assert!(crate::schema::Schema::compile(&schema).is_ok());
}

#[test]
fn steps_without_an_action_have_no_output() {
    let checked = workflow("workflow: w\nsteps: [{ id: a, wait: 1s }]\n");
    assert!(matches!(
        checked.definition.steps[0].kind,
        StepKind::Wait { .. }
    ));
}

#[test]
fn a_step_that_cannot_be_read_moves_no_other_problem() {
    let text = concat!(
        "workflow: w\n",
        "on:\n",
        "  - { schedule: daily }\n",
        "  - { hook: h, if: event.alert.nothing == 1 && }\n",
        "steps:\n",
        "  - { id: a, run: other }\n",
        "  - just text\n",
        "  - { id: b, uses: metrics/instant_query, with: { query: \"${{ steps.a.output.x }}\" }, if: 1 + }\n",
        "  - { id: c, wait: 1s, needs: [a, b] }\n",
        "  - { id: c, needs: [], wait: 1s }\n",
    );
    let lines: Vec<String> = problems(text)
        .iter()
        .map(|p| p.split(':').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        lines,
        ["3", "4", "6", "7", "8", "10"],
        "{:#?}",
        problems(text)
    );
}

#[test]
fn no_more_than_a_hundred_problems_are_told() {
    let steps = |count| format!("workflow: w\nsteps:\n{}", "  - { x: 1 }\n".repeat(count));
    assert_eq!(problems(&steps(900)).len(), crate::yaml::PROBLEMS_MAX);
    let found = problems(&steps(10_000));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("at most 1000 steps"), "{found:#?}");
    let outputs = "  a: \"${{ nothing }}\"\n".to_owned();
    let outputs: String = (0..500)
        .map(|i| outputs.replace('a', &format!("o{i}")))
        .collect();
    let text = format!("workflow: w\nsteps: [{{ id: s, wait: 1s }}]\noutputs:\n{outputs}");
    assert_eq!(problems(&text).len(), crate::yaml::PROBLEMS_MAX);
}
