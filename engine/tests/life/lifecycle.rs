use std::time::{Duration, Instant};

use reeve_engine::{
    ContainerSpec, ContainerState, Error, EventKind, PidNamespace, PortMapping, Protocol, SandboxSpec,
    SandboxState, Seccomp, Security,
};

use crate::in_world;
use crate::world::{ended, running, script, until, words};

#[test]
fn a_pod_from_birth_to_death() {
    in_world("lifecycle::a_pod_from_birth_to_death", |world| async move {
        let engine = world.open().await;
        let mut events = engine.subscribe();
        let sandbox = engine.run_sandbox(world.sandbox("web")).await.unwrap();
        let view = engine.sandbox(&sandbox[..12]).unwrap();
        assert_eq!((view.state, view.ips.len()), (SandboxState::Ready, 1));

        let print = "echo out; echo err >&2; cat /etc/hosts /etc/hostname; id; pwd; exec sleep 100";
        let id = engine.create_container(&sandbox, script("main", print)).await.unwrap();
        let created = engine.container(&id).unwrap();
        assert_eq!((created.state, created.pid), (ContainerState::Created, 0));
        engine.start_container(&id).await.unwrap();
        let started = engine.container(&id).unwrap();
        assert_eq!(started.state, ContainerState::Running);
        assert!(started.pid > 0 && started.started_at >= started.created_at);
        let log = until(|| Some(world.log("web", "main")).filter(|log| log.contains("F /tmp"))).await;
        for line in ["stdout F out", "stderr F err", "stdout F web", "uid=0(root)"] {
            assert!(log.contains(line), "{line} in\n{log}");
        }
        assert!(log.contains(&format!("{}\tweb", view.ips[0])), "{log}");

        assert!(matches!(engine.start_container(&id).await, Err(Error::WrongState { .. })));
        let again = engine.create_container(&sandbox, script("main", "true")).await;
        assert!(matches!(again, Err(Error::NameInUse { .. })), "{again:?}");

        engine.stop_container(&id, Duration::ZERO).await.unwrap();
        let stopped = engine.container(&id).unwrap();
        assert_eq!(
            (stopped.state, stopped.exit_code, stopped.reason.as_str()),
            (ContainerState::Exited, 137, "Error")
        );
        engine.stop_container(&id, Duration::from_secs(1)).await.unwrap();
        engine.remove_container(&id).await.unwrap();
        engine.remove_container(&id).await.unwrap();
        assert!(matches!(engine.container(&id), Err(Error::NotFound { .. })));

        engine.stop_sandbox(&sandbox).await.unwrap();
        engine.stop_sandbox(&sandbox).await.unwrap();
        assert_eq!(engine.sandbox(&sandbox).unwrap().state, SandboxState::NotReady);
        let late = engine.create_container(&sandbox, script("late", "true")).await;
        assert!(matches!(late, Err(Error::WrongState { .. })), "{late:?}");
        engine.remove_sandbox(&sandbox).await.unwrap();
        engine.remove_sandbox(&sandbox).await.unwrap();

        let mut kinds = Vec::new();
        while let Ok(event) = events.try_recv() {
            kinds.push(event.kind);
        }
        use EventKind::*;
        let expected = [
            SandboxCreated,
            ContainerCreated,
            ContainerStarted,
            ContainerStopped,
            ContainerDeleted,
            SandboxStopped,
            SandboxDeleted,
        ];
        assert_eq!(kinds, expected);
        world.clean(engine).await;
    });
}

#[test]
fn the_way_a_container_ends_is_told() {
    in_world("lifecycle::the_way_a_container_ends_is_told", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("ends")).await.unwrap();
        for (name, text, code, reason) in
            [("well", "exit 0", 0, "Completed"), ("badly", "exit 3", 3, "Error")]
        {
            let id = running(&engine, &sandbox, script(name, text)).await;
            let container = ended(&engine, &id).await;
            assert_eq!((container.exit_code, container.reason.as_str()), (code, reason), "{name}");
            assert!(container.started_at > 0 && container.finished_at >= container.started_at);
        }
        let absent = ContainerSpec { command: words(&["/bin/absent"]), ..script("absent", "") };
        let id = engine.create_container(&sandbox, absent).await.unwrap();
        let error = engine.start_container(&id).await.unwrap_err();
        assert!(matches!(&error, Error::CommandNotFound(text) if text.contains("/bin/absent")), "{error:?}");
        let container = engine.container(&id).unwrap();
        assert_eq!((container.exit_code, container.reason.as_str()), (128, "StartError"));
        assert!(container.message.contains("/bin/absent"), "{}", container.message);
        world.clean(engine).await;
    });
}

