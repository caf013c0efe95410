//! The life of a container on the command line.
#![allow(missing_docs)]

mod common;

use common::{Bundle, namespace_of, wait_until};
use serde_json::json;

#[test]
fn run_gives_the_programs_output_and_code() {
    let outcome = Bundle::new().shell("echo hello; echo oops >&2; exit 7").run();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (7, "hello\n"));
    assert_eq!(outcome.stderr, "oops\n");
    assert_eq!(
        Bundle::new().shell("kill -9 $$").run().code,
        0,
        "the init of a pid namespace is deaf to itself"
    );
    let bundle = Bundle::new().without_namespace("pid").shell("kill -9 $$");
    assert_eq!(bundle.run().code, 128 + 9);
    assert!(!bundle.state_root().join(&bundle.id).exists(), "run deletes the container");
    assert!(!bundle.cgroup("pids").exists());
}

#[test]
fn create_start_exec_kill_delete() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.create().ok();
    let state = bundle.state();
    assert_eq!(state["status"], "created");
    let pid = state["pid"].as_i64().expect("pid");
    assert_ne!(namespace_of(pid, "pid"), namespace_of("self", "pid"));
    bundle.cli(&["start", &bundle.id]).ok();
    assert_eq!(bundle.state()["status"], "running");
    assert_eq!(bundle.pid(), pid, "the process is the same");
    let cmdline = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("cmdline");
    assert_eq!(cmdline, "sleep\u{0}1000\u{0}", "start returns after execve");

    assert_eq!(bundle.exec(&["sh", "-c", "echo in; exit 3"]).code, 3);
    assert_eq!(bundle.exec(&["hostname"]).ok(), "inside\n");
    bundle.cli(&["start", &bundle.id]).fails_with("cannot start an already running container");
    bundle.cli(&["delete", &bundle.id]).fails_with("that is not stopped: running");

    bundle.cli(&["kill", &bundle.id, "SIGKILL"]).ok();
    wait_until(|| bundle.state()["status"] == "stopped");
    bundle.cli(&["kill", &bundle.id]).fails_with("container not running");
    bundle.exec(&["true"]).fails_with("cannot exec in a stopped container");
    bundle.cli(&["start", &bundle.id]).fails_with("cannot start a container that has stopped");
    bundle.cli(&["delete", &bundle.id]).ok();
    bundle.cli(&["state", &bundle.id]).fails_with("container does not exist");
    assert!(!bundle.cgroup("pids").exists(), "the cgroup is gone");
}

#[test]
fn a_missing_program_fails_create_and_leaves_nothing() {
    for (command, words) in [
        ("no-such-program", "executable file not found in $PATH"),
        ("/no/such/program", "stat /no/such/program: no such file or directory"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "is a directory"),
        ("/proc/self/exe", "refers to the runtime itself"),
    ] {
        let bundle = Bundle::new().args(&[command]);
        bundle.create().fails_with(words);
        assert!(!bundle.state_root().join(&bundle.id).exists(), "{command}");
        assert!(!bundle.cgroup("pids").exists(), "{command}");
    }
}

#[test]
fn a_program_that_the_kernel_refuses_fails_start() {
    let bundle = Bundle::new().args(&["/bin/broken"]);
    std::fs::write(bundle.root().join("bin/broken"), "\x7fELF nonsense").expect("write");
    std::fs::set_permissions(
        bundle.root().join("bin/broken"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("chmod");
    bundle.create().ok();
    bundle.cli(&["start", &bundle.id]).fails_with("exec format error");
}

#[test]
fn a_script_that_leads_to_the_runtime_is_refused() {
    let bundle = Bundle::new().args(&["/bin/evil"]);
    std::fs::write(bundle.root().join("bin/evil"), "#!/proc/self/exe\n").expect("write");
    std::fs::set_permissions(
        bundle.root().join("bin/evil"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("chmod");
    bundle.run().fails_with("refers to the runtime itself");
}

#[test]
fn exec_reports_missing_programs_with_code_255() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.start();
    let outcome = bundle.exec(&["no-such-program"]);
    assert_eq!(outcome.code, 255);
    outcome.fails_with("executable file not found in $PATH");
}

#[test]
fn wrong_configurations_are_refused_by_field() {
    for (pointer, value, field) in [
        ("/ociVersion", json!("3.0"), "ociVersion"),
        ("/process/args", json!([]), "process.args"),
        ("/process/cwd", json!("tmp"), "process.cwd"),
        ("/process/user/uid", json!(4_294_967_295_u32), "process.user.uid"),
        ("/process/selinuxLabel", json!("x"), "process.selinuxLabel"),
        ("/linux/intelRdt", json!({}), "linux.intelRdt"),
        ("/linux/cgroupsPath", json!("/../x"), "linux.cgroupsPath"),
        ("/linux/rootfsPropagation", json!("sideways"), "linux.rootfsPropagation"),
        ("/linux/sysctl", json!({"kernel.core_pattern": "|/x"}), "linux.sysctl"),
        ("/root/path", json!("nowhere"), "root.path"),
        ("/hooks", json!({"prestart": [{"path": "relative"}]}), "hooks.prestart[0].path"),
    ] {
        let bundle = Bundle::new().set(pointer, value);
        bundle.create().fails_with(field);
        assert!(!bundle.state_root().join(&bundle.id).exists(), "{field}");
    }
}

#[test]
fn names_are_unique_and_checked() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.create().ok();
    bundle.create().fails_with("container with given ID already exists");
    assert_eq!(bundle.state()["status"], "created", "the first one is untouched");
    bundle.detached(&["create", "../x"]).fails_with("invalid container ID format");
    bundle.cli(&["delete", "nobody"]).fails_with("does not exist");
    bundle.cli(&["delete", "--force", "nobody"]).ok();
}

#[test]
fn a_created_container_can_be_deleted_and_a_running_one_by_force() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.create().ok();
    bundle.cli(&["delete", &bundle.id]).ok();
    bundle.start();
    bundle.cli(&["delete", "--force", &bundle.id]).ok();
    assert!(!bundle.cgroup("pids").exists());
}

#[test]
fn a_half_made_container_can_be_deleted() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.start();
    let directory = bundle.state_root().join(&bundle.id);
    std::fs::remove_file(directory.join("config.json")).expect("remove");
    let pid = bundle.pid();
    bundle.cli(&["delete", "--force", &bundle.id]).ok();
    assert!(!directory.exists());
    wait_until(|| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().is_empty());
}

