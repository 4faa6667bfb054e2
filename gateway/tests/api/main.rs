//! The API over a real loopback socket: a gateway over the inline store, and an owner that decides what is asked.

mod access;
mod agents;
mod approvals;
mod edge;
mod episodes;
mod forged;
mod github;
mod hooks;
mod keyed;
mod pages;
mod rights;
mod runs;
mod secrets;
mod starting;
mod steps;
mod strangers;
mod support;
mod waits;
mod workflows;
