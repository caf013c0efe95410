//! Layers mounted with the kernel's overlayfs: what whiteouts mean is what it shows.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::in_mount_namespace;
use common::layers::{Unpacked, unpack};
use common::tars::{dir, entry, file, hard_link, symlink, tar};
use nix::mount::{MsFlags, mount};

/// Mounts the image, without and with an upper layer, and looks at it.
fn mounted(tars: Vec<Vec<u8>>, look: impl Fn(&Path) + Send + 'static) {
    in_mount_namespace(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let unpacked = runtime.block_on(unpack(&tars)).unwrap();
        for writable in [false, true] {
            let work = tempfile::tempdir().unwrap();
            let target = mount_image(&unpacked, work.path(), writable);
            look(&target);
            nix::mount::umount(&target).unwrap();
        }
    });
}

fn mount_image(unpacked: &Unpacked, work: &Path, writable: bool) -> PathBuf {
    let make = |name: &str| {
        fs::create_dir(work.join(name)).unwrap();
        work.join(name)
    };
    let target = make("merged");
    let plan = unpacked.images.mount_plan(&unpacked.image).unwrap();
    let lowers: Vec<String> = plan.dirs.iter().map(|dir| dir.display().to_string()).collect();
    let mut options = format!("lowerdir={}", lowers.join(":"));
    if writable {
        options += &format!(",upperdir={},workdir={}", make("upper").display(), make("work").display());
    } else if lowers.len() == 1 {
        options += &format!(":{}", make("empty").display());
    }
    mount(Some("overlay"), &target, Some("overlay"), MsFlags::empty(), Some(options.as_str())).unwrap();
    target
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn whiteouts_hide_what_is_below() {
    let base = tar(&[
        dir("d/"),
        file("d/gone", b"1"),
        file("d/stays", b"1"),
        file("gone", b"1"),
        dir("e/"),
        file("e/x", b"1"),
    ]);
    let top = tar(&[file("d/.wh.gone", b""), file(".wh.gone", b""), file(".wh.e", b"")]);
    mounted(vec![base, top], |root| {
        assert_eq!(names(root), ["d"]);
        assert_eq!(names(&root.join("d")), ["stays"]);
        assert!(fs::symlink_metadata(root.join("gone")).is_err());
    });
}

#[test]
fn an_entry_of_the_same_layer_stays_in_either_order() {
    let base = tar(&[dir("d/"), file("d/old", b"1"), file("f", b"old")]);
    for top in [
        tar(&[file(".wh.d", b""), dir("d/"), file("d/new", b"2"), file(".wh.f", b""), file("f", b"new")]),
        tar(&[dir("d/"), file("d/new", b"2"), file(".wh.d", b""), file("f", b"new"), file(".wh.f", b"")]),
        tar(&[file(".wh.d", b""), file("d/new", b"2"), file("f", b"new")]),
    ] {
        mounted(vec![base.clone(), top], |root| {
            assert_eq!(names(root), ["d", "f"]);
            assert_eq!(names(&root.join("d")), ["new"]);
            assert_eq!(fs::read(root.join("f")).unwrap(), b"new");
        });
    }
}

#[test]
fn opaque_folders_show_only_their_own() {
    let base =
        tar(&[dir("d/"), file("d/old", b"1"), dir("d/sub/"), file("d/sub/old", b"1"), file("x", b"1")]);
    for top in [
        tar(&[dir("d/"), file("d/.wh..wh..opq", b""), file("d/new", b"2"), file("d/.wh.old", b"")]),
        tar(&[file("d/new", b"2"), file("d/.wh.old", b""), file("d/.wh..wh..opq", b"")]),
    ] {
        mounted(vec![base.clone(), top], |root| {
            assert_eq!(names(&root.join("d")), ["new"]);
            assert_eq!(names(root), ["d", "x"]);
        });
    }
}

#[test]
fn an_opaque_root_shows_only_its_own() {
    let base = tar(&[dir("d/"), file("d/old", b"1"), file("x", b"1")]);
    let middle = tar(&[file("y", b"1")]);
    let top = tar(&[file(".wh..wh..opq", b""), file("d/new", b"2"), file("z", b"3")]);
    mounted(vec![base, middle, top], |root| {
        assert_eq!(names(root), ["d", "z"]);
        assert_eq!(names(&root.join("d")), ["new"]);
    });
}

#[test]
fn whiteouts_in_the_base_mean_nothing() {
    let base = tar(&[
        dir("d/"),
        file("d/.wh.x", b""),
        file("d/.wh..wh..opq", b""),
        file(".wh.y", b""),
        file("z", b""),
    ]);
    mounted(vec![base], |root| {
        assert_eq!(names(root), ["d", "z"]);
        assert_eq!(names(&root.join("d")), Vec::<String>::new());
    });
}

#[test]
fn a_whiteout_of_a_middle_layer_ends_at_the_next() {
    let base = tar(&[file("f", b"1"), dir("d/"), file("d/1", b"1")]);
    let middle = tar(&[file(".wh.f", b""), file(".wh.d", b"")]);
    let top = tar(&[file("f", b"3"), dir("d/"), file("d/3", b"3")]);
    mounted(vec![base, middle, top], |root| {
        assert_eq!(fs::read(root.join("f")).unwrap(), b"3");
        assert_eq!(names(&root.join("d")), ["3"]);
    });
}

#[test]
fn implied_folders_look_as_they_do_below() {
    let base = tar(&[dir("./").mode(0o750).owner(3, 4), dir("tmp/").mode(0o1777).owner(1, 2).mtime(99)]);
    let top = tar(&[file("tmp/x", b"1"), file("new/y", b"1")]);
    mounted(vec![base, top], |root| {
        let stat = |path: &str| fs::metadata(root.join(path)).unwrap();
        assert_eq!((stat("tmp").mode() & 0o7777, stat("tmp").uid(), stat("tmp").gid()), (0o1777, 1, 2));
        assert_eq!(stat("new").mode() & 0o7777, 0o755);
    });
    let base = tar(&[dir("./").mode(0o750).owner(3, 4)]);
    in_mount_namespace(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let unpacked = runtime.block_on(unpack(&[base, tar(&[file("x", b"")])])).unwrap();
        let root = fs::metadata(&unpacked.layers[1]).unwrap();
        assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o750, 3, 4));
    });
}

