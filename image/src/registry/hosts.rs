//! Which hosts serve a registry's content: containerd's `certs.d/HOST/hosts.toml`
//! (containerd: docs/hosts.md), read anew for each pull.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use toml::{Table, Value};

use crate::Error;

const DEFAULT_DIAL: Duration = Duration::from_secs(20);

/// One host to ask.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// With a trailing slash: `https://registry.test/v2/`
    pub(crate) base: Url,
    pub(crate) can_pull: bool,
    pub(crate) can_resolve: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) tls: Tls,
    pub(crate) dial_timeout: Duration,
    /// A mirror is told whose content is wanted.
    pub(crate) namespace: Option<String>,
    /// Whether credentials for the registry are for this host too: a mirror is somebody else.
    pub(crate) is_upstream: bool,
}

/// How to trust a host and be trusted. Files carry their time, so that renewed ones are read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tls {
    pub(crate) ca: Vec<(PathBuf, Option<SystemTime>)>,
    /// Certificate, and key where it is in a file of its own.
    pub(crate) client: Vec<(PathBuf, Option<PathBuf>, Option<SystemTime>)>,
    pub(crate) skip_verify: bool,
}

impl Host {
    /// `registry.test:5000`, as errors name it.
    pub(crate) fn name(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        match self.base.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Whether the host is this machine.
    pub(crate) fn is_local(&self) -> bool {
        is_local(self.base.host_str().unwrap_or_default())
    }

    fn default_for(domain: &str) -> Result<Host, Error> {
        let server = if domain == "docker.io" { "registry-1.docker.io" } else { domain };
        let base = base_url(server, false)
            .map_err(|reason| Error::HostsFile { path: PathBuf::from(domain), reason })?;
        Ok(Host {
            base,
            can_pull: true,
            can_resolve: true,
            headers: HeaderMap::new(),
            tls: Tls::default(),
            dial_timeout: DEFAULT_DIAL,
            namespace: None,
            is_upstream: true,
        })
    }
}

/// The hosts for `domain`, in the order to try them.
pub(crate) fn hosts_for(domain: &str, certs_dirs: &[PathBuf]) -> Result<Vec<Host>, Error> {
    let folders = [domain.to_owned(), port_in_words(domain), "_default".to_owned()];
    for name in &folders {
        for dir in certs_dirs {
            let folder = dir.join(name);
            if !folder.is_dir() {
                continue;
            }
            let path = folder.join("hosts.toml");
            match fs::read_to_string(&path) {
                Ok(text) => {
                    return parse(&text, domain, &folder).map_err(|reason| Error::HostsFile { path, reason });
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    let mut host = Host::default_for(domain)?;
                    host.tls = docker_certificates(&folder);
                    return Ok(vec![host]);
                }
                Err(error) => return Err(Error::io("read", &path, error)),
            }
        }
    }
    Ok(vec![Host::default_for(domain)?])
}

/// containerd also takes `host_5000_`, for file systems where a colon is not allowed.
fn port_in_words(domain: &str) -> String {
    match domain.rsplit_once(':') {
        Some((host, port)) => format!("{host}_{port}_"),
        None => domain.to_owned(),
    }
}

/// Docker's older layout of the same folder: `*.crt` are authorities, `*.cert` and `*.key` a client's.
fn docker_certificates(folder: &Path) -> Tls {
    let mut tls = Tls::default();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    for path in files {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.ca.push((path.clone(), modified(&path))),
            Some("cert") => {
                tls.client.push((path.clone(), Some(path.with_extension("key")), modified(&path)));
            }
            _ => {}
        }
    }
    tls
}

fn parse(text: &str, domain: &str, folder: &Path) -> Result<Vec<Host>, String> {
    let file: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let upstream = Host::default_for(domain).map_err(|error| error.to_string())?;
    let mut hosts = Vec::new();
    if let Some(tables) = file.get("host") {
        let tables = tables.as_table().ok_or("host is no table")?;
        for (server, settings) in tables {
            let settings = settings.as_table().ok_or_else(|| format!("host {server:?} is no table"))?;
            hosts.push(host(server, settings, domain, &upstream, folder)?);
        }
    }
    // The settings outside of host tables are the server's own; it comes last.
    match file.get("server") {
        Some(server) => {
            let server = server.as_str().ok_or("server is no string")?;
            if !server.is_empty() {
                let server = host(server, &file, domain, &upstream, folder)?;
                hosts.push(Host { is_upstream: true, ..server });
            }
        }
        None => {
            let server = upstream.base.as_str().trim_end_matches("/v2/").to_owned();
            hosts.push(host(&server, &file, domain, &upstream, folder)?);
        }
    }
    Ok(hosts)
}