#[test]
fn a_stop_asks_first_and_then_kills() {
    in_world("lifecycle::a_stop_asks_first_and_then_kills", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("stop")).await.unwrap();
        let polite = "trap 'exit 7' TERM; echo up; while true; do sleep 0.05; done";
        let stubborn = "trap '' TERM; echo up; while true; do sleep 0.05; done";
        let custom = ContainerSpec {
            stop_signal: "SIGUSR1".into(),
            ..script("custom", "trap 'exit 9' USR1; echo up; while true; do sleep 0.05; done")
        };
        for (spec, grace, code) in [
            (script("polite", polite), Duration::from_secs(20), 7),
            (script("stubborn", stubborn), Duration::from_millis(300), 137),
            (custom, Duration::from_secs(20), 9),
        ] {
            let name = spec.metadata.name.clone();
            let id = running(&engine, &sandbox, spec).await;
            until(|| world.log("stop", &name).contains("up").then_some(())).await;
            let began = Instant::now();
            engine.stop_container(&id, grace).await.unwrap();
            assert_eq!(engine.container(&id).unwrap().exit_code, code, "{name}");
            assert!(code == 137 || began.elapsed() < grace, "{name}");
        }
        world.clean(engine).await;
    });
}

#[test]
fn removing_a_sandbox_takes_running_containers_with_it() {
    in_world("lifecycle::removing_a_sandbox_takes_running_containers_with_it", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("all")).await.unwrap();
        for name in ["a", "b", "c"] {
            running(&engine, &sandbox, script(name, "sleep 100 & sleep 100")).await;
        }
        engine.create_container(&sandbox, script("d", "true")).await.unwrap();
        engine.remove_sandbox(&sandbox).await.unwrap();
        assert!(engine.sandboxes().is_empty() && engine.containers().is_empty());
        let again = engine.run_sandbox(world.sandbox("all")).await.unwrap();
        assert_ne!(again, sandbox);
        world.clean(engine).await;
    });
}

#[test]
fn namespaces_are_shared_as_asked() {
    in_world("lifecycle::namespaces_are_shared_as_asked", |world| async move {
        let engine = world.open().await;
        let shared = SandboxSpec { share_pid: true, ..world.sandbox("shared") };
        let sandbox = engine.run_sandbox(shared).await.unwrap();
        let first =
            running(&engine, &sandbox, script("first", "echo x > /dev/shm/word; exec sleep 1000")).await;
        let second = running(&engine, &sandbox, script("second", "exec sleep 2000")).await;
        let seen = engine.exec_sync(&second, words(&["ps"]), None).await.unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        assert!(seen.contains("sleep 1000") && seen.contains("sleep 2000"), "{seen}");
        let word = engine.exec_sync(&second, words(&["cat", "/dev/shm/word"]), None).await.unwrap();
        assert_eq!(word.stdout, b"x\n");
        let security = Security { pid: PidNamespace::Container, ..Security::default() };
        let alone =
            running(&engine, &sandbox, ContainerSpec { security, ..script("alone", "exec sleep 3000") })
                .await;
        let seen = engine.exec_sync(&alone, words(&["ps"]), None).await.unwrap();
        assert!(!String::from_utf8_lossy(&seen.stdout).contains("sleep 1000"));
        let security = Security { pid: PidNamespace::Target(first.clone()), ..Security::default() };
        let debug =
            running(&engine, &sandbox, ContainerSpec { security, ..script("debug", "exec sleep 4000") })
                .await;
        let seen = engine.exec_sync(&debug, words(&["ps"]), None).await.unwrap();
        assert!(String::from_utf8_lossy(&seen.stdout).contains("sleep 1000"));

        let host = SandboxSpec { host_network: true, host_pid: true, ..world.sandbox("host") };
        let host = engine.run_sandbox(host).await.unwrap();
        assert!(engine.sandbox(&host).unwrap().ips.is_empty());
        let security = Security { pid: PidNamespace::Host, ..Security::default() };
        let id = running(
            &engine,
            &host,
            ContainerSpec { security, ..script("h", "sleep 5000 & exec sleep 5000") },
        )
        .await;
        let seen = engine.exec_sync(&id, words(&["ps"]), None).await.unwrap();
        assert!(String::from_utf8_lossy(&seen.stdout).contains("reeve-shim"));
        engine.stop_container(&id, Duration::ZERO).await.unwrap();
        world.clean(engine).await;
    });
}

