//! The test ground: real servers, a target that goes down, a proxy that counts and holds requests, and the product's
//! own programs, each in a folder of its own on free loopback ports, gone when their guard is dropped.
//!
//! Nothing here sleeps for a while and hopes: whoever waits, waits for a fact ([`wait::until`]) and says which one did
//! not come. Nothing here is skipped when something is missing: that is an error which says how to get it.
//!
//! Start reading at [`process`], then [`proxy`], the judge between the product and the systems that it changes.
//! Tests fail by panicking (`expect`, `assert`) rather than by returning an error, because a [`process::Process`] that
//! is dropped by a panic shows the end of its logs.

pub mod alertmanager;
pub mod api;
pub mod canary;
pub mod cluster;
pub mod dice;
pub mod disk;
pub mod echo;
pub mod interrupt;
pub mod judge;
pub mod miractl;
pub mod mirastack;
pub mod person;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod proxy;
pub mod receiver;
pub mod relay;
pub mod role;
pub mod schemathesis;
mod serve;
pub mod shared;
pub mod siege;
pub mod story;
pub mod tamper;
pub mod target;
pub mod wait;
mod web;
