//! The root file system: mounts, devices, masks, and what an image may try with them.
#![allow(missing_docs)]

mod common;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::Bundle;
use serde_json::json;

#[test]
fn binds_make_their_targets() {
    let bundle = Bundle::new();
    std::fs::create_dir(bundle.path().join("outside")).expect("mkdir");
    std::fs::write(bundle.path().join("outside/file"), "content").expect("write");
    let bundle = bundle
        .mount(json!({"destination": "/deep/er/dir", "source": "outside", "options": ["bind"]}))
        .mount(
            json!({"destination": "/deep/file", "type": "bind", "source": "outside/file", "options": ["ro"]}),
        )
        .shell("cat /deep/er/dir/file /deep/file; echo x > /deep/er/dir/new; echo x > /deep/file");
    let outcome = bundle.run();
    assert_eq!(outcome.stdout, "contentcontent");
    assert!(outcome.stderr.contains("Read-only"), "{}", outcome.stderr);
    assert_eq!(std::fs::read(bundle.path().join("outside/new")).expect("written through"), b"x\n");
    Bundle::new()
        .mount(json!({"destination": "/x", "type": "bind", "source": "/no/such/source"}))
        .run()
        .fails_with("mounts[7].source");
}

/// Needs a mount below the source of a bind: made in a mount namespace of its own.
fn with_submount(bundle: &Bundle) -> Command {
    bundle.write();
    let source = bundle.path().join("source");
    std::fs::create_dir_all(source.join("sub")).expect("mkdir");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]).arg(format!(
        "mount -t tmpfs sub {}/sub && exec {} --root {} run --bundle {} {}",
        source.display(),
        common::RUNTIME,
        bundle.state_root().display(),
        bundle.path().display(),
        bundle.id
    ));
    command
}

#[test]
fn recursive_attributes_reach_the_mounts_below() {
    let script = "touch /b/x; touch /b/sub/x; grep -E ' /b(/sub)? ' /proc/self/mountinfo >&2";
    let case = |options: serde_json::Value| {
        let bundle = Bundle::new()
            .mount(json!({"destination": "/b", "source": "source", "options": options}))
            .shell(script);
        let outcome = common::outcome(&mut with_submount(&bundle));
        let readonly = |path: &str| outcome.stderr.contains(&format!("touch: {path}: Read-only file system"));
        assert!(outcome.stderr.contains(" /b/sub "), "{}", outcome.stderr);
        (readonly("/b/x"), readonly("/b/sub/x"))
    };
    assert_eq!(case(json!(["rbind"])), (false, false));
    assert_eq!(case(json!(["rbind", "ro"])), (true, false));
    assert_eq!(case(json!(["rbind", "rro"])), (true, true));
}

#[test]
fn options_of_binds_and_file_systems_are_applied() {
    let bundle = Bundle::new();
    std::fs::create_dir(bundle.path().join("outside")).expect("mkdir");
    let bundle = bundle
        .mount(json!({"destination": "/b", "source": "outside",
            "options": ["bind", "nosuid", "nodev", "noexec", "noatime", "nosymfollow"]}))
        .mount(json!({"destination": "/t", "type": "tmpfs", "source": "name",
            "options": ["size=64k", "mode=1770", "uid=33", "noexec", "strictatime"]}))
        .mount(json!({"destination": "/t", "type": "none", "options": ["remount", "ro"]}))
        .shell("grep -E ' /[bt] ' /proc/self/mountinfo; stat -c %a:%u /t");
    let text = bundle.run().ok();
    let line = |point: &str| text.lines().find(|line| line.contains(point)).expect(point).to_owned();
    for option in ["nosuid", "nodev", "noexec", "noatime", "nosymfollow"] {
        assert!(line(" /b ").contains(option), "{option}: {text}");
    }
    let tmpfs = line(" /t ");
    assert!(tmpfs.contains("name rw,size=64k") && tmpfs.contains(" ro,noexec"), "{tmpfs}");
    assert!(text.ends_with("1770:33\n"), "{text}");
}