#[test]
fn a_confined_container_is_confined() {
    in_world("lifecycle::a_confined_container_is_confined", |world| async move {
        let engine = world.open().await;
        let sandbox = engine.run_sandbox(world.sandbox("safe")).await.unwrap();
        let security = Security {
            run_as_username: Some("web".into()),
            readonly_rootfs: true,
            no_new_privs: true,
            seccomp: Seccomp::RuntimeDefault,
            drop_capabilities: vec!["ALL".into()],
            ..Security::default()
        };
        let id =
            running(&engine, &sandbox, ContainerSpec { security, ..script("c", "exec sleep 1000") }).await;
        let container = engine.container(&id).unwrap();
        assert_eq!((container.uid, container.gid, &**container.groups), (33, 33, &[33, 50][..]));
        let run = async |text: &str| {
            let output = engine.exec_sync(&id, words(&["/bin/sh", "-c", text]), None).await.unwrap();
            (output.exit_code, String::from_utf8(output.stdout).unwrap())
        };
        assert_eq!(run("id -u; id -G; echo $HOME $FROM_IMAGE").await, (0, "33\n33 50\n/srv yes\n".into()));
        assert_ne!(run("touch /file 2>/dev/null").await.0, 0);
        let (_, status) = run("grep -E 'CapBnd|CapEff|NoNewPrivs|Seccomp:' /proc/self/status").await;
        for line in
            ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
        {
            assert!(status.contains(line), "{line} in\n{status}");
        }
        assert_ne!(run("mount -t tmpfs x /tmp 2>/dev/null").await.0, 0);
        world.clean(engine).await;
    });
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    in_world("lifecycle::what_cannot_be_made_leaves_nothing", |world| async move {
        let engine = world.open().await;
        let bad =
            SandboxSpec { sysctls: [("net.no.such".into(), "1".into())].into(), ..world.sandbox("bad") };
        let error = engine.run_sandbox(bad).await.unwrap_err();
        assert!(error.to_string().contains("net"), "{error}");
        assert!(engine.sandboxes().is_empty());
        let sandbox = engine.run_sandbox(world.sandbox("bad")).await.unwrap();
        let taken = engine.run_sandbox(world.sandbox("bad")).await;
        assert!(matches!(taken, Err(Error::NameInUse { .. })), "{taken:?}");
        for spec in [
            ContainerSpec { image: "registry.test/absent".into(), ..script("c", "true") },
            ContainerSpec { stop_signal: "SIGNOPE".into(), ..script("c", "true") },
            ContainerSpec { log_path: "../out.log".into(), ..script("c", "true") },
            ContainerSpec {
                security: Security { run_as_username: Some("nobody".into()), ..Security::default() },
                ..script("c", "true")
            },
            ContainerSpec {
                security: Security {
                    seccomp: Seccomp::Localhost("/absent.json".into()),
                    ..Security::default()
                },
                ..script("c", "true")
            },
        ] {
            engine.create_container(&sandbox, spec).await.unwrap_err();
        }
        assert!(engine.containers().is_empty());
        engine.create_container(&sandbox, script("c", "true")).await.unwrap();
        world.clean(engine).await;
    });
}

#[test]
fn host_ports_lead_to_the_pod() {
    in_world("lifecycle::host_ports_lead_to_the_pod", |world| async move {
        let engine = world.open().await;
        let port =
            PortMapping { host_ip: None, host_port: 18080, container_port: 80, protocol: Protocol::Tcp };
        let sandbox =
            engine.run_sandbox(SandboxSpec { ports: vec![port], ..world.sandbox("ports") }).await.unwrap();
        let serve = "while true; do echo hello | /bin/busybox nc -l -p 80; done";
        running(&engine, &sandbox, script("web", serve)).await;
        let answer = until(|| {
            let mut stream = std::net::TcpStream::connect("127.0.0.1:18080").ok()?;
            let mut text = String::new();
            std::io::Read::read_to_string(&mut stream, &mut text).ok()?;
            (!text.is_empty()).then_some(text)
        })
        .await;
        assert_eq!(answer, "hello\n");
        let counters = engine.sandbox_network_stats(&sandbox).await.unwrap();
        assert!(
            counters.iter().any(|counter| counter.name == "eth0" && counter.rx_bytes > 0),
            "{counters:?}"
        );
        world.clean(engine).await;
    });
}

#[test]
fn many_pods_at_once() {
    in_world("lifecycle::many_pods_at_once", |world| async move {
        let engine = world.open().await;
        let pods = (0..12).map(|number| {
            let (engine, spec) = (engine.clone(), world.sandbox(&format!("pod{number}")));
            tokio::spawn(async move {
                let sandbox = engine.run_sandbox(spec).await.unwrap();
                let id = running(&engine, &sandbox, script("c", "exec sleep 1000")).await;
                (sandbox, id)
            })
        });
        let pods: Vec<_> = futures::future::join_all(pods).await.into_iter().map(Result::unwrap).collect();
        let mut ips: Vec<_> = engine.sandboxes().iter().map(|sandbox| sandbox.ips[0]).collect();
        ips.sort_unstable();
        ips.dedup();
        assert_eq!(ips.len(), 12);
        let removals = pods.into_iter().map(|(sandbox, id)| {
            let engine = engine.clone();
            tokio::spawn(async move {
                engine.stop_container(&id, Duration::ZERO).await.unwrap();
                engine.remove_sandbox(&sandbox).await.unwrap();
            })
        });
        futures::future::join_all(removals).await.into_iter().for_each(Result::unwrap);
        world.clean(engine).await;
    });
}
