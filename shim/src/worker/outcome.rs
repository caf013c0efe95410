//! What a worker tells the loop.

use std::os::fd::OwnedFd;

use prost::Message;
use reeve_proto::shim::{Error, Response, error::Code, response};

use crate::frame::Frame;

/// What a descriptor that comes with an outcome is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Part {
    /// The write end of the container's stdin.
    Stdin = 0,
    /// The read end of its stdout.
    Stdout = 1,
    /// The read end of its stderr.
    Stderr = 2,
    /// Its terminal's master.
    Terminal = 3,
    /// Becomes readable when the kernel killed in its cgroup for memory.
    OomWatch = 4,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(message, optional, tag = "1")]
    response: Option<Response>,
    #[prost(enumeration = "Part", repeated, tag = "2")]
    parts: Vec<i32>,
    #[prost(bool, tag = "3")]
    shares_pid: bool,
    #[prost(uint64, tag = "4")]
    oom_kills: u64,
}

/// The result of a worker's job.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What the client is answered.
    pub(crate) response: Response,
    /// Descriptors for the loop, or for the client.
    pub(crate) parts: Vec<(Part, OwnedFd)>,
    /// The container's PID namespace goes on when its first process ends.
    pub(crate) shares_pid: bool,
    /// Processes of the container killed for memory so far.
    pub(crate) oom_kills: u64,
}

impl Outcome {
    pub(crate) fn new(kind: response::Kind) -> Self {
        let response = Response { error: None, kind: Some(kind) };
        Outcome { response, parts: Vec::new(), shares_pid: false, oom_kills: 0 }
    }

    pub(crate) fn refused(code: Code, message: String) -> Self {
        let error = Some(Error { code: code.into(), message });
        let response = Response { error, kind: None };
        Outcome { response, parts: Vec::new(), shares_pid: false, oom_kills: 0 }
    }

    pub(crate) fn failed(message: &str) -> Self {
        Outcome::refused(Code::Internal, message.to_owned())
    }

    /// The process that was started, if the job was to start one and did.
    pub(crate) fn pid(&self) -> Option<i32> {
        match &self.response.kind {
            Some(response::Kind::Process(process)) => i32::try_from(process.pid).ok(),
            _ => None,
        }
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.response.error.is_none()
    }

    /// As the worker sends it.
    pub(crate) fn frame(self) -> Frame {
        let (parts, descriptors) = self.parts.into_iter().map(|(part, fd)| (part as i32, fd)).unzip();
        let (response, oom_kills) = (Some(self.response), self.oom_kills);
        Frame::new(&Wire { response, parts, shares_pid: self.shares_pid, oom_kills }, descriptors)
    }

    /// As the loop receives it.
    pub(crate) fn read(frame: Frame) -> Self {
        let Ok(Wire { response: Some(response), parts, shares_pid, oom_kills }) =
            Wire::decode(frame.body.as_slice())
        else {
            return Outcome::failed("the worker for this request spoke nonsense");
        };
        let parts =
            parts.into_iter().filter_map(|part| Part::try_from(part).ok()).zip(frame.descriptors).collect();
        Outcome { response, parts, shares_pid, oom_kills }
    }
}
