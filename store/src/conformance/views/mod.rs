//! Promises of the lists.

pub(super) mod approvals;
pub(super) mod deliveries;
pub(super) mod runs;
