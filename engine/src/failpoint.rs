//! Points at which a test lets the daemon die. `REEVE_FAILPOINT=<name>` makes the process kill itself with
//! SIGKILL at that point, as a crash of the machine's would: nothing is flushed, no destructor runs.
//! `REEVE_FAILPOINT=<name>:<n>` does so at the n-th passage.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Every fail point, by operation, in the order in which it passes them.
pub const NAMES: &[&str] = &[
    "run_sandbox.after_intent",
    "run_sandbox.after_dirs",
    "run_sandbox.after_network",
    "run_sandbox.after_files",
    "run_sandbox.after_shm",
    "run_sandbox.after_cgroup",
    "run_sandbox.after_spawn",
    "run_sandbox.after_shim",
    "run_sandbox.after_outcome",
    "create_container.after_intent",
    "create_container.after_layer",
    "create_container.after_bundle",
    "create_container.after_outcome",
    "start_container.after_intent",
    "start_container.after_create",
    "start_container.after_start",
    "start_container.after_outcome",
    "container_exit.after_outcome",
    "container_exit.after_delete",
    "stop_container.after_signal",
    "stop_container.after_kill",
    "update_container.after_intent",
    "update_container.after_deed",
    "remove_container.after_intent",
    "remove_container.after_delete",
    "remove_container.after_bundle",
    "remove_container.after_layer",
    "remove_container.after_record",
    "stop_sandbox.after_intent",
    "stop_sandbox.after_containers",
    "stop_sandbox.after_shim",
    "stop_sandbox.after_network",
    "stop_sandbox.after_shm",
    "stop_sandbox.after_cgroup",
    "stop_sandbox.after_outcome",
    "remove_sandbox.after_stop",
    "remove_sandbox.after_intent",
    "remove_sandbox.after_containers",
    "remove_sandbox.after_dirs",
    "remove_sandbox.after_record",
];

/// The one point that is armed, and how many passages it still lets through.
struct Armed {
    name: String,
    left: AtomicUsize,
}

static ANY: AtomicBool = AtomicBool::new(false);
static ARMED: OnceLock<Armed> = OnceLock::new();

/// Reads the environment, once; passing a point costs one relaxed load until then, and when nothing is armed.
pub(crate) fn arm() {
    let Ok(value) = std::env::var("REEVE_FAILPOINT") else { return };
    let (name, passages) = match value.split_once(':') {
        Some((name, count)) => (name.to_owned(), count.parse().unwrap_or(1)),
        None => (value, 1),
    };
    if !NAMES.contains(&name.as_str()) {
        tracing::warn!(name, "REEVE_FAILPOINT names no fail point");
        return;
    }
    let armed = ARMED.set(Armed { name, left: AtomicUsize::new(passages) }).is_ok();
    ANY.store(armed, Ordering::Relaxed);
}

/// Passes a point; does not return when it is the armed one.
#[inline]
pub(crate) fn pass(name: &'static str) {
    debug_assert!(NAMES.contains(&name), "{name} is missing in the table of fail points");
    if ANY.load(Ordering::Relaxed) {
        die_at(name);
    }
}

#[cold]
fn die_at(name: &str) {
    let Some(armed) = ARMED.get().filter(|armed| armed.name == name) else { return };
    if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        // SAFETY: kill(2) and getpid(2) have no preconditions. SIGKILL cannot be caught, so this is the end.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
    }
}
