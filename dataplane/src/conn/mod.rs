//! The connection table.
