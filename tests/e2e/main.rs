//! The product with the real servers around it: Prometheus, Alertmanager, and a proxy that counts what reaches them.

mod alert;
mod backup;
mod config;
mod described;
mod ending;
mod first_start;
mod github;
mod ground;
mod judge;
mod metrics;
mod mute;
mod questions;
mod secrets;
mod siege;
mod supervisor;
mod tamper;
mod tls;
mod trouble;
