//! The root of a container, as a detached mount.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use reeve_proto::shim::Mount;
use reeve_runtime::mount;

use super::Problem;

/// Makes the mount that `Create.rootfs` describes; None where it names none.
pub(super) fn make(mounts: &[Mount]) -> Result<Option<OwnedFd>, Problem> {
    let [mount] = mounts else {
        return if mounts.is_empty() { Ok(None) } else { Err(invalid("more than one mount")) };
    };
    if !matches!(mount.target.as_str(), "" | "/") {
        return Err(invalid(&format!("target {:?} is not the root", mount.target)));
    }
    match mount.r#type.as_str() {
        "overlay" => overlay(&mount.options).map(Some),
        "bind" if mount.options.is_empty() => Ok(Some(mount::bind_tree(Path::new(&mount.source))?)),
        "bind" => Err(invalid("a bind takes no options")),
        other => Err(invalid(&format!("type {other:?} is neither overlay nor bind"))),
    }
}

fn overlay(options: &[String]) -> Result<OwnedFd, Problem> {
    let (mut lower, mut upper, mut work, mut further) = (Vec::new(), None, None, Vec::new());
    for option in options {
        match option.split_once('=') {
            Some(("lowerdir", path)) => lower.push(PathBuf::from(path)),
            Some(("upperdir", path)) => upper = Some(Path::new(path)),
            Some(("workdir", path)) => work = Some(Path::new(path)),
            _ => further.push(option.as_str()),
        }
    }
    let (Some(upper), Some(work)) = (upper, work) else {
        return Err(invalid("an overlay needs upperdir and workdir"));
    };
    if lower.is_empty() {
        return Err(invalid("an overlay needs a lowerdir"));
    }
    Ok(mount::overlay(&lower, upper, work, &further)?)
}

fn invalid(reason: &str) -> Problem {
    Problem::Invalid(format!("rootfs: {reason}"))
}
