//! The product with the real servers around it.
