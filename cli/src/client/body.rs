//! The body of an answer: whole, in pieces, or as lines of JSON.

use anyhow::Context;
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use serde::de::DeserializeOwned;

/// The body of an answer.
pub(crate) struct Body {
    incoming: Incoming,
}

impl Body {
    pub(super) fn new(incoming: Incoming) -> Body {
        Body { incoming }
    }

    /// All of it.
    pub(crate) async fn all(self) -> anyhow::Result<Bytes> {
        Ok(self.incoming.collect().await.context("the agent hung up in the middle of its answer")?.to_bytes())
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        while let Some(frame) = self.incoming.frame().await {
            let frame = frame.context("the agent hung up in the middle of its answer")?;
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Its lines, each a JSON value.
    pub(crate) fn lines(self) -> Lines {
        Lines { body: self, buffer: Vec::new() }
    }
}

/// JSON lines of a body.
pub(crate) struct Lines {
    body: Body,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next value; `None` at the end.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .context("the agent's answer is not as expected")
                    .map(Some);
            }
            match self.body.next().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}
