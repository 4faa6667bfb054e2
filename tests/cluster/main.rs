//! The backend on shared servers, real ones: it keeps every promise that the embedded one keeps, and in trouble too.

mod check;
mod conformance;
mod ground;
mod ownership;
mod pools;
mod rights;
mod roles;
mod rolling;
mod survival;
mod trouble;
mod twin;
