//! Pulls from a registry that behaves, in all the forms images come in.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::images::{Builder, DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, Packing, descriptor, image};
use common::registry::{Access, start};
use common::tars::{dir, entry, file, hard_link, symlink, tar};
use common::{config, leftovers, open};
use reeve_image::{Auth, Digest, Error, LayerState, Platform, Progress};
use serde_json::json;

fn hello() -> Vec<u8> {
    tar(&[dir("bin/"), file("bin/hello", b"hello world").mode(0o755), symlink("hi", "bin/hello")])
}

fn read(images: &reeve_image::Images, image: &reeve_image::Image, path: &str) -> Option<String> {
    let plan = images.mount_plan(image).unwrap();
    plan.dirs.iter().find_map(|layer| fs::read_to_string(layer.join(path)).ok())
}

#[tokio::test]
async fn pulls_all_packings_of_both_families() {
    let registry = start(Access::Open).await;
    for docker in [false, true] {
        for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
            let root = tempfile::tempdir().unwrap();
            let images = open(root.path()).await;
            let mut builder = Builder::new(vec![(hello(), packing), (tar(&[file("two", b"2")]), packing)]);
            builder.docker = docker;
            let built = builder.build();
            let name = registry.push("team/app", "v1", &built);
            let pulled = images.pull(&name, None, None).await.unwrap();
            assert_eq!(pulled.id, built.id());
            assert_eq!(pulled.manifest, built.digest());
            assert_eq!(pulled.repo_tags, std::slice::from_ref(&name));
            assert_eq!(pulled.repo_digests, [registry.name(&format!("team/app@{}", built.digest()))]);
            assert_eq!(pulled.config.config().as_ref().unwrap().cmd().as_ref().unwrap(), &["/hello"]);
            assert_eq!(read(&images, &pulled, "bin/hello").as_deref(), Some("hello world"));
            assert_eq!(read(&images, &pulled, "two").as_deref(), Some("2"));
            let top = &images.mount_plan(&pulled).unwrap().dirs[0];
            assert!(top.join("two").exists(), "top layer first");
        }
    }
}

