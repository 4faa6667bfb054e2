//! The rights as a page: who may call what.

use std::fmt::Write as _;

use engine::principal::Role;

use crate::auth::right::Right;

/// `docs/rights.md`.
pub(crate) fn page() -> String {
    let mut page = String::from(HEAD);
    for right in Right::ALL {
        let yes = |role| if right.allows(role) { "yes" } else { "no" };
        row(
            &mut page,
            &[
                &format!("`{}`", right.as_str()),
                right.says(),
                yes(Role::Operator),
                yes(Role::Engineer),
                yes(Role::Admin),
            ],
        );
    }
    page.push_str(ROUTES);
    for route in super::all() {
        let yes = |role| {
            if route.right.allows(role) {
                "yes"
            } else {
                "no"
            }
        };
        let open = route.right == Right::Open;
        let right = match open {
            true => String::new(),
            false => format!("`{}`", route.right.as_str()),
        };
        row(
            &mut page,
            &[
                route.method.as_str(),
                &format!("`{}`", route.path),
                &right,
                if open { "yes" } else { "no" },
                yes(Role::Operator),
                yes(Role::Engineer),
                yes(Role::Admin),
            ],
        );
    }
    page.push_str(NOTES);
    page
}

fn row(page: &mut String, cells: &[&str]) {
    writeln!(page, "| {} |", cells.join(" | ")).expect("writing to memory cannot fail");
}

const HEAD: &str = "\
# Rights

Who may call what. This page is generated from the table that the router is made of; a test holds the running server to
it. What is not here does not exist, and what is not allowed is denied.

A principal has one role. Each role has all rights of the one before it: operator, engineer, admin.

## What the rights allow

| right | allows to | operator | engineer | admin |
|---|---|---|---|---|
";

const ROUTES: &str = "
## Routes

\"yes\" means that the route's own check lets the request through; without a token the answer is 401, without the right
403. Health, metrics and the description of the API are open. A hook checks its sender's own credentials.

| method | path | right | no token | operator | engineer | admin |
|---|---|---|---|---|---|---|
";

const NOTES: &str = "
## What is decided beside the route

- Calling an action: READ takes operator, MODIFY engineer, ADMIN admin. Whether it also needs an approval is decided as
  for every step.
- Saving a workflow whose ceiling is ADMIN takes admin; saving a hook takes at least the role that the hook has.
- A hook that names no secret gets one that is made for it. One of that name that somebody else has set is never
  replaced: that is a conflict.
- Deciding an approval of an ADMIN step, and settling an ADMIN step that is in doubt, takes admin. The rule on the step
  (`by`, `quorum`, not the requester) narrows further.
- API keys: everybody sees, makes and revokes their own and those that they made, never above their own role; an admin
  all of them.
- What belongs to another tenant is answered like what does not exist.
";
