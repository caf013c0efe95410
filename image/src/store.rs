//! placeholder
/// Lease
#[derive(Debug)]
pub struct Lease;