#[tokio::test]
async fn chooses_the_platform() {
    let registry = start(Access::Open).await;
    let ours = image(&[hello()]);
    let other = image(&[tar(&[file("other", b"x")])]);
    registry.push("app", "ours", &ours);
    registry.push("app", "other", &other);
    let entry = |built: &common::images::TestImage, os: &str, architecture: &str, variant: &str| {
        let mut entry = descriptor(OCI_MANIFEST, &built.manifest);
        entry["platform"] = json!({"os": os, "architecture": architecture, "variant": variant});
        entry
    };
    for media_type in [OCI_INDEX, DOCKER_LIST] {
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [
            entry(&other, "unknown", "unknown", ""),
            entry(&other, "linux", "arm", "v6"),
            entry(&ours, "linux", "arm", "v7"),
            entry(&other, "linux", "arm64", "v8"),
        ]});
        let index = index.to_string().into_bytes();
        registry.manifest("app", "multi", media_type, &index);
        let root = tempfile::tempdir().unwrap();
        let mut settings = config(root.path());
        settings.platform = Platform { os: "linux".into(), architecture: "arm".into(), variant: "v7".into() };
        let images = reeve_image::Images::open(settings).await.unwrap();
        let pulled = images.pull(&registry.name("app:multi"), None, None).await.unwrap();
        assert_eq!(pulled.id, ours.id());
        assert_eq!(pulled.repo_digests, [registry.name(&format!("app@{}", Digest::of(&index)))]);
        assert!(images.get(&registry.name(&format!("app@{}", ours.digest()))).is_some());
        let root = tempfile::tempdir().unwrap();
        let mut settings = config(root.path());
        settings.platform =
            Platform { os: "linux".into(), architecture: "s390x".into(), variant: String::new() };
        let images = reeve_image::Images::open(settings).await.unwrap();
        let error = images.pull(&registry.name("app:multi"), None, None).await.unwrap_err().to_string();
        assert!(
            error.contains("no image for platform linux/s390x") && error.contains("linux/arm/v7"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn keeps_every_attribute() {
    let registry = start(Access::Open).await;
    // cap_net_raw+ep, revision 2
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let built = image(&[tar(&[
        dir("./").mode(0o711).mtime(77),
        dir("d/").mode(0o1777).owner(5, 6).mtime(1000).xattr("user.folder", "yes"),
        file("d/setuid", b"x").mode(0o4755).owner(1000, 1001).mtime(2000),
        file("d/ping", b"x").mode(0o755).owner(1, 1).xattr("security.capability", capability),
        hard_link("d/again", "d/ping"),
        symlink("d/link", "/nowhere").owner(7, 8),
        entry(b'3', "d/null").device(1, 3).mode(0o666),
        entry(b'4', "d/disk").device(8, 1).mode(0o660).owner(0, 6),
        entry(b'6', "d/pipe").mode(0o600),
        file("d/time", b"").pax("mtime", "1234.5678"),
        file("d/odd", b"x").mode(0o002),
    ])]);
    let name = registry.push("app", "v1", &built);
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let pulled = images.pull(&name, None, None).await.unwrap();
    let layer = images.mount_plan(&pulled).unwrap().dirs[0].clone();
    let stat = |path: &str| fs::symlink_metadata(layer.join(path)).unwrap();
    assert_eq!((stat("").mode() & 0o7777, stat("").mtime()), (0o711, 77));
    let folder = stat("d");
    assert_eq!((folder.mode() & 0o7777, folder.uid(), folder.gid(), folder.mtime()), (0o1777, 5, 6, 1000));
    let setuid = stat("d/setuid");
    assert_eq!(
        (setuid.mode() & 0o7777, setuid.uid(), setuid.gid(), setuid.mtime()),
        (0o4755, 1000, 1001, 2000)
    );
    let value = |path: &str, name: &str| xattr::get(layer.join(path), name).unwrap();
    assert_eq!(value("d/ping", "security.capability").as_deref(), Some(&capability[..]));
    assert_eq!(value("d", "user.folder").as_deref(), Some(&b"yes"[..]));
    assert_eq!(stat("d/again").ino(), stat("d/ping").ino());
    assert_eq!(fs::read_link(layer.join("d/link")).unwrap(), Path::new("/nowhere"));
    assert_eq!((stat("d/link").uid(), stat("d/link").gid()), (7, 8));
    assert_eq!((stat("d/null").mode(), stat("d/null").rdev()), (0o020666, libc::makedev(1, 3)));
    assert_eq!((stat("d/disk").mode(), stat("d/disk").rdev()), (0o060660, libc::makedev(8, 1)));
    assert_eq!(stat("d/pipe").mode(), 0o010600);
    assert_eq!((stat("d/time").mtime(), stat("d/time").mtime_nsec()), (1234, 567_800_000));
    assert_eq!(stat("d/odd").mode() & 0o7777, 0o002);
}

#[tokio::test]
async fn moves_tags_and_keeps_the_old_image_by_digest() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let (old, new) = (image(&[hello()]), image(&[hello(), tar(&[file("new", b"1")])]));
    let name = registry.push("app", "latest", &old);
    images.pull(&name, None, None).await.unwrap();
    let blobs = registry.count("/blobs/");
    images.pull(&name, None, None).await.unwrap();
    assert_eq!(registry.count("/blobs/"), blobs, "nothing is fetched twice");
    registry.push("app", "latest", &new);
    let pulled = images.pull(&name, None, None).await.unwrap();
    assert_eq!(pulled.id, new.id());
    assert_eq!(images.list().len(), 2);
    let before = images.get(&old.id().to_string()).unwrap();
    assert!(before.repo_tags.is_empty());
    assert_eq!(before.repo_digests.len(), 1);
    assert_eq!(images.get(&old.id().hex()[..12]).unwrap().id, old.id());
    assert!(images.get("sha256:0000").is_none());
    // The base layer is shared, and was not fetched again.
    assert_eq!(registry.count(&old.layer_digest(0).to_string()), 1);
    images.remove(&old.id().to_string(), &[]).await.unwrap();
    assert!(images.mount_plan(&pulled).is_ok());
    images.remove(&name, &[]).await.unwrap();
    assert!(images.list().is_empty());
    assert_eq!(leftovers(root.path()), Vec::<std::path::PathBuf>::new());
    assert_eq!(images.fs_usage(), reeve_image::Usage::default());
}

#[tokio::test]
async fn many_callers_share_one_pull() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = image(&[hello(), tar(&[file("big", &vec![7; 300_000])])]);
    let name = registry.push("app", "v1", &built);
    let other = registry.push("copy", "v1", &built);
    let mut tasks = Vec::new();
    for index in 0..40 {
        let (images, name) = (images.clone(), if index % 2 == 0 { name.clone() } else { other.clone() });
        tasks.push(tokio::spawn(async move { images.pull(&name, None, None).await.unwrap().id }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), built.id());
    }
    for index in 0..2 {
        assert_eq!(registry.count(&built.layer_digest(index).to_string()), 1, "each layer once");
    }
    assert_eq!(images.list()[0].repo_tags.len(), 2);
}

