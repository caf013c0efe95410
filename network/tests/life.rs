//! What stays and what goes: restarts, crashes, sweeps, leaks, limits.

mod common;

use std::collections::HashSet;
use std::fs;

use common::{Place, World, bound, mapping, rules, sh};
use reeve_network::{Config, Error, Protocol};

#[test]
fn nothing_is_left() {
    World::with(|world| {
        let network = world.open(world.dual());
        world.attach(&network, "first", &[mapping(80, 80, Protocol::Tcp)]);
        world.wait(network.detach("first")).expect("detach");
        // The bridge and the empty tables stay until they are torn down.
        let before = world.inventory();
        for round in 0..3 {
            let ids: Vec<_> = (0..5).map(|n| format!("pod-{round}-{n}")).collect();
            for (n, id) in (0u16..).zip(&ids) {
                world.attach(
                    &network,
                    id,
                    &[mapping(8000 + n, 80, Protocol::Udp), bound("127.0.0.1", 9000 + n, 1)],
                );
            }
            for id in &ids {
                world.wait(network.detach(id)).expect("detach");
                world.wait(network.detach(id)).expect("a second time");
            }
        }
        assert_eq!(world.inventory(), before);

        assert!(world.wait(network.tear_down()).expect("tear down"));
        let bare = world.inventory();
        assert!(!bare.contains("rvt0"), "{bare}");
        world.attach(&network, "again", &[]);
        assert!(!world.wait(network.tear_down()).expect("a pod is attached"));
    });
}

#[test]
fn a_restart_in_the_middle() {
    World::with(|world| {
        let ports = [mapping(8080, 80, Protocol::Tcp)];
        let network = world.open(world.config());
        let attached = world.attach(&network, "web", &ports);
        Place::of(&attached).serve_tcp("0.0.0.0", 80);
        drop(network);
        assert!(world.host.call_tcp("127.0.0.1", 8080).is_ok(), "the pod stays connected");

        let network = world.open(world.config());
        network.ready().expect("ready");
        assert_eq!(network.get("web").as_ref(), Some(&attached));
        assert_eq!(network.get("other"), None);
        assert_eq!(world.attach(&network, "web", &ports), attached, "the same again");
        assert!(world.host.call_tcp("127.0.0.1", 8080).is_ok());
        let other = world.attach(&network, "other", &[]);
        assert_ne!(other.ips, attached.ips);
        world.wait(network.detach("web")).expect("detach");
        assert!(world.host.call_tcp("127.0.0.1", 8080).is_err());
    });
}

#[test]
fn two_of_one_ledger_never_meet() {
    World::with(|world| {
        let _network = world.open(world.config());
        let error = world.wait(reeve_network::Network::open(world.config())).expect_err("locked");
        assert!(matches!(error, Error::Locked(_)), "{error}");
    });
}

#[test]
fn two_networks_side_by_side() {
    World::with(|world| {
        let at = |name| world.directory.path().join(name);
        let second =
            Config::new("rvt1", "10.99.0.0/24".parse().expect("a subnet"), at("state1"), at("netns1"));
        let (one, two) = (world.open(world.config()), world.open(second));
        world.attach(&one, "a", &[mapping(8080, 80, Protocol::Tcp)]);
        let before = (sh("ip link show rvt0"), sh("nft list table ip reeve_rvt0"));
        let b = world.attach(&two, "a", &[mapping(8081, 80, Protocol::Tcp)]);
        assert_eq!(b.ips[0].to_string(), "10.99.0.2");
        world.wait(two.sweep(&HashSet::new())).expect("sweep");
        world.wait(two.tear_down()).expect("tear down");
        assert_eq!((sh("ip link show rvt0"), sh("nft list table ip reeve_rvt0")), before);
        assert!(one.get("a").is_some());
    });
}

#[test]
fn a_crash_at_each_step_is_made_good() {
    // What can be missing when the daemon dies between two steps, and what can be left of an older attempt.
    let damage = [
        "umount -l netns/web; rm netns/web; ip link del rv0a580002; nft delete table ip reeve_rvt0",
        "umount -l netns/web",
        "ip link del rv0a580002",
        "nft delete table ip reeve_rvt0",
        "ip link del rvt0",
        "umount -l netns/web; rm netns/web; ip link del rvt0; nft delete table ip reeve_rvt0",
        "true",
    ];
    for damage in damage {
        for (verb, repair) in [("attach", true), ("detach", false)] {
            World::with(move |world| {
                let ports = [mapping(8080, 80, Protocol::Tcp)];
                let network = world.open(world.config());
                world.attach(&network, "web", &ports);
                drop(network);
                let ledger = world.directory.path().join("state/ledger.json");
                let text = fs::read_to_string(&ledger).expect("a ledger");
                let half = text.replace("\"complete\":true", "\"complete\":false");
                assert_ne!(text, half);
                fs::write(&ledger, half).expect("a ledger");
                // A namespace without a pin takes its interfaces along, some time.
                sh(&format!("set +e; cd {}; {damage}; true", world.directory.path().display()));

                let network = world.open(world.config());
                assert_eq!(network.get("web"), None, "not complete");
                if repair {
                    let attached = world.attach(&network, "web", &ports);
                    Place::of(&attached).serve_tcp("0.0.0.0", 80);
                    let answer = world.host.call_tcp("127.0.0.1", 8080);
                    answer.unwrap_or_else(|error| panic!("{verb} after {damage:?}: {error}"));
                }
                world
                    .wait(network.detach("web"))
                    .unwrap_or_else(|error| panic!("{verb} after {damage:?}: {error}"));
                world.wait(network.tear_down()).expect("tear down");
                let left = world.inventory();
                assert!(!left.contains("rv") && left.contains("pins 0"), "{verb} after {damage:?}: {left}");
            });
        }
    }
}

