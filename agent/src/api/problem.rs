//! An error as the Kubernetes API says it: metav1.Status with a code, a reason and a sentence.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;

/// What went wrong with a request.
#[derive(Debug)]
pub struct Problem {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

impl Problem {
    /// 404: what was asked for is not here.
    pub fn not_found(message: String) -> Problem {
        Problem { code: StatusCode::NOT_FOUND, reason: "NotFound", message }
    }

    /// 400: the request cannot be carried out as it stands.
    pub fn bad_request(message: String) -> Problem {
        Problem { code: StatusCode::BAD_REQUEST, reason: "BadRequest", message }
    }

    /// 409: something else stands in the way.
    pub fn conflict(message: String) -> Problem {
        Problem { code: StatusCode::CONFLICT, reason: "Conflict", message }
    }

    /// 500: something failed here.
    pub fn internal(message: String) -> Problem {
        Problem { code: StatusCode::INTERNAL_SERVER_ERROR, reason: "InternalError", message }
    }

    /// 502: the container runtime failed, with what it said.
    pub fn runtime(status: &tonic::Status) -> Problem {
        let message = status.message().to_owned();
        match status.code() {
            tonic::Code::NotFound => Problem::not_found(message),
            tonic::Code::InvalidArgument => Problem::bad_request(message),
            tonic::Code::FailedPrecondition => Problem::conflict(message),
            _ => Problem { code: StatusCode::BAD_GATEWAY, reason: "RuntimeError", message },
        }
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = Status {
            status: Some("Failure".into()),
            code: Some(i32::from(self.code.as_u16())),
            reason: Some(self.reason.into()),
            message: Some(self.message),
            ..Status::default()
        };
        (self.code, Json(status)).into_response()
    }
}
