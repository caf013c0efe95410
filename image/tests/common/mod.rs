//! What the tests of this crate share: tars of any shape, images of them, and a registry that misbehaves.
#![allow(dead_code, clippy::unwrap_used, missing_docs, unreachable_pub)]

pub mod images;
pub mod layers;
pub mod registry;
pub mod tars;

use std::path::{Path, PathBuf};
use std::time::Duration;

use reeve_image::{Config, Images, Retry};

pub fn config(root: &Path) -> Config {
    Config {
        certs_dirs: vec![root.join("certs.d")],
        retry: Retry {
            attempts: 4,
            min_delay: Duration::from_millis(5),
            max_delay: Duration::from_millis(50),
            idle_timeout: Duration::from_millis(400),
        },
        ..Config::new(root)
    }
}

pub async fn open(root: &Path) -> Images {
    Images::open(config(root)).await.unwrap()
}

/// A folder in memory where there is one: hundreds of small stores need not wait for the disk.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Collects garbage until nothing is left: a layer that was being finished when its pull failed comes late.
pub async fn assert_empty_soon(images: &Images, root: &Path) {
    for _ in 0..100 {
        images.collect_garbage(&[]).await.unwrap();
        if leftovers(root).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("left behind: {:?}", leftovers(root));
}

/// Everything in a store that is no empty folder and no bookkeeping: blobs, layers, and what should not be.
pub fn leftovers(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["content/blobs/sha256", "content/ingest", "layers", "layers/.work"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if !path.file_name().unwrap().to_string_lossy().starts_with('.') {
                found.push(path);
            }
        }
    }
    found
}

/// Runs `test` on a thread with a mount namespace of its own, so that its mounts go with it.
pub fn in_mount_namespace<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    use nix::mount::{MsFlags, mount};
    std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        test()
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