#[test]
fn a_complete_pod_that_lost_its_place_gets_it_back() {
    World::with(|world| {
        let network = world.open(world.config());
        let attached = world.attach(&network, "web", &[]);
        drop(network);
        // As after a reboot.
        sh(&format!("umount -l {}; ip link del rv0a580002; ip link del rvt0", attached.netns.display()));
        let network = world.open(world.config());
        assert_eq!(world.attach(&network, "web", &[]), attached);
        Place::of(&attached).serve_tcp("0.0.0.0", 80);
        world.host.call_tcp("10.88.0.2", 80).expect("connected");
    });
}

#[test]
fn ports_can_change_and_rules_heal() {
    World::with(|world| {
        let network = world.open(world.config());
        let pod = Place::of(&world.attach(&network, "web", &[mapping(8080, 80, Protocol::Tcp)]));
        pod.serve_tcp("0.0.0.0", 80);
        let again = world.attach(&network, "web", &[mapping(8081, 80, Protocol::Tcp)]);
        let pod = Place::of(&again);
        pod.serve_tcp("10.88.0.2", 81);
        assert!(world.host.call_tcp("127.0.0.1", 8080).is_err());
        world.host.call_tcp("127.0.0.1", 8081).expect("the new port");
        sh("nft flush ruleset");
        world.attach(&network, "other", &[mapping(9090, 1, Protocol::Tcp)]);
        world.host.call_tcp("127.0.0.1", 8081).expect("healed by the next pod with ports");
        sh("nft flush ruleset");
        world.wait(network.detach("other")).expect("detach heals too");
        world.host.call_tcp("127.0.0.1", 8081).expect("healed");
    });
}

#[test]
fn sweep_takes_what_belongs_to_nobody() {
    World::with(|world| {
        let network = world.open(world.config());
        for id in ["keep", "drop"] {
            world.attach(&network, id, &[]);
        }
        let netns = world.directory.path().join("netns");
        fs::write(netns.join("stray"), "").expect("a file");
        sh("ip link add stray0 type veth peer name stray1; ip link set stray0 master rvt0");
        sh("nft add element ip reeve_rvt0 ports '{ tcp . 99 : 10.88.0.9 . 99 }'");

        let mut gone = world.wait(network.sweep(&HashSet::from(["keep".to_owned()]))).expect("sweep");
        gone.sort();
        assert_eq!(gone, ["drop", "stray"]);
        assert!(network.get("keep").is_some() && network.get("drop").is_none());
        assert_eq!(fs::read_dir(&netns).expect("pins").count(), 1);
        assert!(!sh("ip link").contains("stray"));
        assert!(!rules().contains("10.88.0.9"));
        assert!(sh("ip link").contains("rv0a580002") && !sh("ip link").contains("rv0a580003"));
    });
}

#[test]
fn a_small_subnet_is_used_up_and_given_back() {
    World::with(|world| {
        let config = Config { subnet: "10.77.0.0/29".parse().expect("a subnet"), ..world.config() };
        let network = world.open(config);
        let ips: Vec<_> = (0..5).map(|n| world.attach(&network, &format!("p{n}"), &[]).ips[0]).collect();
        let error = world.wait(network.attach("more", &[])).expect_err("full");
        assert_eq!(error.to_string(), "no free address in 10.77.0.0/29: all 5 are in use");
        assert_eq!(network.get("more"), None);
        world.wait(network.detach("p3")).expect("detach");
        assert_eq!(world.attach(&network, "more", &[]).ips[0], ips[3]);
    });
}

#[test]
fn errors_a_person_understands() {
    World::with(|world| {
        let text = |error: Error| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let network = world.open(world.config());
        world.attach(&network, "web", &[mapping(8080, 80, Protocol::Tcp)]);
        let taken = world.wait(network.attach("other", &[bound("127.0.0.1", 8080, 80)])).expect_err("taken");
        assert_eq!(text(taken), "host port 127.0.0.1:8080/tcp is taken by pod web");
        assert_eq!(network.get("other"), None);
        let id = world.wait(network.attach("../up", &[])).expect_err("refused");
        assert!(text(id).starts_with("pod id \"../up\" cannot name a network namespace"));
        drop(network);

        sh("ip link add other0 type bridge; ip addr add 10.55.3.1/24 dev other0");
        let subnet = "10.55.0.0/16".parse().expect("a subnet");
        let at = |name| world.directory.path().join(name);
        let network = world.open(Config::new("rvt2", subnet, at("s2"), at("n2")));
        let overlap = world.wait(network.attach("a", &[])).expect_err("overlap");
        let expected = "subnet 10.55.0.0/16 overlaps 10.55.3.1/24 of interface other0, which is not ours";
        assert_eq!(text(overlap), expected);
        assert_eq!(network.ready(), Err(expected.to_owned()));
        assert!(!sh("ip link").contains("rvt2"), "nothing was made");

        sh("ip link add rvt3 type veth peer name rvt4");
        let subnet = "10.56.0.0/16".parse().expect("a subnet");
        let network = world.open(Config::new("rvt3", subnet, at("s3"), at("n3")));
        let kind = world.wait(network.attach("a", &[])).expect_err("not a bridge");
        assert_eq!(text(kind), "interface rvt3 exists and is not a bridge");
    });
}
