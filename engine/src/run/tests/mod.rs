//! The run machine, told as what must hold.

mod approvals;
mod bench;
mod bounds;
mod changes;
mod fan_out;
mod flow;
mod questions;
mod restored;
mod stops;
