//! The volumes of a pod, each with its kind and whatever its source says.

use k8s_openapi::api::core::v1::Volume;
use serde_json::{Map, Value};

use super::page::Page;

/// All `volumes` of a pod.
pub(crate) fn list(page: &mut Page, volumes: &[Volume]) {
    if volumes.is_empty() {
        return page.line(0, "Volumes:  <none>");
    }
    page.line(0, "Volumes:");
    for volume in volumes {
        page.line(1, &format!("{}:", volume.name));
        let (kind, source) = source(volume);
        let mut pairs = vec![("Type".to_owned(), kind)];
        pairs.extend(source.into_iter().map(|(key, value)| (capitalised(&key), plain(&value))));
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        page.pairs(2, &pairs);
    }
}

/// The one source a volume has, by its name in the manifest.
fn source(volume: &Volume) -> (String, Map<String, Value>) {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(volume) else {
        return ("<unknown>".into(), Map::new());
    };
    fields.remove("name");
    match fields.into_iter().next() {
        Some((kind, Value::Object(source))) => (capitalised(&kind), source),
        Some((kind, _)) => (capitalised(&kind), Map::new()),
        None => ("EmptyDir".into(), Map::new()),
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
