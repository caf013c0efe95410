//! Registries behind https, as `hosts.toml` says whom to trust.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::path::Path;

use common::images::image;
use common::open;
use common::registry::{Access, Registry, start_tls, tls_file};
use common::tars::{file, tar};
use reeve_image::{Auth, Error};

/// A root whose `hosts.toml` for the registry says `settings`.
fn root_with(registry: &Registry, settings: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("certs.d").join(registry.address.to_string());
    fs::create_dir_all(&folder).unwrap();
    fs::copy(tls_file("ca.pem"), folder.join("own-ca.pem")).unwrap();
    fs::write(folder.join("hosts.toml"), format!("server = \"https://{}\"\n{settings}", registry.address))
        .unwrap();
    root
}

async fn pull(registry: &Registry, root: &Path) -> Result<reeve_image::Image, Error> {
    let name = registry.push("app", "v1", &image(&[tar(&[file("a", b"a")])]));
    open(root).await.pull(&name, Some(Auth::basic("user", "secret")), None).await
}

#[tokio::test]
async fn trusts_what_hosts_toml_says_and_nothing_else() {
    let registry = start_tls(Access::Basic("user".into(), "secret".into()), false).await;
    let error = pull(&registry, root_with(&registry, "").path()).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    // Nothing was sent to a host that is not trusted.
    assert!(registry.seen().is_empty());
    pull(&registry, root_with(&registry, "ca = \"own-ca.pem\"").path()).await.unwrap();
    pull(&registry, root_with(&registry, "skip_verify = true").path()).await.unwrap();
    let error = pull(&registry, root_with(&registry, "ca = \"missing.pem\"").path()).await.unwrap_err();
    assert!(matches!(error, Error::HostsFile { .. }) && error.to_string().contains("missing.pem"), "{error}");
}

#[tokio::test]
async fn shows_a_client_certificate() {
    let registry = start_tls(Access::Basic("user".into(), "secret".into()), true).await;
    let error = pull(&registry, root_with(&registry, "ca = \"own-ca.pem\"").path()).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    let client = format!(
        "ca = \"own-ca.pem\"\nclient = [[{:?}, {:?}]]",
        tls_file("server.pem").display().to_string(),
        tls_file("server.key").display().to_string()
    );
    pull(&registry, root_with(&registry, &client).path()).await.unwrap();
}

#[tokio::test]
async fn docker_style_folders_of_certificates_work() {
    let registry = start_tls(Access::Open, true).await;
    let root = tempfile::tempdir().unwrap();
    // Without hosts.toml the scheme is the default one; a name that is not local makes it https.
    let domain = format!("registry.test:{}", registry.address.port());
    let folder = root.path().join("certs.d").join(&domain);
    fs::create_dir_all(&folder).unwrap();
    fs::copy(tls_file("ca.pem"), folder.join("ca.crt")).unwrap();
    fs::copy(tls_file("server.pem"), folder.join("client.cert")).unwrap();
    fs::copy(tls_file("server.key"), folder.join("client.key")).unwrap();
    let images = open(root.path()).await;
    let error = images.pull(&format!("{domain}/app:v1"), None, None).await.unwrap_err();
    // The name does not resolve here: what matters is that the certificates were taken.
    assert!(matches!(error, Error::Transport { .. }), "{error}");
}

#[tokio::test]
async fn does_not_follow_from_https_to_http() {
    let registry = start_tls(Access::Open, false).await;
    let plain = common::registry::start(Access::Open).await;
    let root = root_with(&registry, "skip_verify = true");
    let target = format!("http://{}/v2/app/manifests/v1", plain.address);
    registry.fault("/manifests/", common::registry::Fault::Redirect(target), 10);
    let error = pull(&registry, root.path()).await.unwrap_err();
    assert!(error.to_string().contains("redirect from https"), "{error}");
    assert!(plain.seen().is_empty());
}
