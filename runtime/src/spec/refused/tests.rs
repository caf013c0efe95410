//! docs/compat-oci.md against the table and against a configuration that has every field.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::mount::options;
use crate::namespaces::Namespaces;

/// Objects whose keys are the user's, or whose fields are refused as a whole.
const OPAQUE: [&str; 15] = [
    "annotations",
    "solaris",
    "windows",
    "vm",
    "zos",
    "mounts[].uidMappings",
    "mounts[].gidMappings",
    "linux.sysctl",
    "linux.timeOffsets",
    "linux.netDevices",
    "linux.intelRdt",
    "linux.memoryPolicy",
    "linux.resources.network",
    "linux.resources.rdma",
    "linux.resources.unified",
];

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compat-oci.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of a section's table: the words that the first cell sets as code, and the second cell.
fn rows(page: &str, section: &str) -> BTreeMap<String, String> {
    let start = page.find(&format!("\n## {section}\n")).unwrap_or_else(|| panic!("no section {section}")) + 1;
    let body = &page[start..];
    let body = &body[..body[1..].find("\n## ").map_or(body.len(), |end| end + 1)];
    let mut rows = BTreeMap::new();
    for line in body.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (first, verdict) = line.split_once(" | ").expect("two cells");
        for name in format!("`{first}").split('`').skip(1).step_by(2) {
            let verdict = verdict.trim_end_matches(" |").to_owned();
            assert!(rows.insert(name.to_owned(), verdict).is_none(), "{name} is there twice");
        }
    }
    rows
}

fn full() -> Value {
    serde_json::from_str(include_str!("full.json")).expect("json")
}

/// The paths of everything in `value` that has no fields of its own.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    let opaque = OPAQUE.contains(&path);
    match value {
        Value::Object(fields) if !opaque => {
            for (name, field) in fields {
                let hook = path == "hooks";
                let inner = match path {
                    "" => name.clone(),
                    _ if hook => {
                        found.insert(format!("hooks.{name}"));
                        String::from("hooks.*")
                    }
                    _ => format!("{path}.{name}"),
                };
                paths(field, &inner, found);
            }
        }
        Value::Array(items) if !opaque && items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| paths(item, &format!("{path}[]"), found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

fn paths_of(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    paths(value, "", &mut found);
    found
}

/// Takes the field out of `value`; where the path has `[]`, out of every element.
fn remove(value: &mut Value, path: &str) {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Some(rest) = rest else {
        value.as_object_mut().expect("object").remove(first);
        return;
    };
    match first.strip_suffix("[]") {
        None => remove(&mut value[first], rest),
        Some(first) => {
            value[first].as_array_mut().expect("array").iter_mut().for_each(|item| remove(item, rest))
        }
    }
}

fn verdict(config: &Value, unified: bool) -> Option<String> {
    let config: Spec = serde_json::from_value(config.clone()).expect("spec");
    let list = config.linux().as_ref().and_then(|linux| linux.namespaces().clone()).unwrap_or_default();
    let namespaces = Namespaces::open(&list).expect("namespaces");
    crate::spec::spec(&config, &namespaces, unified).err().map(|error| error.to_string())
}

fn refused_on(unified: bool) -> impl Iterator<Item = &'static Refused> {
    let elsewhere = if unified { On::V1 } else { On::V2 };
    TABLE.iter().filter(move |refused| !matches!(refused.asks, Asks::Resources(on, _) if on == elsewhere))
}

#[test]
fn the_page_names_every_field() {
    let full = full();
    let spec: Spec = serde_json::from_value(full.clone()).expect("spec");
    let known = paths_of(&serde_json::to_value(spec).expect("json"));
    assert_eq!(paths_of(&full), known, "full.json has what the configuration's type does not, or less");
    let page: BTreeSet<String> = rows(&page(), "config.json").into_keys().collect();
    assert_eq!(page, known);
}

#[test]
fn the_page_says_refused_where_the_table_does() {
    let mut page = rows(&page(), "config.json");
    page.retain(|_, verdict| verdict.contains("refused: "));
    let table: BTreeMap<String, String> = TABLE
        .iter()
        .map(|refused| {
            let verdict = match refused.asks {
                Asks::Resources(On::V1, _) => format!("works; on cgroup v1 refused: {}", refused.reason),
                Asks::Resources(On::V2, _) => format!("works; on cgroup v2 refused: {}", refused.reason),
                _ => format!("refused: {}", refused.reason),
            };
            (refused.path(), verdict)
        })
        .collect();
    assert_eq!(page, table);
}

#[test]
fn exactly_the_fields_of_the_table_are_refused() {
    for unified in [false, true] {
        let mut accepted = full();
        refused_on(unified).for_each(|refused| remove(&mut accepted, &refused.path()));
        assert_eq!(verdict(&accepted, unified), None);
        for refused in refused_on(unified) {
            let mut one = full();
            let others = refused_on(unified).filter(|other| other.path() != refused.path());
            others.for_each(|other| remove(&mut one, &other.path()));
            let path = refused.path().replace("mounts[]", "mounts[0]");
            assert_eq!(verdict(&one, unified), Some(format!("config: {path}: {}", refused.reason)));
        }
    }
}

#[test]
fn the_page_names_every_mount_option() {
    let rows = rows(&page(), "Mount options");
    let (refused, works): (Vec<_>, Vec<_>) =
        rows.iter().partition(|(_, verdict)| verdict.starts_with("refused: "));
    let names = |list: Vec<(&String, &String)>| list.into_iter().map(|(name, _)| name.clone()).collect();
    let refused: BTreeSet<String> = names(refused);
    let works: BTreeSet<String> = names(works);
    assert_eq!(refused, options::REFUSED.map(String::from).into());
    let known: BTreeSet<String> = options::names().map(String::from).collect();
    assert_eq!(works, known);
}
