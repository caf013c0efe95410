//! Bounded pipes between the threads of one layer.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::LayerError;

/// The end is said in words: a pipe that just closes was given up by its writer.
enum Message<T> {
    Data(T),
    End,
}

/// The writing end.
pub(crate) struct PipeWriter<T> {
    sender: SyncSender<Message<T>>,
    used: Receiver<T>,
}

/// The reading end, as a buffered reader without a copy of its own.
pub(crate) struct PipeReader<T> {
    receiver: Receiver<Message<T>>,
    back: SyncSender<T>,
    current: Option<T>,
    at: usize,
    ended: bool,
}

/// A pipe that holds at most `depth` chunks.
pub(crate) fn pipe<T: AsRef<[u8]>>(depth: usize) -> (PipeWriter<T>, PipeReader<T>) {
    let (sender, receiver) = sync_channel(depth);
    let (back, used) = sync_channel(depth + 2);
    (PipeWriter { sender, used }, PipeReader { receiver, back, current: None, at: 0, ended: false })
}

impl<T> PipeWriter<T> {
    /// Hands a chunk over; waits while the pipe is full. `false` when nobody reads any more.
    pub(crate) fn send(&self, chunk: T) -> bool {
        self.sender.send(Message::Data(chunk)).is_ok()
    }

    /// A chunk that the reader is done with, for its buffer.
    pub(crate) fn reuse(&self) -> Option<T> {
        self.used.try_recv().ok()
    }

    pub(crate) fn end(self) {
        // A reader that is gone needs no end.
        let _ = self.sender.send(Message::End);
    }
}

impl<T: AsRef<[u8]>> BufRead for PipeReader<T> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while !self.ended && self.current.as_ref().is_none_or(|chunk| self.at >= chunk.as_ref().len()) {
            if let Some(chunk) = self.current.take() {
                // The writer may have enough buffers.
                let _ = self.back.try_send(chunk);
            }
            match self.receiver.recv() {
                Ok(Message::Data(chunk)) => {
                    self.current = Some(chunk);
                    self.at = 0;
                }
                Ok(Message::End) => self.ended = true,
                Err(_) => return Err(io::Error::other(LayerError::Abandoned)),
            }
        }
        Ok(self.current.as_ref().map_or(&[], |chunk| &chunk.as_ref()[self.at..]))
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl<T: AsRef<[u8]>> Read for PipeReader<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let take = chunk.len().min(buffer.len());
        buffer[..take].copy_from_slice(&chunk[..take]);
        self.consume(take);
        Ok(take)
    }
}