#[test]
fn an_option_that_is_not_known_is_an_error_in_the_kernels_words() {
    let error = Bundle::new()
        .mount(json!({"destination": "/t", "type": "tmpfs", "source": "t", "options": ["nonsense=1"]}))
        .run()
        .fails_with("mounts[7]");
    assert!(error.contains("nonsense"), "{error}");
    Bundle::new()
        .mount(json!({"destination": "/t", "source": "/tmp", "options": ["bind", "nonsense"]}))
        .run()
        .fails_with("mounts[7].options");
}

#[test]
fn a_tmpfs_keeps_the_mode_of_what_it_covers() {
    let bundle = Bundle::new()
        .mount(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}))
        .shell("stat -c %a /tmp");
    std::fs::set_permissions(bundle.root().join("tmp"), PermissionsExt::from_mode(0o1751)).expect("chmod");
    assert_eq!(bundle.run().ok(), "1751\n");
}

#[test]
fn options_too_long_for_fsconfig_work_too() {
    let bundle = Bundle::new();
    let layers: Vec<_> =
        (0..12).map(|n| bundle.path().join(format!("a-rather-long-name-of-a-layer-{n}"))).collect();
    for layer in &layers {
        std::fs::create_dir(layer).expect("mkdir");
    }
    std::fs::write(layers[11].join("file"), "lowest").expect("write");
    let joined =
        layers.iter().map(|layer| layer.to_string_lossy().into_owned()).collect::<Vec<_>>().join(":");
    let bundle = bundle
        .mount(json!({"destination": "/o", "type": "overlay", "source": "overlay",
            "options": [format!("lowerdir={joined}"), "nodev"]}))
        .shell("cat /o/file; grep ' /o ' /proc/self/mountinfo");
    let text = bundle.run().ok();
    assert!(text.starts_with("lowest") && text.contains("nodev"), "{text}");
}

#[test]
fn propagation_is_as_asked() {
    let case = |options: serde_json::Value| {
        let bundle = Bundle::new()
            .mount(json!({"destination": "/b", "source": "source", "options": options}))
            .shell("grep -E ' /b ' /proc/self/mountinfo");
        bundle.write();
        std::fs::create_dir(bundle.path().join("source")).expect("mkdir");
        let script = format!(
            "mount --bind {0} {0} && mount --make-shared {0} && exec {1} --root {2} run --bundle {3} {4}",
            bundle.path().join("source").display(),
            common::RUNTIME,
            bundle.state_root().display(),
            bundle.path().display(),
            bundle.id
        );
        let mut command = Command::new("unshare");
        common::outcome(command.args(["--mount", "--propagation", "private", "sh", "-c", &script])).ok()
    };
    assert!(case(json!(["rbind"])).contains("master:"), "by default the host's mounts come in");
    let shared = case(json!(["rbind", "rshared"]));
    assert!(shared.contains("shared:") && !shared.contains("master:"), "{shared}");
    let private = case(json!(["rbind", "rprivate"]));
    assert!(!private.contains("shared:") && !private.contains("master:"), "{private}");
    let both = case(json!(["rbind", "rslave", "rshared"]));
    assert!(both.contains("shared:"), "{both}");
}

#[test]
fn the_root_can_be_readonly_and_has_the_propagation_asked_for() {
    let bundle =
        Bundle::new().set("/root/readonly", json!(true)).shell("touch /x; touch /dev/shm/y && echo shm");
    let outcome = bundle.run();
    assert!(outcome.stderr.contains("Read-only") && outcome.stdout == "shm\n", "{outcome:?}");
    for (mode, tag) in [("shared", "shared:"), ("unbindable", "unbindable")] {
        let bundle = Bundle::new()
            .set("/linux/rootfsPropagation", json!(mode))
            .shell("grep -E ' / / | / ' /proc/self/mountinfo | head -1");
        let text = bundle.run().ok();
        assert!(text.contains(tag), "{mode}: {text}");
    }
}

#[test]
fn without_pivot_the_host_is_out_of_sight_as_well() {
    let bundle = Bundle::new().shell("ls /; ls /proc/1/root/; chroot / ls /work /home; true");
    bundle.write();
    let outcome = bundle.cli(&["run", "--no-pivot", &bundle.id]);
    let names = |text: &str| text.lines().any(|line| line == "boot" || line == "home");
    assert!(!names(&outcome.stdout) && outcome.stdout.contains("bin"), "{outcome:?}");
}

