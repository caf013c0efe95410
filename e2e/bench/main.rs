//! Measures a node: manifest to first instruction, pods per second, memory, idle CPU.
//!
//! Prints figures beside what containerd with the kubelet, and CRI-O, needed for the same on a machine of
//! this size; those were measured before and elsewhere, so only the order of magnitude compares.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use reeve_e2e::{Lab, Node, image::Image, until};

const RUNS: usize = 50;
const IDLE_SECONDS: f64 = 60.0;

fn main() {
    let lab = Lab::new();
    let mut node = Node::start(&lab);
    let archive = lab.path("busybox.tar");
    Image::busybox().write_archive("e2e.test/busybox:1", &archive);
    node.import(&archive);
    let out = lab.path("out");
    fs::create_dir_all(&out).expect("scratch");

    let mut report = String::new();
    row(&mut report, "", "reeve", "containerd + kubelet", "CRI-O");
    let daemon = pss(node.pid());
    row(&mut report, "daemon PSS at 0 pods, MiB", &mib(daemon), "125 (both)", "53 (CRI-O alone)");

    let mut latencies = drop_to_first_instruction(&node, &out);
    latencies.sort_by(f64::total_cmp);
    row(
        &mut report,
        "drop → first instruction p50, ms",
        &format!("{:.1}", percentile(&latencies, 0.50)),
        "660–1330",
        "",
    );
    row(
        &mut report,
        "drop → first instruction p99, ms",
        &format!("{:.1}", percentile(&latencies, 0.99)),
        "",
        "",
    );
    node.empty();

    for count in [10, 50, 100] {
        let seconds = many(&node, &out, count);
        if count == 50 {
            row(
                &mut report,
                "50 pods at once, pods/s",
                &format!("{:.1}", 50.0 / seconds),
                "2.1 (40 at once)",
                "20.5 (CRI only)",
            );
        }
        let shims = shims(&node);
        // A shim and its guard, so two processes a pod.
        let each = shims.iter().map(|pid| pss(*pid)).sum::<u64>() / count as u64;
        row(
            &mut report,
            &format!("daemon PSS at {count} pods, MiB"),
            &mib(pss(node.pid())),
            if count == 50 { "461 (all)" } else { "" },
            "",
        );
        row(
            &mut report,
            &format!("PSS per pod at {count} pods, KiB"),
            &each.to_string(),
            if count == 100 { "5800" } else { "" },
            if count == 100 { "500" } else { "" },
        );
        if count == 50 {
            let used = idle_cpu(&node);
            row(&mut report, "idle CPU at 50 pods, s a minute", &format!("{used:.3}"), "9.5", "");
        }
        node.empty();
    }
    let mut out = std::io::stdout().lock();
    std::io::Write::write_all(&mut out, report.as_bytes()).expect("output");
}

fn row(report: &mut String, what: &str, ours: &str, containerd: &str, crio: &str) {
    writeln!(report, "{what:<36} {ours:>10} {containerd:>22} {crio:>18}").expect("memory");
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("clock").as_secs_f64()
}

fn manifest(name: &str, out: &Path) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  \
         - name: main\n    image: e2e.test/busybox:1\n    command: [sh, -c, '> /out/{name}; exec sleep 100000']\n    \
         volumeMounts: [{{name: out, mountPath: /out}}]\n  volumes: [{{name: out, hostPath: {{path: {}}}}}]\n",
        out.display()
    )
}

/// When the container's program made its file, in seconds since the epoch.
fn stamp(path: &Path) -> Option<f64> {
    let made = fs::metadata(path).ok()?.modified().ok()?;
    Some(made.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

/// Milliseconds, one pod after the other.
fn drop_to_first_instruction(node: &Node, out: &Path) -> Vec<f64> {
    (0..RUNS)
        .map(|run| {
            let name = format!("one{run}");
            let text = manifest(&name, out);
            let dropped = now();
            node.apply(&format!("{name}.yaml"), &text);
            let file = out.join(&name);
            until("the container runs", 30, || stamp(&file).is_some());
            let milliseconds = (stamp(&file).expect("file") - dropped) * 1000.0;
            node.withdraw(&format!("{name}.yaml"));
            node.wait_gone(&name);
            milliseconds
        })
        .collect()
}

/// Seconds from the first manifest to the last container's first instruction.
fn many(node: &Node, out: &Path, count: usize) -> f64 {
    let names: Vec<String> = (0..count).map(|i| format!("many{count}x{i}")).collect();
    let begun = now();
    for name in &names {
        node.apply(&format!("{name}.yaml"), &manifest(name, out));
    }
    let files: Vec<PathBuf> = names.iter().map(|name| out.join(name)).collect();
    until("all run", 120, || files.iter().all(|file| stamp(file).is_some()));
    until("all are reported", 60, || {
        node.pods().iter().filter(|pod| pod["status"]["phase"] == "Running").count() == count
    });
    files.iter().filter_map(|file| stamp(file)).fold(begun, f64::max) - begun
}

/// Proportional set size, KiB.
fn pss(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0)
}

fn shims(node: &Node) -> Vec<u32> {
    let state = node.state.to_string_lossy().into_owned();
    let pids = fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok())
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("reeve-shim") && line.contains(&state)
        })
        .collect()
}

/// CPU seconds that a process has used, its threads that have ended included; in steps of 10 ms.
fn cpu(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<_> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    // utime and stime, fields 14 and 15 of proc_pid_stat(5); the first here is field 3.
    (ticks(11) + ticks(12)) / 100.0
}

/// CPU seconds of daemon and shims in a minute in which nothing happens.
fn idle_cpu(node: &Node) -> f64 {
    let pids: Vec<u32> = shims(node).into_iter().chain([node.pid()]).collect();
    reeve_e2e::wait::let_pass(3.0);
    let used = || pids.iter().map(|pid| cpu(*pid)).sum::<f64>();
    let before = used();
    reeve_e2e::wait::let_pass(IDLE_SECONDS);
    (used() - before) * 60.0 / IDLE_SECONDS
}
