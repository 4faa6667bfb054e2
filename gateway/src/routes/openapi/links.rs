//! What an answer leads to (OpenAPI 3.1, section 4.8.20): whoever follows the description finds what it has made.

use serde_json::{Map, Value, json};

/// The first of a list.
const FIRST_ID: &str = "$response.body#/items/0/id";
const FIRST_NAME: &str = "$response.body#/items/0/name";
/// What was just made or asked for.
const ID: &str = "$response.body#/id";
const SAME_ID: &str = "$request.path.id";
const SAME_NAME: &str = "$request.path.name";
const NAME: &str = "$response.body#/name";

/// Whose answer leads on, which part of its path is found where, and to what it leads.
const LINKS: &[(&str, &str, &str, &[&str])] = &[
    (
        "listWorkflows",
        "name",
        FIRST_NAME,
        &["getWorkflow", "startRun"],
    ),
    (
        "saveWorkflow",
        "name",
        SAME_NAME,
        &[
            "getWorkflow",
            "listWorkflowRevisions",
            "startRun",
            "deleteWorkflow",
        ],
    ),
    (
        "getWorkflow",
        "name",
        SAME_NAME,
        &["startRun", "listWorkflowRevisions"],
    ),
    (
        "startRun",
        "id",
        ID,
        &["getRun", "getJournal", "cancelRun", "resumeRun"],
    ),
    (
        "invokeAction",
        "id",
        ID,
        &["getRun", "getJournal", "cancelRun"],
    ),
    (
        "listRuns",
        "id",
        FIRST_ID,
        &["getRun", "getJournal", "cancelRun", "resumeRun"],
    ),
    ("cancelRun", "id", SAME_ID, &["getRun", "getJournal"]),
    (
        "listApprovals",
        "id",
        FIRST_ID,
        &["getApproval", "approve", "reject"],
    ),
    (
        "listAgents",
        "name",
        FIRST_NAME,
        &["getAgent", "getAgentConfig", "setAgentConfig", "checkAgent"],
    ),
    (
        "listHooks",
        "name",
        FIRST_NAME,
        &["getHook", "listDeliveries"],
    ),
    (
        "createHook",
        "name",
        NAME,
        &["getHook", "listDeliveries", "deliver", "deleteHook"],
    ),
    (
        "saveHook",
        "name",
        SAME_NAME,
        &["getHook", "listDeliveries", "deliver", "deleteHook"],
    ),
    ("createApiKey", "name", NAME, &["getApiKey", "revokeApiKey"]),
    ("listSecrets", "name", FIRST_NAME, &["getSecret"]),
    (
        "setSecret",
        "name",
        SAME_NAME,
        &["getSecret", "deleteSecret"],
    ),
];

/// Gives each good answer its links.
pub(super) fn add(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.filter_map(|(_, item)| item.as_object_mut()).flatten();
    for (_, operation) in operations {
        let links = of(operation["operationId"].as_str().unwrap_or_default());
        if links.is_empty() {
            continue;
        }
        let answers = operation["responses"].as_object_mut().into_iter().flatten();
        for (_, answer) in answers.filter(|(status, _)| status.starts_with('2')) {
            answer["links"] = Value::Object(links.clone());
        }
    }
}

fn of(operation: &str) -> Map<String, Value> {
    let links = LINKS.iter().filter(|(from, ..)| *from == operation);
    links
        .flat_map(|(_, part, place, to)| to.iter().map(move |to| (*to, *part, *place)))
        .map(|(to, part, place)| {
            let link = json!({ "operationId": to, "parameters": { part: place } });
            (to.to_owned(), link)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes;

    #[test]
    fn every_link_leads_from_a_route_to_a_part_of_the_path_of_another() {
        let all = routes::all();
        let path = |id: &str| {
            let found = all.iter().find(|route| route.id == id);
            found.unwrap_or_else(|| panic!("no route is {id}")).path
        };
        for (from, part, place, to) in LINKS {
            let own = place.strip_prefix("$request.path.");
            let has = |path: &str, part: &str| path.contains(&format!("{{{part}}}"));
            assert!(
                own.is_none_or(|own| has(path(from), own)),
                "{from}: {place}"
            );
            for to in *to {
                assert!(has(path(to), part), "{from} to {to}: {part}");
            }
        }
    }
}