#[test]
fn devices_are_there_and_no_others() {
    let bundle = Bundle::new()
        .set(
            "/linux/devices",
            json!([
                {"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "fileMode": 0o640, "uid": 33, "gid": 7},
                {"path": "/dev/pipe", "type": "p"},
                {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}
            ]),
        )
        .shell(
            "stat -c '%n %F %t:%T %a %u:%g' /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/null \
             /dev/net/tun /dev/pipe; readlink /dev/fd; readlink /dev/stderr; readlink /dev/ptmx; ls /dev",
        );
    let text = bundle.run().ok();
    for line in [
        "/dev/zero character special file 1:5 666 0:0",
        "/dev/full character special file 1:7 666 0:0",
        "/dev/tty character special file 5:0 666 0:0",
        "/dev/null character special file 1:3 600 0:0",
        "/dev/net/tun character special file a:c8 640 33:7",
        "/dev/pipe fifo 0:0 666 0:0",
        "/proc/self/fd",
        "/proc/self/fd/2",
        "pts/ptmx",
    ] {
        assert!(text.lines().any(|one| one == line), "{line:?} is not in:\n{text}");
    }
    assert!(!text.lines().any(|line| line == "vda" || line == "kmsg"), "{text}");
}

#[test]
fn masked_and_readonly_paths() {
    let bundle = Bundle::new()
        .set("/linux/maskedPaths", json!(["/proc/kcore", "/proc/timer_list", "/sys/firmware", "/secret", "/sys/class", "/no"]))
        .set("/linux/readonlyPaths", json!(["/proc/sys", "/etc", "/nothing"]))
        .shell("cat /proc/timer_list /secret; ls /sys/firmware /sys/class | grep -v :; touch /etc/x; echo 1 > /proc/sys/net/ipv4/ip_forward; touch /sys/class/x");
    std::fs::write(bundle.root().join("secret"), "secret").expect("write");
    let outcome = bundle.run();
    assert_eq!(outcome.stdout.trim(), "", "{outcome:?}");
    assert_eq!(outcome.stderr.matches("Read-only").count(), 3, "{outcome:?}");
}

#[test]
fn a_null_that_the_image_replaced_masks_nothing_less() {
    // CVE-2025-31133: the image's /dev/null is a link to what it wants to see bound.
    let bundle = Bundle::new()
        .set("/linux/maskedPaths", json!(["/secret"]))
        .shell("cat /secret; echo x > /proc/sysrq-trigger");
    std::fs::write(bundle.root().join("secret"), "secret").expect("write");
    std::fs::remove_dir(bundle.root().join("dev")).expect("rmdir");
    std::fs::create_dir(bundle.root().join("dev")).expect("mkdir");
    symlink("/secret", bundle.root().join("dev/null")).expect("symlink");
    let mut bundle = bundle;
    // Without a tmpfs over it the image's /dev is the container's.
    bundle.config["mounts"].as_array_mut().expect("mounts").retain(|mount| mount["destination"] != "/dev");
    let outcome = bundle.run();
    assert!(!outcome.stdout.contains("secret"), "{outcome:?}");
    let null = std::fs::symlink_metadata(bundle.root().join("dev/null")).expect("null");
    assert!(null.file_type().is_char_device() && null.rdev() == 0x103, "the link gave way to the device");
}

#[test]
fn mount_targets_over_links_stay_inside() {
    let outside = tempfile::tempdir().expect("tempdir");
    let bundle = Bundle::new()
        .mount(json!({"destination": "/link/target", "type": "tmpfs", "source": "tmpfs"}))
        .mount(json!({"destination": "/up/file", "type": "bind", "source": "/etc/hostname"}))
        .shell("cat /proc/self/mountinfo");
    symlink(outside.path(), bundle.root().join("link")).expect("symlink");
    symlink(format!("../../../../../../..{}", outside.path().display()), bundle.root().join("up"))
        .expect("symlink");
    let text = bundle.run().ok();
    assert!(text.contains(&format!("{}/target ", outside.path().display())), "{text}");
    assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0, "nothing was made outside");
}

