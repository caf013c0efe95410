//! How long a pod's network takes. Run it by itself: `cargo test -p reeve-network --test speed -- --ignored --nocapture`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it reports figures, and rests between them"
)]

mod common;

use std::time::{Duration, Instant};

use common::{World, bound, mapping};
use reeve_network::Protocol;

#[test]
#[ignore = "measures, and asserts nothing"]
fn attach_and_detach() {
    World::with(|world| {
        let network = world.open(world.config());
        world.attach(&network, "warm", &[]);
        for (words, ports) in [
            ("no ports", vec![]),
            ("two host ports", vec![mapping(8080, 80, Protocol::Tcp), bound("127.0.0.1", 81, 81)]),
            ("a UDP host port", vec![mapping(53, 53, Protocol::Udp)]),
        ] {
            let (mut attach, mut detach) = (Vec::new(), Vec::new());
            for n in 0..50 {
                // A pod now and then: the pool has had its time.
                std::thread::sleep(Duration::from_millis(5));
                let id = format!("pod-{n}");
                attach.push(time(|| drop(world.attach(&network, &id, &ports))));
                detach.push(time(|| world.wait(network.detach(&id)).expect("detach")));
            }
            println!("{words}: attach {}, detach {}", quantiles(attach), quantiles(detach));
        }
        // The kernel takes namespaces apart in its own time.
        std::thread::sleep(Duration::from_secs(2));
        let ids: Vec<_> = (0..100).map(|n| format!("many-{n}")).collect();
        let up = time(|| ids.iter().for_each(|id| drop(world.attach(&network, id, &[]))));
        let last = time(|| drop(world.attach(&network, "last", &[mapping(8080, 80, Protocol::Tcp)])));
        let down = time(|| ids.iter().for_each(|id| world.wait(network.detach(id)).expect("detach")));
        let ids: Vec<_> = (0..100).map(|n| format!("more-{n}")).collect();
        ids.iter().for_each(|id| drop(world.attach(&network, id, &[])));
        std::thread::sleep(Duration::from_secs(1));
        let together = time(|| drop(world.wait(network.sweep(&Default::default())).expect("sweep")));
        println!("100 pods swept out at once: {together:?}");
        println!("100 pods without a pause: up {up:?}, then one more {last:?}, down {down:?}");
    });
}

fn time(body: impl FnOnce()) -> Duration {
    let start = Instant::now();
    body();
    start.elapsed()
}

fn quantiles(mut times: Vec<Duration>) -> String {
    times.sort();
    format!("min {:?} p50 {:?} p90 {:?}", times[0], times[times.len() / 2], times[times.len() * 9 / 10])
}
