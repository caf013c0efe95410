//! Images that tests make: of a few files, of busybox, or of Debian's packages.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Lab, Registry, tools};

/// An image in memory: compressed layers and what is written of them in the configuration.
pub struct Image {
    layers: Vec<Layer>,
    config: Value,
}

/// A gzip layer.
pub struct Layer {
    /// Compressed.
    pub blob: Vec<u8>,
    /// Digest of the uncompressed tar, with its algorithm.
    pub diff_id: String,
}

/// `sha256:…` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Layer {
    /// Compresses a tar.
    pub fn of_tar(tar: &[u8]) -> Layer {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(tar).expect("memory");
        Layer { blob: encoder.finish().expect("memory"), diff_id: digest(tar) }
    }

    /// A layer of plain files: path, mode, contents.
    pub fn of_files(files: &[(&str, u32, &[u8])]) -> Layer {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, mode, contents) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(*mode);
            builder.append_data(&mut header, path, *contents).expect("memory");
        }
        Layer::of_tar(&builder.into_inner().expect("memory"))
    }

    /// A layer of everything below a directory, owners and links kept.
    pub fn of_directory(directory: &Path) -> Layer {
        let output = Command::new("tar")
            .args(["--numeric-owner", "--sort=name", "--xattrs", "-C"])
            .arg(directory)
            .args(["-cf", "-", "."])
            .output()
            .expect("tar");
        assert!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
        Layer::of_tar(&output.stdout)
    }
}

impl Image {
    /// An image of `layers` with the `config` object of an OCI image configuration.
    pub fn new(layers: Vec<Layer>, config: Value) -> Image {
        Image { layers, config }
    }

    /// Busybox with its applets as links, users, and a shell as the default command.
    pub fn busybox() -> Image {
        Image::new(
            vec![base_layer()],
            json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]}),
        )
    }

    /// Busybox, and `packages` of Debian with all that they depend on. Kept in the cache.
    pub fn debian(packages: &[&str], config: Value) -> Image {
        Image::new(vec![base_layer(), Layer::of_tar(&debian_tar(packages))], config)
    }

    /// The same with one more layer on top.
    #[must_use]
    pub fn with(mut self, layer: Layer) -> Image {
        self.layers.push(layer);
        self
    }

    fn config_blob(&self) -> Vec<u8> {
        let diff_ids: Vec<_> = self.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": self.layers.iter().map(|_| json!({"created_by": "e2e"})).collect::<Vec<_>>(),
        });
        serde_json::to_vec(&config).expect("JSON")
    }

    fn manifest_blob(&self, config: &[u8]) -> Vec<u8> {
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|layer| {
                json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": digest(&layer.blob), "size": layer.blob.len()})
            })
            .collect();
        serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(config), "size": config.len()},
            "layers": layers,
        }))
        .expect("JSON")
    }

    /// Uploads the image as `name:tag`, and returns the manifest's digest. `login` is `user:password`.
    pub fn push(&self, lab: &Lab, registry: &Registry, name: &str, login: Option<&str>) -> String {
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let base = format!("http://{}/v2/{repository}", registry.host);
        let config = self.config_blob();
        for blob in self.layers.iter().map(|layer| layer.blob.as_slice()).chain([config.as_slice()]) {
            push_blob(lab, &base, blob, login);
        }
        let manifest = self.manifest_blob(&config);
        let file = scratch(lab, &manifest);
        let url = format!("{base}/manifests/{tag}");
        let media = "Content-Type: application/vnd.oci.image.manifest.v1+json";
        curl(lab, &["-X", "PUT", "-H", media, "--data-binary", &at(&file), &url], login);
        digest(&manifest)
    }

    /// Writes the image as a tar of an OCI layout, named `reference`.
    pub fn write_archive(&self, reference: &str, path: &Path) {
        let config = self.config_blob();
        let manifest = self.manifest_blob(&config);
        let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(&manifest),
            "size": manifest.len(),
            "annotations": {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference}}]}))
        .expect("JSON");
        let mut builder = tar::Builder::new(fs::File::create(path).expect("archive"));
        let mut add = |name: &str, contents: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, contents).expect("archive");
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        add("index.json", &index);
        for blob in
            self.layers.iter().map(|l| l.blob.as_slice()).chain([config.as_slice(), manifest.as_slice()])
        {
            add(&format!("blobs/sha256/{}", &digest(blob)[7..]), blob);
        }
        builder.finish().expect("archive");
    }
}

