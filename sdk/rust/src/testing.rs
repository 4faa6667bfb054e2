//! The harness that drives an agent in tests.
