//! Single-writer counters.