#[tokio::test]
async fn a_layer_twice_in_one_image() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let layer = tar(&[file("x", b"x")]);
    let built = image(&[layer.clone(), hello(), layer.clone(), layer]);
    let name = registry.push("app", "v1", &built);
    let pulled = images.pull(&name, None, None).await.unwrap();
    assert_eq!(images.mount_plan(&pulled).unwrap().dirs.len(), 4);
    assert_eq!(registry.count(&built.layer_digest(0).to_string()), 1);
}

#[tokio::test]
async fn reports_progress() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = image(&[hello(), tar(&[file("b", b"b")])]);
    let name = registry.push("app", "v1", &built);
    let (sender, receiver) = tokio::sync::watch::channel(Progress::default());
    images.pull(&name, None, Some(sender)).await.unwrap();
    let last = receiver.borrow().clone();
    assert_eq!(last.layers.len(), 2);
    assert!(last.layers.iter().all(|layer| layer.state == LayerState::Done));
    assert_eq!(last.downloaded(), last.size());
    assert_eq!(last.size(), (built.layers[0].len() + built.layers[1].len()) as u64);
}

#[tokio::test]
async fn pulls_by_digest_and_survives_reopening() {
    let registry = start(Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let built = image(&[hello()]);
    registry.push("app", "v1", &built);
    let by_digest = registry.name(&format!("app:ignored@{}", built.digest()));
    let pulled = images.pull(&by_digest, None, None).await.unwrap();
    assert!(pulled.repo_tags.is_empty());
    images.tag(&pulled.id.to_string(), "nginx:mine").await.unwrap();
    images.pin("nginx:mine", true).await.unwrap();
    let usage = images.fs_usage();
    drop(images);
    let images = open(root.path()).await;
    let again = images.get("docker.io/library/nginx:mine").unwrap();
    assert_eq!(again.id, built.id());
    assert_eq!(again.repo_tags, ["docker.io/library/nginx:mine"]);
    assert!(again.pinned);
    assert_eq!(again.size, images.get(&by_digest).unwrap().size);
    assert_eq!(images.fs_usage(), usage);
}

#[tokio::test]
async fn a_second_store_on_one_root_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let _images = open(root.path()).await;
    let error = reeve_image::Images::open(config(root.path())).await.err().unwrap();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
}

#[tokio::test]
async fn authenticates_with_basic() {
    let registry = start(Access::Basic("user".into(), "secret".into())).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let name = registry.push("app", "v1", &image(&[hello()]));
    for auth in [None, Some(Auth::basic("user", "wrong"))] {
        let error = images.pull(&name, auth, None).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
        assert!(
            !error.to_string().contains("wrong\"") && error.to_string().contains("access denied"),
            "{error}"
        );
    }
    images.pull(&name, Some(Auth::basic("user", "secret")), None).await.unwrap();
    // The image being here does not open it to others.
    assert!(images.pull(&name, None, None).await.is_err());
}

#[tokio::test]
async fn authenticates_with_bearer_tokens() {
    for (user, auth) in [
        (None, None),
        (Some(("user", "secret")), Some(Auth::basic("user", "secret"))),
        (Some(("identity", "refresh-me")), Some(Auth::identity_token("refresh-me"))),
    ] {
        let user = user.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let registry = start(Access::Bearer(user)).await;
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path()).await;
        let layers: Vec<_> = (0..6).map(|n| tar(&[file("n", &[n])])).collect();
        let name = registry.push("team/app", "v1", &image(&layers));
        images.pull(&name, auth.clone(), None).await.unwrap();
        assert_eq!(registry.count("/token"), 1, "one token for all layers");
        let asked = registry.seen().into_iter().find(|seen| seen.path == "/token").unwrap();
        let scope = format!("{}{}", asked.query, asked.body);
        assert!(scope.contains("scope=repository%3Ateam%2Fapp%3Apull"), "{scope}");
        assert!(scope.contains("service=registry.test"), "{scope}");
        // A token that the registry takes no more is replaced.
        registry.revoke_tokens();
        let name = registry.push("team/app", "v2", &image(&[tar(&[file("v", b"2")])]));
        images.pull(&name, auth, None).await.unwrap();
        assert_eq!(registry.count("/token"), 2);
    }
}

#[tokio::test]
async fn wrong_credentials_for_a_token() {
    let registry = start(Access::Bearer(Some(("user".into(), "secret".into())))).await;
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let name = registry.push("app", "v1", &image(&[hello()]));
    let error = images.pull(&name, Some(Auth::basic("user", "hunter2")), None).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"));
}

#[tokio::test]
async fn refreshes_tokens_that_expire() {
    let registry = start(Access::Bearer(None)).await;
    registry.token_life(1);
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let name = registry.push("app", "v1", &image(&[hello()]));
    images.pull(&name, None, None).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1000)).await;
    images.pull(&name, None, None).await.unwrap();
    assert_eq!(registry.count("/token"), 2);
}
