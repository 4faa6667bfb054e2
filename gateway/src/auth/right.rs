//! The rights, and the weakest role that has each.

use engine::principal::Role;

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $role:ident, $says:literal;)*) => {
        /// What a route asks of whoever calls it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Right { Open, $($(#[$doc])* $name,)* }

        impl Right {
            /// Every right but the open door, in the order of the contract.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name.
            pub(crate) fn as_str(self) -> &'static str {
                match self { Self::Open => "open", $(Self::$name => $text,)* }
            }

            /// The weakest role that has it.
            pub(crate) fn role(self) -> Role {
                match self { Self::Open => Role::Operator, $(Self::$name => Role::$role,)* }
            }

            /// What it lets one do, for people.
            pub(crate) fn says(self) -> &'static str {
                match self { Self::Open => "needs no token", $(Self::$name => $says,)* }
            }
        }
    };
}

rights! {
    Read = "read", Operator, "read runs, workflows, approvals and agents";
    Validate = "validate", Operator, "check a document without saving it";
    Invoke = "invoke", Operator, "call one action: READ as operator, MODIFY as engineer, ADMIN as admin";
    OwnKeys = "own-keys", Operator, "list, make and revoke one's own API keys; an admin everybody's";
    Start = "start", Operator, "start saved workflows and cancel runs";
    Approve = "approve", Engineer, "decide approvals: MODIFY as engineer, ADMIN as admin";
    Resolve = "resolve", Engineer, "settle steps that are in doubt; of an ADMIN step as admin";
    Resume = "resume", Engineer, "let parked runs go on";
    Save = "save", Engineer, "save and delete workflows and hooks, read hooks and their deliveries";
    SecretNames = "secret-names", Engineer, "see the names of secrets";
    Configure = "configure", Admin, "change the settings of agents, delete those that are gone";
    Secrets = "secrets", Admin, "set and delete secrets";
}

impl Right {
    /// Whether `role` has it.
    pub(crate) fn allows(self, role: Role) -> bool {
        role >= self.role()
    }

    /// All that `role` has.
    pub(crate) fn of(role: Role) -> impl Iterator<Item = Self> {
        Self::ALL
            .iter()
            .copied()
            .filter(move |right| right.allows(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_all_of_the_weaker_one_and_more() {
        let of = |role| Right::of(role).collect::<Vec<_>>();
        let (operator, engineer, admin) = (of(Role::Operator), of(Role::Engineer), of(Role::Admin));
        assert!(operator.iter().all(|r| engineer.contains(r)) && operator.len() < engineer.len());
        assert!(engineer.iter().all(|r| admin.contains(r)) && engineer.len() < admin.len());
        assert!(!operator.contains(&Right::Approve));
        assert!(!engineer.contains(&Right::Secrets));
    }
}
