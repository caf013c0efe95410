//! Manifests, good and bad.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::time::{Duration, Instant};

use reeve_manifests::{Diagnostic, Loaded, load_file};

const GOOD: &str = "apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: server
    image: registry.test/web:1
";

fn load(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    load_file("dir", Path::new("web.yaml"), text)
}

/// The errors of a text, as a user sees them.
fn errors(text: &str) -> String {
    load(text).unwrap_err().iter().map(|d| format!("{d}\n")).collect()
}

/// The good pod with more in its container.
fn container(more: &str) -> String {
    format!("{GOOD}{}", more.lines().map(|l| format!("    {l}\n")).collect::<String>())
}

#[test]
fn defaults_are_those_of_the_api_server() {
    let loaded =
        load(&container("livenessProbe: {httpGet: {port: 80}}\nresources: {limits: {cpu: 1, memory: 64Mi}}"))
            .unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let pod = &loaded.pods[0].pod;
    assert_eq!(pod.metadata.namespace.as_deref(), Some("default"));
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!(spec.restart_policy.as_deref(), Some("Always"));
    assert_eq!(spec.termination_grace_period_seconds, Some(30));
    let c = &spec.containers[0];
    assert_eq!(c.image_pull_policy.as_deref(), Some("IfNotPresent"));
    let probe = c.liveness_probe.as_ref().unwrap();
    assert_eq!(
        (probe.period_seconds, probe.timeout_seconds, probe.failure_threshold),
        (Some(10), Some(1), Some(3))
    );
    assert_eq!(probe.http_get.as_ref().unwrap().path.as_deref(), Some("/"));
    assert_eq!(c.resources.as_ref().unwrap().requests, c.resources.as_ref().unwrap().limits);
}

#[test]
fn a_pod_keeps_its_uid_until_it_is_edited() {
    let uid = |text: &str| load(text).unwrap().pods[0].pod.metadata.uid.clone();
    let first = uid(GOOD);
    assert_eq!(first, uid(&format!("# a comment\n---\n{GOOD}")));
    assert_ne!(first, uid(&GOOD.replace("web:1", "web:2")));
    let other = load_file("other", Path::new("x"), GOOD).unwrap().pods[0].pod.metadata.uid.clone();
    assert_ne!(first, other);
}

#[test]
fn many_documents_and_lists_and_json_are_read() {
    let two = format!("{GOOD}---\n# nothing\n---\n{}", GOOD.replace("name: web", "name: db"));
    assert_eq!(load(&two).unwrap().pods.len(), 2);
    let json = "{\n\t\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n\t{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \
        \"metadata\": {\"name\": \"a\"}, \"spec\": {\"containers\": [{\"name\": \"c\", \"image\": \"i\\u0061:1\"}]}}]}";
    let loaded = load(json).unwrap();
    assert_eq!(loaded.pods[0].pod.spec.as_ref().unwrap().containers[0].image.as_deref(), Some("ia:1"));
    assert!(load("").unwrap().pods.is_empty());
}

#[test]
fn unknown_fields_are_shown_with_what_was_meant() {
    let shown = errors(&container("imagePullPolcy: Always\nlivenesProbe: {}"));
    assert!(shown.contains("web.yaml:9:5: unknown field \"spec.containers[0].imagePullPolcy\""), "{shown}");
    assert!(shown.contains(" 9 |     imagePullPolcy: Always\n   |     ^"), "{shown}");
    assert!(shown.contains("hint: did you mean \"imagePullPolicy\"?"), "{shown}");
    assert!(shown.contains("hint: did you mean \"livenessProbe\"?"), "{shown}");
}

#[test]
fn wrong_types_are_shown() {
    for (more, place, message) in [
        (
            "env: [{name: A, value: 5}]",
            "9:28",
            "spec.containers[0].env[0].value: expected a text, found the number 5",
        ),
        ("ports: [{containerPort: \"80\"}]", "9:29", "expected a number, found the text \"80\""),
        ("stdin: yes", "9:12", "expected true or false, found the text \"yes\""),
        ("command: sh", "9:14", "expected a list, found the text \"sh\""),
        ("ports: [{containerPort: 99999999999}]", "9:29", "99999999999"),
        ("resources: [1]", "9:16", "expected a map, found a list"),
    ] {
        let shown = errors(&container(more));
        assert!(shown.contains(&format!("web.yaml:{place}: ")), "{more}: {shown}");
        assert!(shown.contains(message), "{more}: {shown}");
    }
}

