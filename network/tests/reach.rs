//! Who reaches whom, over real interfaces.

mod common;

use common::raw::{echo, sctp_init};
use common::{HOST, HOST6, OUTSIDE, OUTSIDE6, Place, World, bound, call_from, mapping, rules, sh};
use reeve_network::Protocol;

const GATEWAY: &str = "10.88.0.1";
const GATEWAY6: &str = "fd00:88::1";

#[test]
fn pods_reach_each_other_and_the_host() {
    World::with(|world| {
        let network = world.open(world.dual());
        let (a, b) = (world.attach(&network, "a", &[]), world.attach(&network, "b", &[]));
        assert_eq!(a.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.88.0.2", "fd00:88::2"]);
        let (pod_a, pod_b) = (Place::of(&a), Place::of(&b));
        assert_eq!(pod_a.run(|| sh("cat /proc/net/route | wc -l")).trim(), "3", "default and subnet");
        assert!(pod_a.run(|| sh("ip link show eth0")).contains(&a.mac.to_string()));

        for (from, to) in [(&pod_a, "10.88.0.3"), (&pod_b, "10.88.0.2"), (&pod_a, GATEWAY)] {
            let socket = from.raw(libc::IPPROTO_ICMP);
            socket.send(to, &echo());
            let (source, reply) = socket.receive().expect("an echo");
            assert_eq!((source.to_string().as_str(), reply[0]), (to, 0));
        }

        pod_b.serve_tcp("::", 80);
        pod_b.serve_udp("10.88.0.3", 53);
        world.host.serve_tcp("::", 81);
        assert_eq!(pod_a.call_tcp("10.88.0.3", 80).expect("pod to pod"), "10.88.0.2");
        assert_eq!(pod_a.call_udp("10.88.0.3", 53).expect("pod to pod"), "10.88.0.2");
        assert_eq!(pod_a.call_tcp("fd00:88::3", 80).expect("pod to pod"), "fd00:88::2");
        assert_eq!(pod_a.call_tcp(GATEWAY, 81).expect("pod to host"), "10.88.0.2");
        assert_eq!(world.host.call_tcp("10.88.0.3", 80).expect("host to pod"), GATEWAY);
        assert_eq!(world.host.call_tcp("fd00:88::3", 80).expect("host to pod"), GATEWAY6);
        pod_b.serve_tcp("127.0.0.1", 82);
        assert_eq!(pod_b.call_tcp("127.0.0.1", 82).expect("loopback"), "127.0.0.1");
    });
}

#[test]
fn the_world_sees_the_host() {
    World::with(|world| {
        let network = world.open(world.dual());
        let outside = world.outside();
        outside.serve_tcp("::", 80);
        outside.serve_udp(OUTSIDE, 53);
        let pod = Place::of(&world.attach(&network, "a", &[]));
        assert_eq!(pod.call_tcp(OUTSIDE, 80).expect("out"), HOST);
        assert_eq!(pod.call_udp(OUTSIDE, 53).expect("out"), HOST);
        assert_eq!(pod.call_tcp(OUTSIDE6, 80).expect("out"), HOST6);
    });
}

#[test]
fn host_ports_from_every_side() {
    World::with(|world| {
        let network = world.open(world.dual());
        let outside = world.outside();
        let ports = [mapping(8080, 80, Protocol::Tcp), mapping(5353, 53, Protocol::Udp)];
        let pod = Place::of(&world.attach(&network, "web", &ports));
        let other = Place::of(&world.attach(&network, "other", &[]));
        pod.serve_tcp("::", 80);
        pod.serve_udp("0.0.0.0", 53);

        let tcp = |from: &Place, ip: &str| from.call_tcp(ip, 8080).unwrap_or_else(|error| error.to_string());
        let udp = |from: &Place, ip: &str| from.call_udp(ip, 5353).unwrap_or_else(|error| error.to_string());
        assert_eq!(tcp(&outside, HOST), OUTSIDE, "from outside, with its own address");
        assert_eq!(udp(&outside, HOST), OUTSIDE);
        assert_eq!(tcp(&outside, HOST6), OUTSIDE6);
        assert_eq!(tcp(&world.host, HOST), HOST, "from the host to its own address");
        assert_eq!(tcp(&world.host, "127.0.0.1"), GATEWAY, "from the host by loopback");
        assert_eq!(udp(&world.host, "127.0.0.1"), GATEWAY);
        assert_eq!(tcp(&world.host, "127.9.9.9"), GATEWAY, "all of 127/8 is loopback");
        assert_eq!(tcp(&world.host, HOST6), HOST6);
        assert_eq!(
            tcp(&world.host, "::1"),
            "Connection refused (os error 111)",
            "at once, so that callers go on"
        );
        for (ip, seen) in [(HOST, GATEWAY), (GATEWAY, GATEWAY), (HOST6, GATEWAY6)] {
            assert_eq!(tcp(&other, ip), seen, "from another pod by {ip}");
            assert_eq!(tcp(&pod, ip), seen, "from itself by {ip}");
        }
        assert_eq!(udp(&other, HOST), GATEWAY);
        assert_eq!(udp(&pod, HOST), GATEWAY);

        world.wait(network.detach("web")).expect("detach");
        assert_eq!(tcp(&world.host, "127.0.0.1"), "Connection refused (os error 111)");
        assert_eq!(tcp(&outside, HOST), "Connection refused (os error 111)");
    });
}

#[test]
fn a_host_port_on_one_address_only() {
    World::with(|world| {
        let network = world.open(world.config());
        let outside = world.outside();
        let ports = [bound("127.0.0.1", 8080, 80), bound(HOST, 8081, 80)];
        let pod = Place::of(&world.attach(&network, "web", &ports));
        pod.serve_tcp("0.0.0.0", 80);
        assert_eq!(world.host.call_tcp("127.0.0.1", 8080).expect("loopback"), GATEWAY);
        assert!(outside.call_tcp(HOST, 8080).is_err());
        assert_eq!(outside.call_tcp(HOST, 8081).expect("bound"), OUTSIDE);
        assert!(world.host.call_tcp("127.0.0.1", 8081).is_err());
    });
}

#[test]
fn an_sctp_host_port() {
    World::with(|world| {
        let network = world.open(world.config());
        let outside = world.outside();
        let pod = Place::of(&world.attach(&network, "a", &[mapping(3868, 5868, Protocol::Sctp)]));
        // No kernel here speaks SCTP, so the packet itself is looked at where it arrives.
        let arrivals = pod.raw(libc::IPPROTO_SCTP);
        for (from, seen) in [(&outside, OUTSIDE), (&world.host, HOST)] {
            from.raw(libc::IPPROTO_SCTP).send(HOST, &sctp_init(4000, 3868));
            let (source, packet) = arrivals.receive().expect("the packet");
            assert_eq!(source.to_string(), seen);
            assert_eq!(packet[2..4], 5868u16.to_be_bytes(), "to the pod's port");
        }
    });
}

#[test]
fn no_pod_speaks_to_the_hosts_loopback() {
    World::with(|world| {
        let network = world.open(world.config());
        world.host.serve_tcp("127.0.0.1", 9000);
        let pod = Place::of(&world.attach(&network, "a", &[mapping(8080, 80, Protocol::Tcp)]));
        // A pod with capabilities can send the gateway what is for 127.0.0.1.
        pod.run(|| {
            sh("echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet");
            sh("ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 10.88.0.1 src 10.88.0.2");
        });
        assert!(pod.call_tcp("127.0.0.1", 9000).is_err());
        sh("nft flush chain ip reeve_rvt0 guard");
        assert!(pod.call_tcp("127.0.0.1", 9000).is_ok(), "the guard alone keeps it out");
    });
}

#[test]
fn a_udp_stream_follows_the_port_to_the_next_pod() {
    World::with(|world| {
        let network = world.open(world.config());
        let outside = world.outside();
        let address = format!("{HOST}:5353").parse().expect("an address");
        // One socket throughout, so one connection to the kernel; it starts before there is any pod.
        let socket = outside.run(|| std::net::UdpSocket::bind("0.0.0.0:0").expect("bind"));
        let call = move || call_from(&socket, address);
        call().expect_err("nobody there");
        for id in ["one", "two"] {
            let pod = Place::of(&world.attach(&network, id, &[mapping(5353, 53, Protocol::Udp)]));
            pod.serve_udp("0.0.0.0", 53);
            assert_eq!(call().unwrap_or_else(|error| panic!("{id}: {error}\n{}", rules())), OUTSIDE);
            world.wait(network.detach(id)).expect("detach");
        }
        call().expect_err("nobody there any more");
    });
}
