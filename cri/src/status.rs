//! The engine's errors as gRPC codes.
//!
//! The kubelet and crictl look at few of them: `NOT_FOUND` (it is gone, stop trying), `DEADLINE_EXCEEDED` of
//! ExecSync (the probe timed out), and on pulls `UNKNOWN` with a known first word.

use reeve_engine::Error;
use reeve_engine::image::Error as ImageError;
use tonic::{Code, Status};

/// The answer to a call that failed in the engine.
pub(crate) fn of_engine(error: Error) -> Status {
    match error {
        Error::Image(error) => of_image(&error),
        error => Status::new(engine_code(&error), chain(&error)),
    }
}

fn engine_code(error: &Error) -> Code {
    match error {
        Error::NotFound { .. } | Error::ImageNotPresent(_) => Code::NotFound,
        Error::NameInUse { .. } => Code::AlreadyExists,
        Error::WrongState { .. } => Code::FailedPrecondition,
        Error::Ambiguous { .. } | Error::Invalid { .. } | Error::UnknownUser { .. } => Code::InvalidArgument,
        Error::ExecTimeout(_) => Code::DeadlineExceeded,
        // What other runtimes answer; a NOT_FOUND would say that the container is gone.
        Error::CommandNotFound(_) => Code::Unknown,
        Error::SandboxLost(_) => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// The answer to a call that failed in the store of images or at a registry.
pub(crate) fn of_image(error: &ImageError) -> Status {
    let text = chain(error);
    match error {
        ImageError::InvalidReference { .. }
        | ImageError::InvalidDigest { .. }
        | ImageError::InvalidAuth { .. }
        | ImageError::Ambiguous { .. } => Status::invalid_argument(text),
        ImageError::NotFound { .. } | ImageError::NotInRegistry { .. } => Status::not_found(text),
        ImageError::Unauthorized { .. } => Status::permission_denied(text),
        ImageError::DiskFull { .. } => Status::resource_exhausted(text),
        ImageError::Cancelled { .. } => Status::cancelled(text),
        ImageError::Transport { .. } | ImageError::Stalled { .. } => registry_unavailable(&text),
        ImageError::Status { status: 500.., .. } => registry_unavailable(&text),
        _ => Status::internal(text),
    }
}

/// The kubelet takes the pod's reason from the first word, and only under this code (cri-api `pkg/errors`).
fn registry_unavailable(text: &str) -> Status {
    Status::unknown(format!("RegistryUnavailable: {text}"))
}

/// An error with all its causes on one line; a cause that the line has already is not said again.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_kubelet_finds_the_codes_it_looks_at() {
        let gone = Error::NotFound { kind: "container", id: "abc".to_owned() };
        assert_eq!(of_engine(gone).code(), Code::NotFound);
        assert_eq!(of_engine(Error::ExecTimeout(Duration::from_secs(1))).code(), Code::DeadlineExceeded);
    }

    #[test]
    fn an_unreachable_registry_is_said_in_the_kubelets_word() {
        let place = reeve_engine::image::Place {
            image: "registry.test/a:1".to_owned(),
            registry: "registry.test".to_owned(),
            part: reeve_engine::image::Part::Manifest,
        };
        let error = ImageError::Transport { place: Box::new(place), reason: "connection refused".to_owned() };
        let status = of_image(&error);
        assert_eq!(status.code(), Code::Unknown);
        assert!(status.message().starts_with("RegistryUnavailable: "), "{}", status.message());
    }

    #[test]
    fn causes_are_said_once() {
        let io = std::io::Error::other("no space");
        let error = Error::Io { action: "write", path: "/x".into(), source: io };
        assert_eq!(chain(&error), "cannot write /x: no space");
    }
}
