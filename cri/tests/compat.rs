//! `docs/compat-cri.md` has a word on every RPC, and on every field that a request can carry.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Messages that requests are made of, besides the requests themselves.
const PARTS: [&str; 17] = [
    "AuthConfig",
    "Capability",
    "ContainerConfig",
    "ContainerFilter",
    "Device",
    "ImageSpec",
    "LinuxContainerConfig",
    "LinuxContainerResources",
    "LinuxContainerSecurityContext",
    "LinuxPodSandboxConfig",
    "LinuxSandboxSecurityContext",
    "Mount",
    "NamespaceOption",
    "NetworkConfig",
    "PodSandboxConfig",
    "PodSandboxFilter",
    "PortMapping",
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all RPCs, and the fields of all messages.
fn interface() -> (Vec<String>, BTreeMap<String, Vec<String>>) {
    let mut rpcs = Vec::new();
    let mut messages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut message = String::new();
    let text = read("proto/proto/cri/api.proto");
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if let Some(rest) = line.strip_prefix("rpc ") {
            rpcs.push(rest.split('(').next().unwrap().to_owned());
        } else if let Some(rest) = line.strip_prefix("message ") {
            message = rest.split([' ', '{']).next().unwrap().to_owned();
        } else if let Some((left, _)) = line.split_once(" = ")
            && let Some((_, field)) = left.trim().rsplit_once([' ', '>'])
        {
            messages.entry(message.clone()).or_default().push(field.to_owned());
        }
    }
    (rpcs, messages)
}

/// The words that the page sets as code, and the names of RPCs in its tables.
fn words_of_page() -> BTreeSet<String> {
    let page = read("docs/compat-cri.md");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let code = page.split('`').skip(1).step_by(2);
    let first_cells =
        page.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|row| row.split('|').next());
    code.chain(first_cells).flat_map(|text| text.split(|c: char| !is_name(c))).map(str::to_owned).collect()
}

#[test]
fn the_page_names_every_call_and_every_field() {
    let (rpcs, messages) = interface();
    assert!(rpcs.len() > 40 && messages.len() > 100, "the interface was not understood");
    let page = words_of_page();
    let requests = rpcs.iter().map(|rpc| match rpc.as_str() {
        "GetContainerEvents" => "GetEventsRequest".to_owned(),
        rpc => format!("{rpc}Request"),
    });
    let parts = PARTS.iter().map(|part| (*part).to_owned());
    let fields = requests.chain(parts).flat_map(|message| {
        let fields = messages.get(&message).cloned().unwrap_or_default();
        fields.into_iter().map(move |field| (format!("{message}.{field}"), field))
    });
    let calls = rpcs.iter().map(|rpc| (rpc.clone(), rpc.clone()));
    let missing: Vec<String> =
        calls.chain(fields).filter(|(_, word)| !page.contains(word)).map(|(path, _)| path).collect();
    assert!(missing.is_empty(), "docs/compat-cri.md does not name {}", missing.join(", "));
}