#[test]
fn what_is_not_valid_is_shown_where_it_stands() {
    for (more, place, message) in [
        ("ports: [{containerPort: 70000}]", "9:29", "70000 is not a port"),
        ("imagePullPolicy: always", "9:22", "\"always\" is not a value of this field"),
        ("resources: {limits: {memory: 1gb}}", "9:34", "\"1gb\" is not a quantity"),
        ("resources: {limits: {cpu: 1}, requests: {cpu: 2}}", "9:51", "it is more than the limit"),
        ("volumeMounts: [{name: dat, mountPath: /x}]", "9:27", "the pod has no volume \"dat\""),
        ("readinessProbe: {periodSeconds: 5}", "9:5", "a probe does exactly one thing"),
        ("livenessProbe: {tcpSocket: {port: web}}", "9:39", "the container has no port \"web\""),
        (
            "lifecycle: {preStop: {sleep: {seconds: 1}}}",
            "9:5",
            "spec.containers[0].lifecycle is not supported",
        ),
        ("envFrom: [{secretRef: {name: s}}]", "9:5", "is not supported"),
    ] {
        let shown = errors(&container(more));
        assert!(shown.contains(&format!("web.yaml:{place}: ")), "{more}: {shown}");
        assert!(shown.contains(message), "{more}: {shown}");
    }
    let shown = errors(&GOOD.replace("name: web", "name: Web_1"));
    assert!(shown.contains("web.yaml:4:9: metadata.name: \"Web_1\" is not a name"), "{shown}");
}

#[test]
fn broken_text_and_other_objects_are_refused() {
    for (text, message) in [
        ("apiVersion: v1\nkind: Pod\nkind: Pod\n", "web.yaml:3:1"),
        ("a: [1, 2\nb: 3\n", "web.yaml:2:"),
        ("apiVersion: v1\nkind: Pod\n\tmetadata: {}\n", "found a tab"),
        (
            "apiVersion: apps/v1\nkind: Deployment\n",
            "web.yaml:2:7: kind Deployment of apps/v1 is not supported",
        ),
        ("apiVersion: v1\nkind: Pd\n", "did you mean Pod?"),
        ("hello", "this is not a Kubernetes object"),
        ("a: b", "the object has no kind"),
    ] {
        let shown = errors(text);
        assert!(shown.contains(message), "{text}: {shown}");
    }
    let shown = errors(&format!("{GOOD}---\n{GOOD}"));
    assert!(shown.contains("pod \"web\" is declared twice, first at line 1"), "{shown}");
}

#[test]
fn accepted_fields_without_effect_are_warned_of() {
    let loaded =
        load(&GOOD.replace("spec:\n", "spec:\n  nodeSelector: {a: b}\n  tolerations: []\n")).unwrap();
    let shown: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].starts_with("web.yaml:6:3: warning: spec.nodeSelector has no effect"), "{shown:?}");
}

#[test]
fn a_size_that_nothing_enforces_is_warned_of() {
    let warnings = |medium: &str| {
        let volumes = format!("spec:\n  volumes: [{{name: v, emptyDir: {{{medium}sizeLimit: 1Mi}}}}]\n");
        load(&GOOD.replace("spec:\n", &volumes)).unwrap().warnings.len()
    };
    assert_eq!((warnings(""), warnings("medium: Memory, ")), (1, 0));
}

#[test]
fn octal_modes_and_quoted_numbers_keep_their_meaning() {
    let loaded = load(&container("args: [\"0644\", '1', \"true\", no]")).unwrap();
    let args = loaded.pods[0].pod.spec.as_ref().unwrap().containers[0].args.clone().unwrap();
    assert_eq!(args, ["0644", "1", "true", "no"]);
}

#[test]
fn huge_and_hostile_texts_are_refused_at_once() {
    let start = Instant::now();
    let shown = errors(&format!("{GOOD}# {}", "x".repeat(10 << 20)));
    assert!(shown.contains("the file has 10.0 MiB, more than the 4 MiB"), "{shown}");

    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for (this, last) in ('b'..='i').zip('a'..) {
        bomb.push_str(&format!(
            "{this}: &{this} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}]\n"
        ));
    }
    let deep = format!("a: {}", "[".repeat(100_000));
    let wide = format!("a: [{}]", "1,".repeat(1_500_000));
    for text in [&bomb, &deep, &wide] {
        let shown = errors(text);
        assert!(shown.contains("larger, deeper or repeats itself more than a manifest may"), "{shown}");
        assert!(shown.starts_with("web.yaml:") && shown.len() < 500, "{shown}");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
