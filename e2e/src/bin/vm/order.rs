//! What the host tells the guest: a file that the guest's init reads before anything is mounted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::options::Share;

/// The variable of the kernel's command line that names the file; the kernel hands it to init.
pub(crate) const VARIABLE: &str = "reeve_vm_order";

/// The serial lines of the guest: its output, its errors, and how its command ended.
pub(crate) const LINES: [&str; 3] = ["/dev/ttyS0", "/dev/ttyS1", "/dev/ttyS2"];

/// What a guest is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) command: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directory: PathBuf,
    pub(crate) shares: Vec<Share>,
}