fn push_blob(lab: &Lab, base: &str, blob: &[u8], login: Option<&str>) {
    let headers = curl(lab, &["-i", "-X", "POST", "-d", "", &format!("{base}/blobs/uploads/")], login);
    let location = headers
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase().starts_with("location:").then(|| line[9..].trim().to_owned())
        })
        .unwrap_or_else(|| panic!("no upload location in:\n{headers}"));
    let separator = if location.contains('?') { '&' } else { '?' };
    let url = format!("{location}{separator}digest={}", digest(blob));
    let file = scratch(lab, blob);
    let media = "Content-Type: application/octet-stream";
    curl(lab, &["-X", "PUT", "-H", media, "--data-binary", &at(&file), &url], login);
    fs::remove_file(file).expect("scratch");
}

fn scratch(lab: &Lab, contents: &[u8]) -> PathBuf {
    let path = lab.path(format!("push-{}", &digest(contents)[7..19]));
    fs::write(&path, contents).expect("scratch");
    path
}

fn at(file: &Path) -> String {
    format!("@{}", file.display())
}

fn curl(lab: &Lab, arguments: &[&str], login: Option<&str>) -> String {
    let mut words = vec!["curl", "-sS", "--fail-with-body", "-m", "60"];
    if let Some(login) = login {
        words.extend(["-u", login]);
    }
    words.extend(arguments);
    lab.run(words)
}

/// Busybox's applets, and the users that Debian's packages expect.
fn base_layer() -> Layer {
    let dir = tempfile::tempdir().expect("scratch");
    let script = "
        set -e; cd \"$1\"
        mkdir -p bin etc tmp root var/run var/lib var/log run home usr/bin proc sys dev
        chmod 1777 tmp
        cp \"$(command -v busybox)\" bin/busybox
        for applet in $(bin/busybox --list); do [ $applet = busybox ] || ln -s busybox bin/$applet; done
        printf 'root:x:0:0:root:/root:/bin/sh\\nwww-data:x:33:33::/var/www:/bin/false\\n' > etc/passwd
        printf 'postgres:x:70:70::/var/lib/postgresql:/bin/sh\\nredis:x:71:71::/var/lib/redis:/bin/sh\\n' >> etc/passwd
        printf 'nobody:x:65534:65534::/nonexistent:/bin/false\\n' >> etc/passwd
        printf 'root:x:0:\\nwww-data:x:33:\\npostgres:x:70:\\nredis:x:71:\\nadm:x:4:\\nnogroup:x:65534:\\n' > etc/group
        printf 'hosts: files dns\\n' > etc/nsswitch.conf";
    shell(script, &[dir.path()]);
    Layer::of_directory(dir.path())
}

/// The files of packages and their dependencies, unpacked without their scripts, as a tar.
fn debian_tar(packages: &[&str]) -> Vec<u8> {
    let cache = tools::cache().join("debian");
    fs::create_dir_all(&cache).expect("cache");
    let tar = cache.join(format!("{}.tar", packages.join("+")));
    if !tar.exists() {
        let work = tempfile::tempdir_in(&cache).expect("cache");
        let script = "
            set -e; work=$1; tar=$2; shift 2
            mkdir -p $work/debs/partial $work/root; : > $work/status; chmod 777 $work $work/debs $work/debs/partial
            apt-get install -y -qq --no-install-recommends --download-only -o Dir::State::status=$work/status \
                -o Dir::Cache::archives=$work/debs -o Debug::NoLocking=1 \"$@\" > $work/log 2>&1 || { cat $work/log >&2; exit 1; }
            for deb in $work/debs/*.deb; do dpkg-deb -x $deb $work/root; done
            rm -rf $work/root/usr/share/doc $work/root/usr/share/man $work/root/usr/share/locale $work/root/usr/share/info
            tar --numeric-owner --sort=name -C $work/root -cf $work/tar . && mv $work/tar $tar";
        let mut arguments = vec![work.path(), tar.as_path()];
        arguments.extend(packages.iter().map(Path::new));
        shell(script, &arguments);
    }
    fs::read(&tar).expect("tar of packages")
}

fn shell(script: &str, arguments: &[&Path]) {
    let output = Command::new("sh").args(["-c", script, "sh"]).args(arguments).output().expect("sh");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