#[test]
fn proc_and_sys_must_be_real_directories() {
    for name in ["proc", "sys"] {
        let bundle = Bundle::new();
        std::fs::create_dir(bundle.root().join("fake")).expect("mkdir");
        std::fs::remove_dir(bundle.root().join(name)).expect("rmdir");
        symlink("fake", bundle.root().join(name)).expect("symlink");
        bundle.run().fails_with("must be mounted on ordinary directory");
    }
}

#[test]
fn nothing_is_mounted_into_proc() {
    for (destination, link) in
        [("/proc/self/attr", None), ("/proc/sys/x", None), ("/alias/self", Some("/proc"))]
    {
        let bundle =
            Bundle::new().mount(json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"}));
        if let Some(target) = link {
            symlink(target, bundle.root().join("alias")).expect("symlink");
        }
        bundle.run().fails_with("inside /proc");
    }
    let bundle = Bundle::new().mount(json!({"destination": "/proc", "type": "bind", "source": "/tmp"}));
    bundle.run().fails_with("only a procfs can be mounted at /proc");
    let bundle = Bundle::new()
        .mount(json!({"destination": "/proc/uptime", "type": "bind", "source": "/etc/hostname"}))
        .shell("cat /proc/uptime");
    assert_eq!(bundle.run().ok(), std::fs::read_to_string("/etc/hostname").expect("hostname"));
}

#[test]
fn a_dev_that_is_a_link_is_refused() {
    // CVE-2026-41579: nodes would be made where the link leads.
    let mut bundle = Bundle::new();
    std::fs::remove_dir(bundle.root().join("dev")).expect("rmdir");
    symlink("/tmp", bundle.root().join("dev")).expect("symlink");
    bundle.config["mounts"]
        .as_array_mut()
        .expect("mounts")
        .retain(|mount| !mount["destination"].as_str().expect("destination").starts_with("/dev"));
    bundle.run().fails_with("/dev");
    assert!(!bundle.root().join("tmp/null").exists());
}

#[test]
fn a_link_that_swaps_with_a_directory_leads_nowhere() {
    // CVE-2021-30465: the target of a mount is swapped for a link to the host while it is resolved.
    let outside = tempfile::tempdir().expect("tempdir");
    let bundle = Bundle::new()
        .mount(json!({"destination": "/swap/a/b", "type": "tmpfs", "source": "tmpfs"}))
        .shell("true");
    std::fs::create_dir(bundle.root().join("swap")).expect("mkdir");
    symlink(outside.path(), bundle.root().join("other")).expect("symlink");
    let path =
        |name: &str| std::ffi::CString::new(bundle.root().join(name).into_os_string().into_encoded_bytes());
    let (one, two) = (path("swap").expect("path"), path("other").expect("path"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                exchange(&one, &two);
            }
        });
        for _ in 0..25 {
            // It may fail for the swap; it may not reach outside.
            let _ = bundle.run();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 0, "nothing was made outside");
    assert!(!Path::new("/proc/self/mountinfo").exists() || !mounted(outside.path()));
}

fn exchange(one: &std::ffi::CStr, two: &std::ffi::CStr) {
    let (here, flag) = (libc::AT_FDCWD, libc::RENAME_EXCHANGE);
    // SAFETY: both paths are C strings.
    unsafe { libc::syscall(libc::SYS_renameat2, here, one.as_ptr(), here, two.as_ptr(), flag) };
}

fn mounted(path: &Path) -> bool {
    std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo").contains(&*path.to_string_lossy())
}

#[test]
fn cgroup_mounts_show_the_containers_own_and_are_readonly() {
    let bundle =
        Bundle::new().shell("mkdir /sys/fs/cgroup/pids/x || mkdir /sys/fs/cgroup/x; ls /sys/fs/cgroup");
    let outcome = bundle.run();
    assert!(outcome.stderr.contains("Read-only"), "{outcome:?}");
    // Without a namespace only the container's own directories are bound.
    let bundle = Bundle::new()
        .without_namespace("cgroup")
        .shell("cat /sys/fs/cgroup/pids/pids.max || cat /sys/fs/cgroup/pids.max")
        .set("/linux/resources/pids", json!({"limit": 77}));
    assert_eq!(bundle.run().stdout.trim(), "77");
}

#[test]
fn nothing_shows_on_the_host() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.start();
    assert!(!mounted(bundle.path()));
}
