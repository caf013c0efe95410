use std::fmt;

use tonic::{Code, Status};

/// A field of a request that cannot be done as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The value makes no sense.
    #[error("{field}: {problem}")]
    Invalid {
        /// Path of the field within the request.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The value makes sense, but this runtime does not do it.
    #[error("{field} is not supported: {reason}")]
    Unsupported {
        /// Path of the field within the request.
        field: String,
        /// Why not.
        reason: String,
    },
}

impl Fault {
    pub(crate) fn invalid(field: impl Into<String>, problem: impl fmt::Display) -> Fault {
        Fault::Invalid { field: field.into(), problem: problem.to_string() }
    }

    pub(crate) fn unsupported(field: impl Into<String>, reason: impl fmt::Display) -> Fault {
        Fault::Unsupported { field: field.into(), reason: reason.to_string() }
    }

    /// The field that is required and missing.
    pub(crate) fn missing(field: impl Into<String>) -> Fault {
        Fault::invalid(field, "is required")
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Status {
        let code = match fault {
            Fault::Invalid { .. } => Code::InvalidArgument,
            Fault::Unsupported { .. } => Code::Unimplemented,
        };
        Status::new(code, fault.to_string())
    }
}
