use super::*;

fn sandbox(id: &str) -> SandboxRecord {
    samples::sandbox(id, Default::default())
}

struct Dirs {
    root: tempfile::TempDir,
    state: tempfile::TempDir,
}

impl Dirs {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), state: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> (Store, Loaded) {
        Store::open(self.root.path(), self.state.path()).unwrap()
    }
}

#[tokio::test]
async fn records_come_back_in_the_same_boot() {
    let dirs = Dirs::new();
    let (store, loaded) = dirs.open();
    assert!(loaded.rebooted && loaded.sandboxes.is_empty());
    store.put(&sandbox("a")).await.unwrap();
    store.put(&sandbox("b")).await.unwrap();
    store.remove::<SandboxRecord>("a").await.unwrap();
    drop(store);
    let (_store, loaded) = dirs.open();
    assert!(!loaded.rebooted);
    assert_eq!(loaded.sandboxes, [sandbox("b")]);
}

#[tokio::test]
async fn after_a_reboot_the_durable_copy_serves() {
    let mut dirs = Dirs::new();
    let (store, _) = dirs.open();
    store.put(&sandbox("a")).await.unwrap();
    drop(store);
    dirs.state = tempfile::tempdir().unwrap();
    let (store, loaded) = dirs.open();
    assert!(loaded.rebooted);
    assert_eq!(loaded.sandboxes, [sandbox("a")]);
    drop(store);
    let (_store, loaded) = dirs.open();
    assert!(!loaded.rebooted, "the live copy was filled from the durable one");
    assert_eq!(loaded.sandboxes, [sandbox("a")]);
}

#[tokio::test]
async fn a_durable_copy_left_behind_catches_up_at_open() {
    let mut dirs = Dirs::new();
    let (store, _) = dirs.open();
    store.put(&sandbox("a")).await.unwrap();
    store.flush().await.unwrap();
    std::fs::copy(dirs.root.path().join("state.redb"), dirs.root.path().join("old")).unwrap();
    store.put(&sandbox("b")).await.unwrap();
    store.remove::<SandboxRecord>("a").await.unwrap();
    drop(store);
    // As if the process had been killed before the durable copy followed.
    std::fs::rename(dirs.root.path().join("old"), dirs.root.path().join("state.redb")).unwrap();
    drop(dirs.open());
    dirs.state = tempfile::tempdir().unwrap();
    assert_eq!(dirs.open().1.sandboxes, [sandbox("b")]);
}

#[tokio::test]
async fn a_damaged_live_copy_is_thrown_away() {
    let dirs = Dirs::new();
    let (store, _) = dirs.open();
    store.put(&sandbox("a")).await.unwrap();
    drop(store);
    std::fs::write(dirs.state.path().join("state.redb"), b"no database at all").unwrap();
    let (_store, loaded) = dirs.open();
    assert!(loaded.rebooted);
    assert_eq!(loaded.sandboxes, [sandbox("a")]);
}

#[tokio::test]
async fn a_second_engine_is_told_who_is_there() {
    let dirs = Dirs::new();
    let (_store, _) = dirs.open();
    let error = Store::open(dirs.root.path(), dirs.state.path()).unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
}

#[test]
fn a_record_of_a_newer_format_is_refused() {
    let error = record::decode::<SandboxRecord>("sandbox/a", b"\x07{}").unwrap_err();
    assert!(error.to_string().contains("format 7"), "{error}");
}

#[tokio::test]
async fn only_root_reads_what_containers_were_given() {
    use std::os::unix::fs::PermissionsExt;
    let dirs = Dirs::new();
    let _store = dirs.open();
    for dir in [&dirs.root, &dirs.state] {
        let mode = std::fs::metadata(dir.path().join("state.redb")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_change_costs_no_sync() {
    let dirs = Dirs::new();
    let (store, _) = dirs.open();
    let began = std::time::Instant::now();
    for number in 0..200 {
        store.put(&sandbox(&number.to_string())).await.unwrap();
    }
    let each = began.elapsed() / 200;
    println!("{each:?} a change");
    // A sync takes milliseconds on most disks; the bound is wide, for the machine may be busy.
    assert!(each < std::time::Duration::from_millis(20), "{each:?}");
}
