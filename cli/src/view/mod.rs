//! What the user sees: pure functions from core/v1 objects to text, so that each can be tested as a table.

pub(crate) mod age;
pub(crate) mod describe;
pub(crate) mod event_row;
pub(crate) mod pod_row;
pub(crate) mod table;

#[cfg(test)]
pub(crate) mod fixtures;
