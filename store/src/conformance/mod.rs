//! The definition of correct, for every backend.

pub mod sample;
