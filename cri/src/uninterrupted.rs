//! Calls that finish even when their client has gone.

use std::future::Future;

use tonic::Status;

/// Runs `work` to its end in a task of its own.
///
/// tonic drops the future of a call when the client goes or its deadline passes. What changes the node must not
/// stop between two steps for that: the client will ask again and find the outcome.
pub(crate) async fn uninterrupted<T, F>(work: F) -> Result<T, Status>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => Err(Status::internal("the call failed by a fault of the runtime")),
        Err(_) => Err(Status::unavailable("the runtime is shutting down")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn work_outlives_its_caller() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let call = uninterrupted(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            sender.send(()).map_err(|()| Status::internal("nobody waits"))
        });

        assert!(tokio::time::timeout(Duration::from_millis(1), call).await.is_err());
        receiver.await.unwrap();
    }
}
