//! What is left on disk, and what is not: killed pulls, full disks, lost layers, names and leases.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::images::image;
use common::registry::{Access, Fault, start};
use common::tars::{dir, file, tar};
use common::{in_mount_namespace, leftovers, open};
use nix::mount::{MsFlags, mount};
use reeve_image::{Error, Images, Usage};

const CHILD: &str = "REEVE_IMAGE_TEST_PULL";

/// Not a test: the process that is killed in the middle of a pull.
#[tokio::test]
async fn child_that_pulls() {
    let Ok(text) = std::env::var(CHILD) else { return };
    let (root, name) = text.split_once('|').unwrap();
    let _ = open(Path::new(root)).await.pull(name, None, None).await;
}

#[tokio::test]
async fn a_killed_pull_leaves_nothing() {
    let registry = start(Access::Open).await;
    let layers: Vec<Vec<u8>> = (0..3u8)
        .map(|n| {
            let folders = (0..50).map(|i| dir(&format!("d{n}/{i}")));
            let files = (0..200).map(|i| file(&format!("d{n}/f{i}"), &vec![n; 3000 + i]));
            tar(&folders.chain(files).collect::<Vec<_>>())
        })
        .collect();
    let built = image(&layers);
    let name = registry.push("app", "v1", &built);
    for moment in [0u64, 20, 60, 120, 200, 300] {
        let root = tempfile::tempdir().unwrap();
        for index in 0..3 {
            registry.fault(&built.layer_digest(index).to_string(), Fault::Slow(Duration::from_millis(20)), 1);
        }
        let before = registry.count("/blobs/");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_pulls"])
            .env(CHILD, format!("{}|{name}", root.path().display()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while registry.count("/blobs/") == before {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(moment)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let images = open(root.path()).await;
        // Nothing half-made is left by opening; what is whole but nameless goes with the collection.
        assert_eq!(fs::read_dir(root.path().join("content/ingest")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(root.path().join("layers/.work")).unwrap().count(), 0);
        if images.list().is_empty() {
            images.collect_garbage(&[]).await.unwrap();
            assert_eq!(leftovers(root.path()), Vec::<PathBuf>::new(), "killed after {moment} ms");
        }
        let pulled = images.pull(&name, None, None).await.unwrap();
        assert_eq!(images.mount_plan(&pulled).unwrap().dirs.len(), 3);
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    in_mount_namespace(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let root = tempfile::tempdir().unwrap();
        mount(Some("tmpfs"), root.path(), Some("tmpfs"), MsFlags::empty(), Some("size=3m")).unwrap();
        runtime.block_on(async {
            let registry = start(Access::Open).await;
            let images = open(root.path()).await;
            // Zeros: the blob has room, the layer has not.
            let zeros = registry.push("app", "zeros", &image(&[tar(&[file("big", &vec![0; 8 << 20])])]));
            let noise: Vec<u8> =
                (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            let blob = registry.push("app", "noise", &image(&[tar(&[file("big", &noise)])]));
            for name in [zeros, blob] {
                let error = images.pull(&name, None, None).await.unwrap_err();
                assert!(matches!(error, Error::DiskFull { .. }), "{error}");
                let text = error.to_string();
                assert!(
                    text.contains("no space left") && text.contains(&root.path().display().to_string()),
                    "{text}"
                );
                common::assert_empty_soon(&images, root.path()).await;
            }
            let small = registry.push("app", "small", &image(&[tar(&[file("small", b"1")])]));
            images.pull(&small, None, None).await.unwrap();
        });
    });
}

#[tokio::test]
async fn what_is_in_use_survives_removal_and_collection() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = image(&[tar(&[file("a", b"a")]), tar(&[file("b", b"b")])]);
    let name = registry.push("app", "v1", &built);
    let pulled = images.pull(&name, None, None).await.unwrap();
    let plan = images.mount_plan(&pulled).unwrap();
    let in_use = [pulled.id.clone()];
    images.remove(&name, &in_use).await.unwrap();
    assert!(images.get(&name).is_none());
    assert!(plan.dirs.iter().all(|dir| dir.exists()));
    drop(images);
    drop(plan);
    // Also after a restart, when only the engine knows of the container.
    let images = open(root.path()).await;
    images.collect_garbage(&in_use).await.unwrap();
    let layers =
        || leftovers(root.path()).iter().filter(|path| path.starts_with(root.path().join("layers"))).count();
    assert_eq!(layers(), 2);
    // A lease alone holds them as well.
    let plan = images.mount_plan(&pulled).unwrap();
    images.collect_garbage(&[]).await.unwrap();
    assert_eq!(layers(), 2);
    drop(plan);
    let freed = images.collect_garbage(&[]).await.unwrap();
    assert_eq!(freed.layers, 2);
    assert_eq!(leftovers(root.path()), Vec::<PathBuf>::new());
    assert_eq!(images.fs_usage(), Usage::default());
}

#[tokio::test]
async fn lost_layers_come_back_from_their_blobs() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = image(&[tar(&[file("a", b"a")]), tar(&[file("b", b"b")])]);
    let name = registry.push("app", "v1", &built);
    let pulled = images.pull(&name, None, None).await.unwrap();
    let dirs = images.mount_plan(&pulled).unwrap().dirs.clone();
    // As after a power cut: made in another boot, and not known to be on disk.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(images);
    let info = dirs[0].parent().unwrap().join("layer.json");
    let text = fs::read_to_string(&info).unwrap();
    assert!(!text.contains("boot"), "settled by now: {text}");
    fs::write(&info, text.replacen('{', "{\"boot\":\"another\",", 1)).unwrap();
    fs::write(dirs[0].join("b"), "").unwrap();
    fs::remove_dir_all(dirs[1].parent().unwrap()).unwrap();
    let images = open(root.path()).await;
    assert_eq!(fs::read(dirs[0].join("b")).unwrap(), b"b");
    assert_eq!(fs::read(dirs[1].join("a")).unwrap(), b"a");
    assert_eq!(images.get(&name).unwrap().size, pulled.size);
}

#[tokio::test]
async fn an_image_whose_blobs_are_lost_is_forgotten_and_heals() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = image(&[tar(&[file("a", b"a")])]);
    let name = registry.push("app", "v1", &built);
    let pulled = images.pull(&name, None, None).await.unwrap();
    drop(images);
    let blob = root.path().join("content/blobs/sha256").join(built.id().hex());
    fs::write(&blob, "damaged").unwrap();
    let images = open(root.path()).await;
    assert!(images.get(&name).is_none());
    images.collect_garbage(&[]).await.unwrap();
    let again = images.pull(&name, None, None).await.unwrap();
    assert_eq!(again.id, pulled.id);
}

#[tokio::test]
async fn names_come_and_go_as_in_docker() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = image(&[tar(&[file("a", b"a")])]);
    for tag in ["1", "2", "3"] {
        images.pull(&registry.push("app", tag, &built), None, None).await.unwrap();
    }
    assert_eq!(images.list().len(), 1);
    let tags: Vec<String> = ["1", "2", "3"].iter().map(|tag| registry.name(&format!("app:{tag}"))).collect();
    assert_eq!(images.list()[0].repo_tags, tags);
    images.remove(&tags[1], &[]).await.unwrap();
    assert_eq!(images.list()[0].repo_tags.len(), 2);
    images.remove(&tags[0], &[]).await.unwrap();
    images.remove(&tags[2], &[]).await.unwrap();
    assert!(images.list().is_empty());
    let error = images.remove(&tags[2], &[]).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn listing_does_not_touch_the_disk() {
    let root = common::scratch();
    let layout = common::scratch();
    let built = image(&[tar(&[file("a", b"a")])]);
    built.write_layout(layout.path(), Some("registry.test/app:0"));
    let images = open(root.path()).await;
    images.import(layout.path()).await.unwrap();
    for n in 1..50 {
        images.tag("registry.test/app:0", &format!("registry.test/app:{n}")).await.unwrap();
    }
    let begun = std::time::Instant::now();
    for _ in 0..1000 {
        assert_eq!(images.list()[0].repo_tags.len(), 50);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn opening_a_root_that_cannot_be_made_names_it() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    let error = Images::open(common::config(&root.path().join("file/root"))).await.err().unwrap();
    assert!(error.to_string().contains("file/root"), "{error}");
}
