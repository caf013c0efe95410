//! The time as CRI counts it.

/// Nanoseconds since 1970.
pub(crate) fn now() -> i64 {
    // Within i64 until the year 2262.
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