#[test]
fn detach_pid_file_keep_and_list() {
    let bundle = Bundle::new().args(&["sleep", "1000"]).set("/annotations", json!({"a.b": "c"}));
    bundle.write();
    let file = bundle.path().join("pid");
    bundle.detached(&["run", "--detach", "--pid-file", file.to_str().expect("utf-8"), &bundle.id]).ok();
    let pid: i64 = std::fs::read_to_string(&file).expect("pid file").parse().expect("a number");
    assert_eq!(bundle.pid(), pid);
    assert_eq!(bundle.state()["annotations"]["a.b"], "c");
    let table = bundle.cli(&["list"]).ok();
    assert!(table.starts_with("ID ") && table.contains(&bundle.id) && table.contains("running"), "{table}");
    let all: serde_json::Value =
        serde_json::from_str(&bundle.cli(&["list", "--format", "json"]).ok()).expect("json");
    assert_eq!(all[0]["pid"], pid);
    assert_eq!(bundle.cli(&["list", "--quiet"]).ok(), format!("{}\n", bundle.id));

    let kept = Bundle::new();
    kept.write();
    kept.cli(&["run", "--keep", &kept.id]).ok();
    assert_eq!(kept.state()["status"], "stopped");
}

#[test]
fn spec_writes_a_configuration_that_runs() {
    let mut bundle = Bundle::new();
    bundle.cli(&["spec"]).ok();
    bundle.cli(&["spec"]).fails_with("config.json");
    let text = std::fs::read(bundle.path().join("config.json")).expect("config.json");
    let id = bundle.id.clone();
    bundle.config = serde_json::from_slice(&text).expect("json");
    bundle.config["process"]["terminal"] = json!(false);
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{id}"));
    assert_eq!(bundle.shell("hostname").run().ok(), "reeve\n");
}

#[test]
fn errors_go_to_the_log_in_runcs_formats() {
    let bundle = Bundle::new();
    let log = bundle.path().join("log.json");
    let path = log.to_str().expect("utf-8").to_owned();
    bundle.cli(&["--log", &path, "--log-format", "json", "state", "nobody"]).fails_with("does not exist");
    let line: serde_json::Value =
        serde_json::from_str(std::fs::read_to_string(&log).expect("log").trim()).expect("json");
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().expect("text").contains("does not exist"));
    assert_eq!(bundle.cli(&["state"]).code, 1, "usage errors are 1 as well");
    assert!(bundle.cli(&["--version"]).ok().contains("reeve-runtime"));
}

#[test]
fn pause_and_resume() {
    let bundle = Bundle::new().args(&["sleep", "1000"]);
    bundle.start();
    bundle.cli(&["pause", &bundle.id]).ok();
    assert_eq!(bundle.state()["status"], "paused");
    bundle.exec(&["true"]).fails_with("paused");
    bundle.cli(&["resume", &bundle.id]).ok();
    assert_eq!(bundle.state()["status"], "running");
    bundle.cli(&["resume", &bundle.id]).fails_with("container not paused");
    bundle.cli(&["pause", &bundle.id]).ok();
    bundle.cli(&["delete", "--force", &bundle.id]).ok();
}
