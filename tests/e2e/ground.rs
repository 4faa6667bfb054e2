//! The ground itself holds: what a test sees through it is what happened.

mod processes;
mod proxy;
mod servers;
