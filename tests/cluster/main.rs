//! The backend on shared servers, real ones, keeps every promise that the embedded one keeps.

mod conformance;
