#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::pod::DesiredPod;
use crate::sources::{Message, SourceState};
use crate::{Config, Handles};

struct Watched {
    handles: Handles,
    messages: mpsc::UnboundedReceiver<Message>,
    _stop: tokio_util::sync::DropGuard,
}

fn watch(root: &Path, dir: &Path) -> Watched {
    let handles = Handles::new(Config::new(root, root, Path::new("/nowhere")));
    let (sender, messages) = mpsc::unbounded_channel();
    let mailbox = handles.sources.mailbox(&dir.to_string_lossy(), handles.clock, sender);
    let stop = CancellationToken::new();
    tokio::spawn(super::run(handles.clone(), mailbox, dir.to_path_buf(), stop.clone()));
    Watched { handles, messages, _stop: stop.drop_guard() }
}

impl Watched {
    /// Waits until a scan has exactly these images, in any order.
    async fn has(&mut self, images: &[&str]) -> Vec<Arc<DesiredPod>> {
        let wait = async {
            loop {
                let Some(Message::Complete { pods, .. }) = self.messages.recv().await else {
                    panic!("no scan")
                };
                let mut found: Vec<String> = pods.iter().map(|p| image(p)).collect();
                found.sort();
                let mut wanted = images.to_vec();
                wanted.sort_unstable();
                if found == wanted {
                    return pods;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .unwrap_or_else(|_| panic!("never had {images:?}"))
    }

    /// Whether all scans of the next moment have exactly these images.
    async fn keeps(&mut self, images: &[&str]) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        while let Ok(Message::Complete { pods, .. }) = self.messages.try_recv() {
            assert_eq!(pods.iter().map(|p| image(p)).collect::<Vec<_>>(), images);
        }
    }

    fn state(&self) -> SourceState {
        self.handles.sources.list().remove(0)
    }
}

fn image(pod: &DesiredPod) -> String {
    pod.pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
}

fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: {image}}}]}}\n"
    )
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("tmp");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[tokio::test]
async fn files_are_followed_in_all_the_ways_they_change() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a.yaml"), pod("a", "a:1")).unwrap();
    let mut watched = watch(root.path(), dir.path());
    let first = watched.has(&["a:1"]).await;
    assert!(first[0].origin.ends_with("a.yaml:1"));

    replace(&at("a.yaml"), &pod("a", "a:2"));
    let second = watched.has(&["a:2"]).await;
    assert_ne!(first[0].key().uid, second[0].key().uid);
    std::fs::rename(at("a.yaml"), at("b.yml")).unwrap();
    let third = watched.has(&["a:2"]).await;
    assert_eq!(second[0].key(), third[0].key());

    std::fs::create_dir_all(at("deep/er")).unwrap();
    std::fs::write(at("deep/er/c.json"), "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"c\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"c:1\"}]}}").unwrap();
    watched.has(&["a:2", "c:1"]).await;
    std::fs::remove_dir_all(at("deep")).unwrap();
    watched.has(&["a:2"]).await;
    for junk in [".b.yml.swp", "b.yml~", "#b.yml#", "4913", ".#b.yml", "README.md"] {
        std::fs::write(at(junk), pod("junk", "junk:1")).unwrap();
    }
    watched.keeps(&["a:2"]).await;
    std::fs::remove_file(at("b.yml")).unwrap();
    watched.has(&[]).await;
}

#[tokio::test]
async fn a_bad_file_leaves_its_last_good_version_even_over_a_restart() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = dir.path().join("a.yaml");
    std::fs::write(&file, pod("a", "a:1")).unwrap();
    let mut watched = watch(root.path(), dir.path());
    let good = watched.has(&["a:1"]).await;
    assert!(watched.state().synced && watched.state().diagnostics.is_empty());
    replace(&file, &pod("a", "a:2").replace("image", "imgae"));
    let bad = watched.has(&["a:1"]).await;
    assert_eq!(good[0].key(), bad[0].key());
    let shown = watched.state().diagnostics[0].to_string();
    assert!(shown.contains("a.yaml:4:") && shown.contains("did you mean \"image\"?"), "{shown}");
    assert_eq!(watched.handles.events.list()[0].reason.as_deref(), Some("InvalidManifest"));
    drop(watched);
    let mut again = watch(root.path(), dir.path());
    assert_eq!(again.has(&["a:1"]).await[0].key(), good[0].key());
    assert_eq!(again.state().diagnostics.len(), 1);
    replace(&file, &pod("a", "a:3"));
    again.has(&["a:3"]).await;
}

#[tokio::test]
async fn a_pod_in_two_files_stays_with_the_first() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("z.yaml"), pod("a", "first:1")).unwrap();
    let mut watched = watch(root.path(), dir.path());
    watched.has(&["first:1"]).await;
    std::fs::write(dir.path().join("a.yaml"), pod("a", "second:1")).unwrap();
    watched.keeps(&["first:1"]).await;
    let shown = watched.state().diagnostics[0].to_string();
    assert!(
        shown.contains("a.yaml:1:1: pod default/a is declared already in") && shown.contains("z.yaml"),
        "{shown}"
    );
    std::fs::remove_file(dir.path().join("z.yaml")).unwrap();
    watched.has(&["second:1"]).await;
}

#[tokio::test]
async fn a_file_that_is_being_written_is_waited_for() {
    use std::io::Write;
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("a.yaml");
    std::fs::write(&path, pod("a", "a:1")).unwrap();
    let mut watched = watch(root.path(), dir.path());
    watched.has(&["a:1"]).await;
    let mut file = std::fs::File::create(&path).unwrap();
    watched.keeps(&["a:1"]).await;
    let text = pod("a", "a:2");
    file.write_all(&text.as_bytes()[..40]).unwrap();
    watched.keeps(&["a:1"]).await;
    assert!(watched.state().diagnostics.is_empty());
    file.write_all(&text.as_bytes()[40..]).unwrap();
    drop(file);
    watched.has(&["a:2"]).await;
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_through_its_links() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| dir.path().join(name);
    for (version, image) in [("..1", "a:1"), ("..2", "a:2")] {
        std::fs::create_dir(at(version)).unwrap();
        std::fs::write(at(version).join("a.yaml"), pod("a", image)).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let mut watched = watch(root.path(), dir.path());
    let first = watched.has(&["a:1"]).await;
    assert_eq!(first.len(), 1);
    symlink("..2", at("..data_tmp")).unwrap();
    std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    watched.has(&["a:2"]).await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_prunes_nothing() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("manifests");
    let mut watched = watch(root.path(), &path);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!watched.state().synced);
    assert!(watched.state().error.unwrap().contains("No such file"));
    assert!(watched.messages.try_recv().is_err());
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("a.yaml"), pod("a", "a:1")).unwrap();
    watched.has(&["a:1"]).await;
    assert!(watched.state().error.is_none());
}