#[test]
fn hard_links_into_a_lower_layer_are_copies() {
    let base = tar(&[
        dir("d/"),
        file("d/f", b"content").mode(0o4711).owner(5, 6).xattr("user.x", "1"),
        file("gone", b""),
    ]);
    let top = tar(&[hard_link("link", "d/f"), symlink("s", "link")]);
    mounted(vec![base.clone(), top], |root| {
        assert_eq!(fs::read(root.join("link")).unwrap(), b"content");
        let stat = fs::metadata(root.join("link")).unwrap();
        assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.gid()), (0o4711, 5, 6));
        assert_eq!(xattr::get(root.join("link"), "user.x").unwrap().as_deref(), Some(&b"1"[..]));
    });
    // What a layer between has removed is not there to be linked.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tars = [base, tar(&[file(".wh.gone", b"")]), tar(&[hard_link("link", "gone")])];
    assert!(runtime.block_on(unpack(&tars)).is_err());
}

#[test]
fn a_device_zero_is_a_whiteout() {
    let base = tar(&[file("f", b"1"), file("g", b"1")]);
    let top = tar(&[entry(b'3', "f").device(0, 0)]);
    mounted(vec![base, top], |root| assert_eq!(names(root), ["g"]));
}

#[test]
fn an_image_without_layers_mounts() {
    mounted(Vec::new(), |root| assert_eq!(names(root), Vec::<String>::new()));
}
