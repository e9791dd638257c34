//! Whose flow is it.
