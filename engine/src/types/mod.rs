//! What callers describe and what they get to see, in the engine's own words.

mod container;
mod event;
mod exec;
mod resources;
mod sandbox;
mod stats;

pub use container::{
    Container, ContainerMetadata, ContainerSpec, ContainerState, Device, Mount, PidNamespace, Propagation,
    Seccomp, Security,
};
pub use event::{Event, EventKind};
pub use exec::{AttachSpec, ExecOutput, ExecSession, ExecSpec, Terminal, TerminalSize};
pub use resources::{HugepageLimit, Resources};
pub use sandbox::{Dns, Sandbox, SandboxMetadata, SandboxSpec, SandboxState};
pub use stats::{ContainerStats, FsUsage, InterfaceStats};
