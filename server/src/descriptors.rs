//! File descriptors. Each connection takes one, and a process begins with few of those that it may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many connections the ports may have, so that files and agents always find a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connections {
    /// At most, for people and programs.
    pub(crate) http: usize,
    /// At most, for agents.
    pub(crate) grpc: usize,
}

impl Connections {
    /// Takes all descriptors that this process may have.
    pub(crate) fn make_room() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        let now = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => maximum,
            Err(error) => {
                tracing::warn!(%error, "the limit of open files stays as it is");
                current
            }
        };
        Self::within(now)
    }

    fn within(descriptors: Option<u64>) -> Self {
        let all = descriptors.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Self {
            http: all / 2,
            grpc: all / 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_files_and_agents() {
        let few = Connections::within(Some(1_024));
        assert!(few.http + few.grpc <= 1_024 - 256, "{few:?}");
        assert_eq!(Connections::within(None).http, usize::MAX / 2);
    }
}
