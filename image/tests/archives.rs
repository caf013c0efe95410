//! Archives in and out.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::path::Path;

use common::images::{Builder, Packing, image};
use common::tars::{dir, file, gzip, hard_link, symlink, tar, zstd};
use common::{leftovers, open};
use reeve_image::{ArchiveFormat, Digest, Error};

fn layers() -> Vec<Vec<u8>> {
    vec![tar(&[dir("a/"), file("a/x", b"base")]), tar(&[file("a/y", b"top"), file("a/.wh.x", b"")])]
}

/// A folder as a tar, as `tar -C folder -c .` would.
fn archive_of(folder: &Path) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    builder.append_dir_all(".", folder).unwrap();
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn imports_an_oci_layout_in_every_wrapping() {
    let layout = tempfile::tempdir().unwrap();
    let built = Builder::new(layers().into_iter().map(|tar| (tar, Packing::Zstd)).collect()).build();
    built.write_layout(layout.path(), Some("registry.test/team/app:v1"));
    let plain = archive_of(layout.path());
    let files = tempfile::tempdir().unwrap();
    let mut paths = vec![layout.path().to_owned()];
    for (name, bytes) in [("plain", plain.clone()), ("gzip", gzip(&plain)), ("zstd", zstd(&plain))] {
        fs::write(files.path().join(name), bytes).unwrap();
        paths.push(files.path().join(name));
    }
    for path in paths {
        let root = tempfile::tempdir().unwrap();
        let images = open(root.path()).await;
        let imported = images.import(&path).await.unwrap();
        assert_eq!(imported.len(), 1);
        assert_eq!(imported[0].manifest, built.digest());
        assert_eq!(imported[0].repo_tags, ["registry.test/team/app:v1"]);
        assert_eq!(images.mount_plan(&imported[0]).unwrap().dirs.len(), 2);
        assert_eq!(fs::read_dir(root.path().join("content/ingest")).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn what_goes_out_comes_in_again() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let layout = tempfile::tempdir().unwrap();
    let built = image(&layers());
    built.write_layout(layout.path(), Some("registry.test/app:v1"));
    images.import(layout.path()).await.unwrap();
    images.tag("registry.test/app:v1", "nginx").await.unwrap();
    let out = tempfile::tempdir().unwrap();
    for format in [ArchiveFormat::OciDir, ArchiveFormat::OciTar, ArchiveFormat::DockerTar] {
        let path = out.path().join(format!("{format:?}"));
        let names = ["registry.test/app:v1".to_owned(), "docker.io/library/nginx:latest".to_owned()];
        images.export(&names, format, &path).await.unwrap();
        let error = images.export(&names, format, &path).await.unwrap_err();
        assert!(error.to_string().contains("cannot create"), "{error}");
        let other = tempfile::tempdir().unwrap();
        let copies = open(other.path()).await;
        copies.import(&path).await.unwrap();
        let list = copies.list();
        assert_eq!(list.len(), 1, "{format:?}");
        assert_eq!(list[0].id, built.id());
        assert_eq!(list[0].repo_tags, ["docker.io/library/nginx:latest", "registry.test/app:v1"]);
        if format != ArchiveFormat::DockerTar {
            assert_eq!(list[0].manifest, built.digest());
        }
        let top = copies.mount_plan(&list[0]).unwrap().dirs[0].clone();
        assert_eq!(fs::read(top.join("a/y")).unwrap(), b"top");
    }
    let missing = images.export(&["nothing".to_owned()], ArchiveFormat::OciTar, &out.path().join("m")).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
    assert!(!out.path().join("m").exists());
}

#[tokio::test]
async fn imports_old_docker_archives_with_linked_layers() {
    let layer = tar(&[file("f", b"1")]);
    let diff_id = Digest::of(&layer).to_string();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "docker_version": "1.9", "container_config": {"Cmd": null},
        "config": {"Cmd": null, "Entrypoint": null, "Volumes": null, "OnBuild": null, "Labels": null,
                   "ExposedPorts": {"80/tcp": {}}, "Healthcheck": {"Test": ["CMD", "true"]}},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "x", "empty_layer": true}],
        "rootfs": {"type": "layers", "diff_ids": [diff_id, diff_id, diff_id]},
    })
    .to_string();
    let manifest =
        r#"[{"Config":"c.json","RepoTags":["old:1"],"Layers":["1/layer.tar","2/layer.tar","3/layer.tar"]}]"#;
    let archive = tar(&[
        file("c.json", config.as_bytes()),
        file("1/layer.tar", &layer),
        symlink("2/layer.tar", "../1/layer.tar"),
        hard_link("3/layer.tar", "1/layer.tar"),
        file("manifest.json", manifest.as_bytes()),
    ]);
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("archive"), archive).unwrap();
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let imported = images.import(&files.path().join("archive")).await.unwrap();
    assert_eq!(imported[0].repo_tags, ["docker.io/library/old:1"]);
    assert_eq!(images.mount_plan(&imported[0]).unwrap().dirs.len(), 3);
    images.remove("old:1", &[]).await.unwrap();
    assert_eq!(leftovers(root.path()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn refuses_archives_that_are_none_or_are_damaged() {
    let root = tempfile::tempdir().unwrap();
    let images = open(root.path()).await;
    let files = tempfile::tempdir().unwrap();
    let docker = |manifest: &str| tar(&[file("manifest.json", manifest.as_bytes())]);
    for (name, bytes, word) in [
        ("empty", Vec::new(), "neither"),
        ("text", b"hello".to_vec(), "ends in the middle"),
        ("other", tar(&[file("x", b"y")]), "neither"),
        ("json", docker("{"), "manifest.json"),
        ("none", docker("[]"), "no image"),
        ("missing", docker(r#"[{"Config":"c.json","Layers":[]}]"#), "c.json is missing"),
        ("escape", docker(r#"[{"Config":"../../etc/passwd","Layers":[]}]"#), "leave"),
        ("gzip", gzip(&tar(&[file("x", &vec![7; 5000])]))[..40].to_vec(), "cannot"),
        ("loop", tar(&[symlink("manifest.json", "manifest.json")]), "circles"),
    ] {
        let path = files.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = images.import(&path).await.unwrap_err().to_string();
        assert!(error.contains(word), "{name}: {error}");
        assert!(error.contains(&path.display().to_string()), "{name}: {error}");
    }
    let layout = tempfile::tempdir().unwrap();
    let built = image(&layers());
    built.write_layout(layout.path(), None);
    let blob = layout.path().join("blobs/sha256").join(built.layer_digest(1).hex());
    let bytes = fs::read(&blob).unwrap();
    let mut wrong = bytes.clone();
    wrong[20] ^= 1;
    for (content, word) in
        [(Some(wrong), "wrong digest"), (Some(bytes[..50].to_vec()), "truncated"), (None, "missing")]
    {
        match content {
            Some(content) => fs::write(&blob, content).unwrap(),
            None => fs::remove_file(&blob).unwrap(),
        }
        let error = images.import(layout.path()).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    images.collect_garbage(&[]).await.unwrap();
    assert_eq!(leftovers(root.path()), Vec::<std::path::PathBuf>::new());
}
