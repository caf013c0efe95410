//! Environment variables, with values from the pod itself.

use std::collections::HashMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod, ResourceFieldSelector};
use reeve_manifests::Amount;

use super::Error;
use super::expand::expand;
use super::resources::{node_cpus, node_memory};

/// What variables can show beside the spec.
pub(crate) struct Facts<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) pod_ips: &'a [IpAddr],
    pub(crate) host_ip: Option<IpAddr>,
    pub(crate) node_name: &'a str,
}

/// The environment of a container, in order; each value sees the variables before it.
pub(crate) fn environment(c: &Container, facts: &Facts<'_>) -> Result<Vec<(String, String)>, Error> {
    let mut env: Vec<(String, String)> = Vec::new();
    for variable in c.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(from) => match value_from(variable, from, c, facts)? {
                Some(value) => value,
                None => continue,
            },
            None => {
                let known: HashMap<&str, &str> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                expand(variable.value.as_deref().unwrap_or_default(), &known)
            }
        };
        match env.iter_mut().find(|(name, _)| *name == variable.name) {
            Some((_, old)) => *old = value,
            None => env.push((variable.name.clone(), value)),
        }
    }
    Ok(env)
}

fn value_from(
    variable: &EnvVar,
    from: &EnvVarSource,
    c: &Container,
    facts: &Facts<'_>,
) -> Result<Option<String>, Error> {
    let fail = |why: &str| Error::Env { name: variable.name.clone(), why: why.to_owned() };
    if let Some(field) = &from.field_ref {
        return pod_field(&field.field_path, facts)
            .map(Some)
            .ok_or_else(|| fail(&format!("no field {:?}", field.field_path)));
    }
    if let Some(resource) = &from.resource_field_ref {
        return resource_field(resource, c, facts)
            .map(Some)
            .ok_or_else(|| fail(&format!("no resource {:?}", resource.resource)));
    }
    let optional = from.config_map_key_ref.as_ref().and_then(|r| r.optional).unwrap_or(false)
        || from.secret_key_ref.as_ref().and_then(|r| r.optional).unwrap_or(false);
    if optional { Ok(None) } else { Err(fail("ConfigMaps and Secrets are not read yet")) }
}

/// A field of the pod, as the downward API names it.
pub(crate) fn pod_field(path: &str, facts: &Facts<'_>) -> Option<String> {
    let metadata = &facts.pod.metadata;
    let spec = facts.pod.spec.as_ref();
    let subscript = |list: &str| path.strip_prefix(list)?.strip_prefix("['")?.strip_suffix("']");
    if let Some(key) = subscript("metadata.labels") {
        return Some(metadata.labels.as_ref().and_then(|l| l.get(key)).cloned().unwrap_or_default());
    }
    if let Some(key) = subscript("metadata.annotations") {
        return Some(metadata.annotations.as_ref().and_then(|l| l.get(key)).cloned().unwrap_or_default());
    }
    let join = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let host: Vec<IpAddr> = facts.host_ip.into_iter().collect();
    let host_network = spec.is_some_and(|s| s.host_network == Some(true));
    let ips = if facts.pod_ips.is_empty() && host_network { host.as_slice() } else { facts.pod_ips };
    match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => Some(facts.node_name.to_owned()),
        "spec.serviceAccountName" => Some(spec?.service_account_name.clone().unwrap_or_default()),
        "status.hostIP" => Some(join(&host)),
        "status.hostIPs" => Some(join(&host)),
        "status.podIP" => Some(join(ips.get(..1).unwrap_or_default())),
        "status.podIPs" => Some(join(ips)),
        _ => None,
    }
}

/// A resource of a container; an absent limit is what the node has.
fn resource_field(selector: &ResourceFieldSelector, c: &Container, facts: &Facts<'_>) -> Option<String> {
    let of = match selector.container_name.as_deref().unwrap_or_default() {
        "" => c,
        name => facts.pod.spec.as_ref()?.containers.iter().find(|c| c.name == name)?,
    };
    let (list, resource) = selector.resource.split_once('.')?;
    let resources = of.resources.as_ref();
    let set = match list {
        "limits" => resources.and_then(|r| r.limits.as_ref()),
        "requests" => resources.and_then(|r| r.requests.as_ref()),
        _ => None,
    };
    let written = set.and_then(|s| s.get(resource)).and_then(Amount::of);
    let amount = match (written, list, resource) {
        (Some(amount), ..) => amount,
        (None, "limits", "cpu") => Amount::parse(&node_cpus().to_string())?,
        (None, "limits", "memory") => Amount::parse(&node_memory().to_string())?,
        _ => Amount::parse("0")?,
    };
    let one = Amount::parse("1")?;
    let divisor =
        selector.divisor.as_ref().and_then(Amount::of).filter(|d| *d != Amount::parse("0").unwrap_or(one));
    amount.divided_by(divisor.unwrap_or(one)).map(|n| n.to_string())
}
