//! Answers in several messages.

use std::pin::Pin;

use tonic::Status;

/// What a streaming call answers.
pub(crate) type Stream<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

/// How many entries of a list go into one message: even the most wordy stay far below the message limit.
const BATCH: usize = 128;

/// Sends `entries` in messages that `message` makes. An empty list is an empty stream.
pub(crate) fn batches<E, M>(entries: Vec<E>, message: impl Fn(Vec<E>) -> M + Send + 'static) -> Stream<M>
where
    E: Send + 'static,
    M: Send + 'static,
{
    let mut rest = entries.into_iter();
    let batches = std::iter::from_fn(move || {
        let batch: Vec<E> = rest.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then(|| Ok(message(batch)))
    });
    Box::pin(futures::stream::iter(batches))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test]
    async fn every_entry_is_sent_once() {
        let entries: Vec<usize> = (0..BATCH * 2 + 1).collect();
        let messages: Vec<Vec<usize>> =
            batches(entries.clone(), |batch| batch).map(Result::unwrap).collect().await;
        assert_eq!(messages.len(), 3);
        assert_eq!(messages.concat(), entries);
    }

    #[tokio::test]
    async fn an_empty_list_sends_nothing() {
        assert!(batches(Vec::<u8>::new(), |batch| batch).next().await.is_none());
    }
}
