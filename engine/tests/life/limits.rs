use reeve_engine::{ContainerSpec, EventKind, Resources};

use crate::in_world;
use crate::leaks::hierarchies;
use crate::world::{ended, running, script, until};

#[test]
fn too_much_memory_is_told_as_such() {
    in_world("limits::too_much_memory_is_told_as_such", |world| async move {
        let engine = world.open().await;
        let mut events = engine.subscribe();
        let sandbox = engine.run_sandbox(world.sandbox("oom")).await.unwrap();
        let resources = Resources { memory_limit: Some(16 << 20), ..Resources::default() };
        let hungry = "exec tail /dev/zero";
        let id = running(&engine, &sandbox, ContainerSpec { resources, ..script("c", hungry) }).await;
        let container = ended(&engine, &id).await;
        assert_eq!((container.reason.as_str(), container.exit_code), ("OOMKilled", 137));
        let mut kinds = Vec::new();
        until(|| {
            kinds.extend(events.try_recv().map(|event| event.kind));
            kinds.contains(&EventKind::ContainerStopped).then_some(())
        })
        .await;
        world.clean(engine).await;
    });
}

#[test]
fn counters_and_updates() {
    in_world("limits::counters_and_updates", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("stats")).await.unwrap();
        let resources =
            Resources { memory_limit: Some(64 << 20), pids_limit: Some(50), ..Resources::default() };
        let busy = "head -c 300000 /dev/zero > /tmp/file; while true; do :; done";
        let id = running(&engine, &sandbox, ContainerSpec { resources, ..script("c", busy) }).await;
        let created = engine.create_container(&sandbox, script("later", "exec sleep 1000")).await.unwrap();

        let mut counters = Vec::new();
        for _ in 0..200 {
            counters = engine.container_stats(None).await.unwrap();
            if counters.first().is_some_and(|c| c.cpu_usage_ns > 0 && c.writable_layer.bytes >= 300_000) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let [of_busy] = &counters[..] else { panic!("{counters:?}") };
        assert_eq!((of_busy.id.as_str(), of_busy.memory_limit_bytes), (id.as_str(), 64 << 20));
        assert!(
            of_busy.cpu_usage_ns > 0 && of_busy.pids > 0 && of_busy.memory_usage_bytes > 0,
            "{of_busy:?}"
        );
        assert!(of_busy.writable_layer.bytes >= 300_000, "{of_busy:?}");

        let more = Resources { memory_limit: Some(96 << 20), ..Resources::default() };
        engine.update_container(&id, more.clone()).await.unwrap();
        assert_eq!(limit(&world.cgroup, &sandbox, &id), 96 << 20);
        assert_eq!(engine.container(&id).unwrap().resources.pids_limit, Some(50));
        engine.update_container(&created, more).await.unwrap();
        engine.start_container(&created).await.unwrap();
        assert_eq!(limit(&world.cgroup, &sandbox, &created), 96 << 20);
        world.clean(engine).await;
    });
}

fn limit(parent: &str, sandbox: &str, container: &str) -> u64 {
    let path = format!("{}/{sandbox}/{container}", parent.trim_start_matches('/'));
    let files = ["memory.limit_in_bytes", "memory.max"];
    let texts = hierarchies().into_iter().flat_map(|root| files.map(|file| root.join(&path).join(file)));
    texts.filter_map(|file| std::fs::read_to_string(file).ok()).next().unwrap().trim().parse().unwrap()
}