fn host(
    server: &str,
    settings: &Table,
    domain: &str,
    upstream: &Host,
    folder: &Path,
) -> Result<Host, String> {
    let override_path = boolean(settings, "override_path")?;
    let base = base_url(server, override_path)?;
    let (mut can_pull, mut can_resolve) = (true, true);
    if let Some(capabilities) = settings.get("capabilities") {
        let names = strings(capabilities).ok_or("capabilities is no list of strings")?;
        (can_pull, can_resolve) =
            (names.iter().any(|name| name == "pull"), names.iter().any(|name| name == "resolve"));
    }
    let is_same = base.host_str() == upstream.base.host_str()
        && base.port_or_known_default() == upstream.base.port_or_known_default();
    Ok(Host {
        can_pull,
        can_resolve,
        headers: headers(settings)?,
        tls: tls(settings, folder)?,
        dial_timeout: match settings.get("dial_timeout") {
            None => DEFAULT_DIAL,
            Some(value) => {
                value.as_str().and_then(duration).ok_or("dial_timeout is no duration like \"5s\"")?
            }
        },
        namespace: (!is_same).then(|| domain.to_owned()),
        is_upstream: is_same,
        base,
    })
}

fn base_url(server: &str, override_path: bool) -> Result<Url, String> {
    let with_scheme = if server.contains("://") {
        server.to_owned()
    } else {
        let host = server.split('/').next().unwrap_or_default();
        let name = if host.starts_with('[') { host } else { host.split(':').next().unwrap_or_default() };
        let name = name.split_inclusive(']').next().unwrap_or_default();
        format!("{}://{server}", if is_local(name) { "http" } else { "https" })
    };
    let mut url: Url = with_scheme.parse().map_err(|error| format!("{server:?} is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("{server:?} is no http or https URL"));
    }
    let mut path = url.path().trim_end_matches('/').to_owned();
    if !override_path && !path.ends_with("/v2") {
        path.push_str("/v2");
    }
    url.set_path(&format!("{path}/"));
    url.set_query(None);
    Ok(url)
}

fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn boolean(settings: &Table, key: &str) -> Result<bool, String> {
    match settings.get(key) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| format!("{key} is neither true nor false")),
    }
}

fn headers(settings: &Table) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let Some(table) = settings.get("header") else { return Ok(headers) };
    for (name, values) in table.as_table().ok_or("header is no table")? {
        let invalid = || format!("header {name:?} is invalid");
        let key: HeaderName = name.parse().map_err(|_| invalid())?;
        for value in strings(values).ok_or_else(invalid)? {
            let mut value = HeaderValue::from_str(&value).map_err(|_| invalid())?;
            // It may well be a credential.
            value.set_sensitive(true);
            headers.append(key.clone(), value);
        }
    }
    Ok(headers)
}

fn tls(settings: &Table, folder: &Path) -> Result<Tls, String> {
    let mut tls = Tls { skip_verify: boolean(settings, "skip_verify")?, ..Tls::default() };
    if let Some(ca) = settings.get("ca") {
        for path in strings(ca).ok_or("ca is neither a path nor a list of paths")? {
            let path = folder.join(path);
            tls.ca.push((path.clone(), modified(&path)));
        }
    }
    const CLIENT: &str = "client is neither a path nor a list of paths or of [certificate, key] pairs";
    let mut add = |certificate: &str, key: Option<&str>| {
        let certificate = folder.join(certificate);
        let time = modified(&certificate);
        tls.client.push((certificate, key.filter(|key| !key.is_empty()).map(|key| folder.join(key)), time));
    };
    match settings.get("client") {
        None => {}
        Some(Value::String(path)) => add(path, None),
        Some(Value::Array(entries)) => {
            for entry in entries {
                match (entry.as_str(), strings(entry).as_deref()) {
                    (Some(path), _) => add(path, None),
                    (None, Some([certificate])) => add(certificate, None),
                    (None, Some([certificate, key])) => add(certificate, Some(key)),
                    _ => return Err(CLIENT.to_owned()),
                }
            }
        }
        Some(_) => return Err(CLIENT.to_owned()),
    }
    Ok(tls)
}

