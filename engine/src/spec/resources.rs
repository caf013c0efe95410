//! Limits in the words of the OCI runtime specification (config-linux.md, "Control groups").

use serde_json::{Map, Value, json};

use crate::types::Resources;

/// `linux.resources` of a new container.
pub(crate) fn oci_resources(resources: &Resources, device_rules: &[Value], swap: bool) -> Value {
    let mut value = update_resources(resources, swap);
    value["devices"] = json!(device_rules);
    value
}

/// `linux.resources` with what is set; what is not stays out, and so as it is.
pub(crate) fn update_resources(resources: &Resources, swap: bool) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, part: Map<String, Value>| {
        if !part.is_empty() {
            all.insert(name.to_owned(), part.into());
        }
    };
    put("cpu", cpu(resources));
    put("memory", memory(resources, swap));
    put("pids", fields([("limit", number(resources.pids_limit))]));
    put("unified", resources.unified.iter().map(|(file, text)| (file.clone(), json!(text))).collect());
    if !resources.hugepages.is_empty() {
        let limit =
            |page: &crate::types::HugepageLimit| json!({ "pageSize": page.page_size, "limit": page.limit });
        all.insert("hugepageLimits".into(), resources.hugepages.iter().map(limit).collect());
    }
    all.into()
}

fn cpu(resources: &Resources) -> Map<String, Value> {
    fields([
        ("shares", number(resources.cpu_shares)),
        ("quota", number(resources.cpu_quota)),
        ("period", number(resources.cpu_period)),
        ("cpus", text(&resources.cpuset_cpus)),
        ("mems", text(&resources.cpuset_mems)),
    ])
}

fn memory(resources: &Resources, swap: bool) -> Map<String, Value> {
    // Without a limit of its own for swap a container gets none, as the kubelet wants it: memory that is
    // limited is not to be had again on disk. A kernel that cannot limit it is not asked to.
    let swap = number(resources.memory_swap).or(number(resources.memory_limit).filter(|_| swap));
    fields([("limit", number(resources.memory_limit)), ("swap", swap)])
}

fn fields<const N: usize>(entries: [(&str, Option<Value>); N]) -> Map<String, Value> {
    entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// CRI writes "not set" as zero.
fn number<T: Into<i128> + Copy>(value: Option<T>) -> Option<Value>
where
    Value: From<T>,
{
    value.filter(|value| (*value).into() != 0).map(Value::from)
}

fn text(value: &Option<String>) -> Option<Value> {
    value.as_ref().filter(|value| !value.is_empty()).map(|value| json!(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_set_says_nothing() {
        let resources =
            Resources { cpu_quota: Some(0), cpuset_cpus: Some(String::new()), ..Resources::default() };
        assert_eq!(update_resources(&resources, true), json!({}));
    }

    #[test]
    fn everything_set() {
        let resources = Resources {
            cpu_shares: Some(512),
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            cpuset_cpus: Some("0-1".into()),
            memory_limit: Some(1 << 20),
            pids_limit: Some(-1),
            unified: [("memory.high".to_owned(), "1000".to_owned())].into(),
            ..Resources::default()
        };
        assert_eq!(
            oci_resources(&resources, &[json!({ "allow": false })], true),
            json!({
                "cpu": { "shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0-1" },
                "memory": { "limit": 1 << 20, "swap": 1 << 20 },
                "pids": { "limit": -1 },
                "unified": { "memory.high": "1000" },
                "devices": [{ "allow": false }],
            })
        );
    }
}
