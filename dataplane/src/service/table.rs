//! The snapshot of services.

/// The immutable table of one generation.
#[derive(Debug)]
pub struct ServiceTable;
/// Gives packets a mark.
#[derive(Debug)]
pub struct MarkRule;
/// Protocol timeouts.
#[derive(Debug)]
pub struct Timeouts;