/// A string, or a list of strings.
fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(values) => values.iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Go's durations, as far as a time-out needs them: `500ms`, `5s`, `1m30s`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        let unit_end =
            rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let unit = match &rest[digits..unit_end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = &rest[unit_end..];
    }
    (!total.is_zero()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(hosts: &[Host]) -> Vec<&str> {
        hosts.iter().map(|host| host.base.as_str()).collect()
    }

    #[test]
    fn defaults_without_a_file() {
        for (domain, base) in [
            ("docker.io", "https://registry-1.docker.io/v2/"),
            ("registry.test", "https://registry.test/v2/"),
            ("registry.test:5000", "https://registry.test:5000/v2/"),
            ("localhost:5000", "http://localhost:5000/v2/"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000/v2/"),
            ("[::1]:5000", "http://[::1]:5000/v2/"),
        ] {
            assert_eq!(bases(&hosts_for(domain, &[]).unwrap()), [base]);
        }
    }

    #[test]
    fn reads_containerds_example() {
        let text = r#"
            server = "https://registry.test"
            ca = "/etc/own.pem"
            [host."http://z-mirror.test:5000"]
              capabilities = ["pull"]
              dial_timeout = "1m30s"
            [host."https://a-mirror.test/v2/proxy"]
              override_path = true
              skip_verify = true
              client = [["a.cert", "a.key"], ["b.pem", ""]]
              [host."https://a-mirror.test/v2/proxy".header]
                x-one = "1"
                x-two = ["2", "3"]
            [host."mirror.test"]
        "#;
        let hosts = parse(text, "registry.test", Path::new("/certs")).unwrap();
        assert_eq!(
            bases(&hosts),
            [
                "http://z-mirror.test:5000/v2/",
                "https://a-mirror.test/v2/proxy/",
                "https://mirror.test/v2/",
                "https://registry.test/v2/"
            ]
        );
        assert!(hosts[0].can_pull && !hosts[0].can_resolve);
        assert_eq!(hosts[0].dial_timeout, Duration::from_secs(90));
        assert!(hosts[1].tls.skip_verify);
        assert_eq!(hosts[1].headers.get_all("x-two").iter().count(), 2);
        assert_eq!(hosts[1].tls.client[0].1.as_deref(), Some(Path::new("/certs/a.key")));
        assert_eq!(hosts[1].tls.client[1].1, None);
        assert_eq!(hosts[2].namespace.as_deref(), Some("registry.test"));
        assert_eq!(hosts[3].namespace, None);
        assert_eq!(hosts[3].tls.ca[0].0, Path::new("/etc/own.pem"));
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, word) in [
            ("server = 1", "server"),
            ("[host.\"ftp://x\"]", "http"),
            ("[host.\"https://x\"]\ncapabilities = 1", "capabilities"),
            ("[host.\"https://x\"]\ndial_timeout = \"soon\"", "dial_timeout"),
            ("[host.\"https://x\"]\nskip_verify = \"yes\"", "skip_verify"),
            ("[host", "host"),
        ] {
            let error = parse(text, "registry.test", Path::new("/certs")).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn looks_for_folders_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, server: &str| {
            fs::create_dir_all(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("hosts.toml"), format!("server = {server:?}")).unwrap();
        };
        let dirs = [dir.path().to_owned()];
        write("_default", "http://default.test");
        assert_eq!(bases(&hosts_for("registry.test:1", &dirs).unwrap()), ["http://default.test/v2/"]);
        write("registry.test_1_", "http://words.test");
        assert_eq!(bases(&hosts_for("registry.test:1", &dirs).unwrap()), ["http://words.test/v2/"]);
        write("registry.test:1", "http://exact.test");
        assert_eq!(bases(&hosts_for("registry.test:1", &dirs).unwrap()), ["http://exact.test/v2/"]);
    }
}
