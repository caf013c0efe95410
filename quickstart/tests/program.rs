//! The program's verbs, and the image made of it.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_reeve-quickstart");
const IMAGE: &str = env!("CARGO_BIN_EXE_reeve-quickstart-image");

fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A server on a port of the kernel's choice.
struct Server {
    child: Child,
    port: u16,
    log: BufReader<ChildStdout>,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut child =
            Command::new(PROGRAM).args(args).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let port = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Server { child, port, log }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_folder_is_served_and_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("www")).unwrap();
    std::fs::write(dir.path().join("www/index.html"), "<p>page").unwrap();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    let www = dir.path().join("www");
    let mut server = Server::start(&["serve", "--dir", www.to_str().unwrap()]);
    let page = server.get("/");
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html") && page.ends_with("<p>page"),
        "{page}"
    );
    assert!(server.get("/healthz").ends_with("ok\n"));
    let name = text(&run(&["hostname"]).stdout);
    assert!(server.get("/hostname").ends_with(&name));
    assert!(server.get("/../secret").starts_with("HTTP/1.1 400 "));
    assert!(server.get("/none").starts_with("HTTP/1.1 404 "));
    let mut line = String::new();
    server.log.read_line(&mut line).unwrap();
    assert_eq!(line, "GET / 200 OK\n");
}

#[test]
fn health_fails_when_it_was_asked_to() {
    let server = Server::start(&["unhealthy", "--after", "0"]);
    assert!(server.get("/healthz").starts_with("HTTP/1.1 503 "));
    assert!(server.get("/").starts_with("HTTP/1.1 200 "));
}

#[test]
fn as_first_process_it_ends_on_sigterm_at_once() {
    // Process 1 of a PID namespace gets no default actions.
    let mut unshare = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", PROGRAM, "write", "/dev/stderr"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(unshare.stdout.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    let children = format!("/proc/{0}/task/{0}/children", unshare.id());
    let init: i32 = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(init), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(unshare.wait().unwrap().code(), Some(143));
}

#[test]
fn verbs_do_what_they_say() {
    assert_eq!(run(&["exit", "7"]).status.code(), Some(7));
    assert_eq!(run(&["crash", "--after", "0", "--code", "3"]).status.code(), Some(3));
    assert_eq!(text(&run(&["echo", "a", "b"]).stdout), "a b\n");
    assert!(text(&run(&["id"]).stdout).starts_with("uid=0 gid=0 "));
    assert!(text(&run(&["mounts"]).stdout).contains(" / / "));
    let bad = run(&["nonsense"]);
    assert!(!bad.status.success() && text(&bad.stderr).contains("no such verb"));
    let env = Command::new(PROGRAM).arg("env").env_clear().env("B", "2").env("A", "1").output().unwrap();
    assert_eq!(text(&env.stdout), "A=1\nB=2\n");
}

#[test]
fn what_one_writes_another_watches() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    let path = path.to_str().unwrap();
    // The reader is first: the file comes later.
    let mut watch = Command::new(PROGRAM).args(["watch", path]).stdout(Stdio::piped()).spawn().unwrap();
    let mut write = Command::new(PROGRAM).args(["write", path]).stdout(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("line 1 of "), "{line}");
    for child in [&mut watch, &mut write] {
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
}

#[test]
fn stdin_is_sent_and_the_answer_printed() {
    let server = Server::start(&["serve"]);
    let port = server.port.to_string();
    let mut connect = Command::new(PROGRAM)
        .args(["connect", "127.0.0.1", &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    connect.stdin.take().unwrap().write_all(b"HEAD /healthz HTTP/1.1\r\n\r\n").unwrap();
    assert!(text(&connect.wait_with_output().unwrap().stdout).starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn the_image_is_the_same_each_time_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let build = |name: &str| {
        let out = dir.path().join(name);
        let result = Command::new(IMAGE).arg(PROGRAM).arg(&out).output().unwrap();
        assert!(result.status.success(), "{}", text(&result.stderr));
        (std::fs::read(out).unwrap(), text(&result.stdout))
    };
    let (first, said) = build("a.tar");
    let again = build("b.tar");
    assert!(first == again.0 && said == again.1);

    let mut blobs = std::collections::BTreeMap::new();
    for entry in tar::Archive::new(first.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        blobs.insert(name, content);
    }
    let json = |name: &str| serde_json::from_slice::<serde_json::Value>(&blobs[name]).unwrap();
    let at = |digest: &serde_json::Value| format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
    let named = &json("index.json")["manifests"][0];
    assert_eq!(said, format!("reeve.local/quickstart:latest {}\n", named["digest"].as_str().unwrap()));
    let manifest = json(&at(&named["digest"]));
    let layer = &blobs[&at(&manifest["layers"][0]["digest"])];
    assert_eq!(manifest["layers"][0]["size"], layer.len());
    let config = json(&at(&manifest["config"]["digest"]));
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    let mut modes = Vec::new();
    for entry in tar::Archive::new(layer.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        modes.push(format!("{} {:o}", entry.path().unwrap().display(), entry.header().mode().unwrap()));
    }
    let expected = [
        "etc/ 755",
        "etc/group 644",
        "etc/passwd 644",
        "reeve-quickstart 755",
        "srv/ 755",
        "srv/index.html 644",
        "tmp/ 1777",
    ];
    assert_eq!(modes, expected);
}
