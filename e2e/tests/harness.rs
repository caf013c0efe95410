//! The harness itself: that the peers which the other tests lean on really work.

use reeve_e2e::{Cluster, Lab, Registry, http, image::Image};
use serde_json::json;

#[test]
fn a_lab_has_a_network_of_its_own() {
    let lab = Lab::new();
    let addresses = lab.run(["ip", "-o", "addr"]);
    assert!(addresses.contains("192.0.2.1/24") && addresses.contains("127.0.0.1/8"), "{addresses}");
    let inside = lab.run(["readlink", "/proc/self/ns/net"]);
    let outside = std::fs::read_link("/proc/self/ns/net").expect("link");
    assert_ne!(inside.trim(), outside.to_string_lossy());
}

#[test]
fn a_registry_keeps_what_is_pushed_and_asks_for_its_password() {
    let lab = Lab::new();
    let registry = Registry::with_password(&lab, 5000, "reader", "s3cret");
    let digest = Image::busybox().push(&lab, &registry, "tools:1", Some("reader:s3cret"));
    let url = format!("http://{}/v2/tools/manifests/{digest}", registry.host);
    assert_eq!(http::get(&lab, &url).expect("answer").0, 401);
    let text = lab.run([
        "curl",
        "-sS",
        "-u",
        "reader:s3cret",
        "-H",
        "Accept: application/vnd.oci.image.manifest.v1+json",
        &url,
    ]);
    assert!(text.contains("application/vnd.oci.image.layer.v1.tar+gzip"), "{text}");
}

#[test]
fn debian_packages_make_an_image() {
    let lab = Lab::new();
    let registry = Registry::open(&lab, 5000);
    Image::debian(&["nginx-light"], json!({})).push(&lab, &registry, "nginx:1", None);
}

#[test]
fn a_control_plane_starts() {
    let lab = Lab::new();
    let cluster = Cluster::start(&lab);
    assert!(cluster.ok(&["get", "namespaces"]).contains("kube-system"));
}
