//! Tars that try to get out, to lie, or to be too much.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use common::layers::{unpack, unpack_in};
use common::tars::{Entry, dir, entry, file, hard_link, record, seal, symlink, tar};
use reeve_image::{Error, Images, LayerError};

/// Every kind of entry, under one name.
fn kinds(name: &str) -> Vec<Entry> {
    vec![
        file(name, b"evil"),
        dir(name),
        symlink(name, "/etc/passwd"),
        hard_link(name, "victim"),
        entry(b'3', name).device(1, 3),
        entry(b'4', name).device(8, 0),
        entry(b'6', name),
        file(name, b"evil").xattr("user.x", "1"),
    ]
}

/// All that lies in a folder, with what an attack could change of it.
fn census(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut work = vec![folder.to_owned()];
    while let Some(folder) = work.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = if stat.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            let text =
                format!("{:o} {} {} {} {content:?}", stat.mode(), stat.uid(), stat.gid(), stat.nlink());
            if stat.is_dir() {
                work.push(path.clone());
            }
            found.insert(path.display().to_string(), text);
        }
    }
    found
}

/// A store in a folder full of things that may not change.
struct Trap {
    around: tempfile::TempDir,
}

impl Trap {
    fn new() -> Trap {
        let around = common::scratch();
        fs::create_dir_all(around.path().join("outside/etc")).unwrap();
        fs::write(around.path().join("outside/etc/passwd"), "root").unwrap();
        fs::write(around.path().join("secret"), "secret").unwrap();
        Trap { around }
    }

    fn outside(&self) -> String {
        self.around.path().join("outside").display().to_string()
    }

    /// Unpacks and checks that nothing outside of the layer was touched; the error, if it was refused.
    async fn spring(&self, entries: &[Entry]) -> Option<Error> {
        let outside = || {
            let mut all = census(self.around.path());
            all.retain(|path, _| !path.contains("/store"));
            all
        };
        let before = outside();
        let root = tempfile::Builder::new().prefix("store").tempdir_in(self.around.path()).unwrap();
        let result = unpack_in(root, &[tar(entries)]).await;
        assert_eq!(outside(), before, "something outside was touched");
        result.err()
    }
}

