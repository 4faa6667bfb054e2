//! The deterministic simulation: the real scheduler and worker on one thread with paused time, over the real embedded
//! store inline, while everything that can go wrong does.
//!
//! A seed decides everything. Whatever a seed shows, the same seed shows again:
//!
//! ```text
//! SEED=17 TRACE=1 cargo test -p mirastack-tests --test sim every_seed -- --nocapture
//! ```
//!
//! Start reading at `simulation.rs` (a simulation from its seed to its verdict), then `invariant/` (what must hold).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an invariant picks the few events that it is about, and a new one must not touch them all"
)]

mod alerts;
mod asking;
mod backup;
mod canonical;
mod client;
mod exchange;
mod ground;
mod invariant;
mod judge;
mod lab;
mod life;
mod log;
mod people;
#[cfg(planted)]
mod planted;
mod plugin;
mod ports;
mod post;
mod roles;
mod seeds;
mod simulation;
mod time;
mod trace;
mod weather;
mod workflows;
mod world;

use mirastack_tests::dice;
use tikv_jemallocator::Jemalloc;

/// The server's own. Seeds take a tenth less time with it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
