//! What this host's kernel offers of the security modules that CRI has fields for.

use std::fs;
use std::path::Path;

/// Whether AppArmor is there and on (apparmor(7)).
pub(crate) fn has_apparmor() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|enabled| enabled.starts_with('Y'))
}

/// Whether SELinux is there: its filesystem is mounted exactly then.
pub(crate) fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}