#[tokio::test]
async fn no_entry_leaves_by_dots() {
    let trap = Trap::new();
    for name in
        ["../evil", "../../secret", "a/../../evil", "./../evil", "/../../secret", "..", "a/b/../../../x"]
    {
        for entry in kinds(name) {
            let error = trap.spring(&[dir("a"), file("victim", b"v"), entry]).await;
            let error = error.unwrap_or_else(|| panic!("{name} was taken"));
            assert!(
                matches!(error, Error::Layer { source: LayerError::Escape { .. }, .. }),
                "{name}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn absolute_names_are_below_the_layers_root() {
    let trap = Trap::new();
    for entry in kinds(&format!("{}/etc/passwd", trap.outside())) {
        assert!(trap.spring(&[file("victim", b"v"), entry]).await.is_none());
    }
    let unpacked = unpack(&[tar(&[file("/app/run", b"x")])]).await.unwrap();
    assert!(unpacked.layers[0].join("app/run").exists());
}

#[tokio::test]
async fn no_entry_leaves_through_a_symlink() {
    let trap = Trap::new();
    let out = trap.outside();
    for target in [out.as_str(), "../../../outside", "../../../../../../../..", "/", "/proc/self/root", "."] {
        for name in ["link/etc/passwd", "link/evil", "link/secret", "link/../../secret"] {
            for entry in kinds(name) {
                // Refused or kept inside: both are fine, and what is outside is compared.
                let _ = trap.spring(&[file("victim", b"v"), symlink("link", target), entry]).await;
            }
        }
        // The name of the link itself, again: the link gives way, its target is not written.
        for entry in kinds("link") {
            let _ = trap.spring(&[file("victim", b"v"), symlink("link", target), entry]).await;
        }
    }
    // Through a chain, and through a folder that turns into a link.
    let passwd = "link2/etc/passwd";
    trap.spring(&[symlink("link", &out), symlink("link2", "link"), file(passwd, b"evil")]).await;
    trap.spring(&[dir("d"), file("d/x", b"1"), symlink("d", &out), file("d/secret", b"evil")]).await;
    trap.spring(&[dir("d"), file("d/etc", b"1"), symlink("d", &out), dir("d").mode(0o777)]).await;
    // A link whose target comes later, and the folder's attributes are set at the end.
    trap.spring(&[dir("d").mode(0o777).owner(9, 9), symlink("d", &out)]).await;
    trap.spring(&[dir("a/d").mode(0o777).owner(9, 9), symlink("a", &out), file("a/d/x", b"")]).await;
}

#[tokio::test]
async fn hard_links_reach_nothing_outside() {
    let trap = Trap::new();
    let out = trap.outside();
    for target in ["../secret", "../../secret", "a/../../secret", "/../secret"] {
        let error = trap.spring(&[hard_link("evil", target)]).await.unwrap();
        assert!(matches!(error, Error::Layer { source: LayerError::Escape { .. }, .. }), "{error}");
    }
    let absolute = format!("{out}/etc/passwd");
    assert!(trap.spring(&[hard_link("evil", &absolute)]).await.is_some());
    let through = [symlink("l", &out), hard_link("evil", "l/etc/passwd"), file("evil", b"evil")];
    assert!(trap.spring(&through).await.is_some());
    // A hard link to a symlink, then written through.
    let entries = [symlink("l", &absolute), hard_link("evil", "l"), file("evil", b"evil")];
    assert!(trap.spring(&entries).await.is_none());
    for target in ["", "/", ".", "evil", "missing", "folder"] {
        assert!(trap.spring(&[dir("folder"), hard_link("evil", target)]).await.is_some(), "{target}");
    }
}

#[tokio::test]
async fn whiteouts_of_no_name_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh..."] {
        let base = tar(&[file("a/b", b"1")]);
        let error = unpack(&[base, tar(&[file(name, b"")])]).await.err();
        assert!(error.is_some(), "{name}");
    }
    let tars = [tar(&[file("a", b"1")]), tar(&[file(".wh..wh.plnk/1.2", b""), file("b", b"")])];
    let unpacked = unpack(&tars).await.unwrap();
    assert_eq!(fs::read_dir(&unpacked.layers[1]).unwrap().count(), 1, "AUFS bookkeeping is passed over");
}

#[tokio::test]
async fn overlays_own_xattrs_cannot_be_forged() {
    let forged = dir("d").xattr("trusted.overlay.redirect", "/etc").xattr("trusted.overlay.opaque", "y");
    let forged = forged.xattr("user.overlay.opaque", "y").xattr("user.fine", "1");
    let unpacked = unpack(&[tar(&[file("x", b"")]), tar(&[forged])]).await.unwrap();
    let names: Vec<_> = xattr::list(unpacked.layers[1].join("d")).unwrap().collect();
    assert_eq!(names, ["user.fine"]);
}

#[tokio::test]
async fn later_entries_replace_earlier_ones() {
    for first in kinds("x") {
        for second in kinds("x") {
            let entries = [file("victim", b"v"), first.clone(), file("x2", b""), second.clone()];
            let unpacked = unpack(&[tar(&entries)]).await;
            let unpacked = unpacked.unwrap_or_else(|e| panic!("{} {}: {e}", first.kind, second.kind));
            let stat = fs::symlink_metadata(unpacked.layers[0].join("x")).unwrap();
            let kind = stat.file_type();
            let same = match second.kind {
                b'5' => kind.is_dir(),
                b'2' => kind.is_symlink(),
                b'3' => kind.is_char_device(),
                b'4' => kind.is_block_device(),
                b'6' => kind.is_fifo(),
                _ => kind.is_file(),
            };
            assert!(same, "{} {}", first.kind, second.kind);
            assert_eq!(fs::read(unpacked.layers[0].join("victim")).unwrap(), b"v");
        }
    }
    // A folder with content gives way to a file, however deep it is.
    let deep = format!("x/{}", "d/".repeat(1500));
    let unpacked = unpack(&[tar(&[dir(&deep), file("x/f", b""), file("x", b"1")])]).await.unwrap();
    assert_eq!(fs::read(unpacked.layers[0].join("x")).unwrap(), b"1");
}

#[tokio::test]
async fn folders_deeper_than_a_path_can_be_removed() {
    // Each round goes on at the end of the last through a symlink: no single path is too long.
    let mut entries = Vec::new();
    let mut at = String::new();
    for round in 0..4 {
        let deep = format!("{at}{}", "d/".repeat(900));
        entries.push(dir(&deep));
        entries.push(symlink(&format!("l{round}"), &deep));
        at = format!("l{round}/");
    }
    let unpacked = unpack(&[tar(&entries)]).await;
    if let Ok(unpacked) = unpacked {
        unpacked.images.remove(&unpacked.image.id.to_string(), &[]).await.unwrap();
        assert_eq!(common::leftovers(unpacked.root.path()), Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test]
async fn lies_in_headers_are_refused() {
    let mut negative = [0xff; 12];
    negative[11] = 0;
    let huge = [0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let mut device = entry(b'3', "dev").header();
    device[329] = 0xff;
    seal(&mut device);
    let mut unsealed = file("x", b"").header();
    unsealed[0] = b'y';
    let unknown = entry(b'Q', "x").header();
    let mut bad_mode = file("x", b"").header();
    bad_mode[100..107].copy_from_slice(b"ABCDEFG");
    seal(&mut bad_mode);
    let raw = |block: [u8; 512]| block.to_vec();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("negative size", file("x", b"").size_field(&negative).bytes()),
        ("huge size", file("x", b"").size_field(&huge).bytes()),
        ("size beyond the end", file("x", b"").size_field(b"77777777777\0").bytes()),
        ("size of 9s", file("x", b"").size_field(b"99999999999\0").bytes()),
        ("device", raw(device)),
        ("checksum", raw(unsealed)),
        ("type", raw(unknown)),
        ("mode", raw(bad_mode)),
        ("negative pax size", file("x", b"").pax("size", "-1").bytes()),
        ("huge pax size", file("x", b"").pax("size", "99999999999999999999").bytes()),
        ("pax size 2^63", file("x", b"").pax("size", "9223372036854775808").bytes()),
        ("uid", file("x", b"").pax("uid", "4294967296").bytes()),
        ("uid -1", file("x", b"").pax("uid", "4294967295").bytes()),
        ("negative gid", file("x", b"").pax("gid", "-5").bytes()),
        ("pax NUL in path", file("x", b"").pax("path", "a\0b").bytes()),
        ("pax path escapes", file("x", b"").pax("path", "../x").bytes()),
        ("pax xattr without name", file("x", b"").xattr("", "1").bytes()),
        ("huge pax", file("x", b"").pax("comment", vec![b'c'; 2 << 20]).bytes()),
        ("pax that claims to be huge", entry(b'x', "p").size_field(b"77777777777\0").bytes()),
        ("long name that claims to be huge", entry(b'L', "p").size_field(b"77777777777\0").bytes()),
        ("name of 300", file(&"n".repeat(300), b"").bytes()),
        ("path of 5000", file(&"nnnn/".repeat(1000), b"").bytes()),
        ("no name", file("", b"").bytes()),
        ("file as the root", file("./", b"x").size_field(b"00000000001\0").pax("path", ".").bytes()),
        ("sparse map backwards", sparse_1_0(&[(100, 10), (50, 10)], 200)),
        ("sparse map beyond the end", sparse_1_0(&[(100, 10)], 105)),
        ("sparse map overflows", sparse_1_0(&[(u64::MAX - 5, 10)], 200)),
        ("sparse map of other size", sparse_1_0_raw("1\n0\n400\n", 500, 10)),
        ("sparse map that never ends", sparse_1_0_raw(&"9".repeat(600), 500, 10)),
        ("sparse map with too many", sparse_1_0_raw("99999999999\n0\n1\n", 500, 10)),
        (
            "sparse without size",
            file("x", b"").pax("GNU.sparse.major", "1").pax("GNU.sparse.minor", "0").bytes(),
        ),
        ("half a header", file("x", b"").bytes()[..300].to_vec()),
        ("file below a file", [file("x", b"").bytes(), file("x/y", b"").bytes()].concat()),
        ("below a dangling link", [symlink("x", "nowhere").bytes(), file("x/y", b"").bytes()].concat()),
        ("below a loop", [symlink("x", "x").bytes(), file("x/y", b"").bytes()].concat()),
    ];
    for (what, bytes) in cases {
        let error = unpack(&[bytes]).await.err().unwrap_or_else(|| panic!("{what} was taken"));
        assert!(matches!(error, Error::Layer { .. }), "{what}: {error}");
        assert!(error.to_string().starts_with("layer sha256:"), "{what}: {error}");
    }
}

fn sparse_1_0(segments: &[(u64, u64)], real: u64) -> Vec<u8> {
    let mut map = format!("{}\n", segments.len());
    for (offset, length) in segments {
        map += &format!("{offset}\n{length}\n");
    }
    let stored: u64 = segments.iter().map(|(_, length)| length).sum();
    sparse_1_0_raw(&map, real, stored as usize)
}

fn sparse_1_0_raw(map: &str, real: u64, stored: usize) -> Vec<u8> {
    let mut content = map.as_bytes().to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    content.extend(vec![b's'; stored]);
    file("GNUSparseFile.0/x", &content)
        .pax("GNU.sparse.major", "1")
        .pax("GNU.sparse.minor", "0")
        .pax("GNU.sparse.name", "x")
        .pax("GNU.sparse.realsize", real.to_string())
        .bytes()
}

#[tokio::test]
async fn sparse_files_keep_their_holes() {
    let megabyte = 1u64 << 20;
    let segments = [(megabyte, 8192), (10 * megabyte, 4096), (16 * megabyte, 0)];
    // The same file in the old GNU format and in the three PAX ones.
    let data = vec![b's'; 8192 + 4096];
    let mut old = entry(b'S', "x").header();
    old[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
    for (index, (offset, length)) in segments.iter().enumerate() {
        let at = 386 + index * 24;
        old[at..at + 11].copy_from_slice(format!("{offset:011o}").as_bytes());
        old[at + 12..at + 23].copy_from_slice(format!("{length:011o}").as_bytes());
    }
    old[483..494].copy_from_slice(format!("{:011o}", 16 * megabyte).as_bytes());
    old[345..386].fill(0);
    old[257..265].copy_from_slice(b"ustar  \0");
    seal(&mut old);
    let map: Vec<String> = segments.iter().map(|(offset, length)| format!("{offset},{length}")).collect();
    let mut records = Vec::new();
    records.extend(record(b"GNU.sparse.size", (16 * megabyte).to_string().as_bytes()));
    for (offset, length) in segments {
        records.extend(record(b"GNU.sparse.offset", offset.to_string().as_bytes()));
        records.extend(record(b"GNU.sparse.numbytes", length.to_string().as_bytes()));
    }
    let pax_0_0 = [Entry { content: records, ..entry(b'x', "p") }.bytes(), file("x", &data).bytes()].concat();
    let pax_0_1 = file("x", &data)
        .pax("GNU.sparse.name", "x")
        .pax("GNU.sparse.size", (16 * megabyte).to_string())
        .pax("GNU.sparse.map", map.join(","))
        .bytes();
    for (what, bytes) in [
        ("gnu", [&old[..], &data].concat()),
        ("0.0", pax_0_0),
        ("0.1", pax_0_1),
        ("1.0", sparse_1_0(&segments, 16 * megabyte)),
    ] {
        let after = file("after", b"x").bytes();
        let unpacked = unpack(&[[bytes, after].concat()]).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        let path = unpacked.layers[0].join("x");
        let stat = fs::metadata(&path).unwrap();
        assert_eq!(stat.len(), 16 * megabyte, "{what}");
        assert!(stat.blocks() * 512 < 64 << 10, "{what}: {} blocks", stat.blocks());
        let content = fs::read(&path).unwrap();
        for (offset, length) in segments {
            let part = &content[offset as usize..(offset + length) as usize];
            assert!(part.iter().all(|b| *b == b's'), "{what}");
        }
        assert_eq!(content.iter().filter(|b| **b != 0).count(), data.len(), "{what}");
        assert!(unpacked.layers[0].join("after").exists(), "{what}");
    }
}

#[tokio::test]
async fn a_decompression_bomb_meets_a_limit() {
    let registry = common::registry::start(common::registry::Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let mut config = common::config(root.path());
    config.max_layer_bytes = 10 << 20;
    let images = Images::open(config).await.unwrap();
    let bomb = tar(&[file("zeros", &vec![0; 50 << 20])]);
    for packing in [common::images::Packing::Gzip, common::images::Packing::Zstd] {
        let built = common::images::Builder::new(vec![(bomb.clone(), packing)]).build();
        assert!(built.layers[0].len() < 1 << 20);
        let name = registry.push("bomb", "v1", &built);
        let error = images.pull(&name, None, None).await.unwrap_err().to_string();
        assert!(error.contains("larger than the limit of 10485760 bytes"), "{error}");
        common::assert_empty_soon(&images, root.path()).await;
    }
}

#[tokio::test]
async fn broken_compression_is_told() {
    let registry = common::registry::start(common::registry::Access::Open).await;
    let root = tempfile::tempdir().unwrap();
    let images = common::open(root.path()).await;
    let good = tar(&[file("x", &vec![b'x'; 100_000])]);
    for packed in [common::tars::gzip(&good), common::tars::zstd(&good)] {
        let mut built = common::images::image(std::slice::from_ref(&good));
        // The digest is right, the stream in it ends early.
        let half = packed[..packed.len() / 2].to_vec();
        let manifest = String::from_utf8(built.manifest.clone()).unwrap();
        let manifest = manifest
            .replace(&built.layer_digest(0).to_string(), &reeve_image::Digest::of(&half).to_string())
            .replace(&format!("\"size\":{}", built.layers[0].len()), &format!("\"size\":{}", half.len()));
        built.manifest = manifest.into_bytes();
        built.layers = vec![half];
        let name = registry.push("app", "v1", &built);
        let error = images.pull(&name, None, None).await.unwrap_err().to_string();
        assert!(error.contains("cannot decompress"), "{error}");
    }
}
