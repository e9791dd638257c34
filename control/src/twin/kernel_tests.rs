//! The twin against the running kernel, in a network namespace of its own. Needs root.

use super::super::testing::{Frame, Frames};
use super::super::{FromKernel, ToKernel};
use super::*;
use dataplane::ids::{InterfaceId, PortId, WorkerId};
use dataplane::io::Packet;
use dataplane::twin_ring::{FromTwin, PuntSender, from_twin_ring, punt_rings};
use dataplane::verdict::PuntClass;
use std::process::Command;

const INSIDE: &str = "SLUICE_TEST_IN_OWN_NETNS";
const TWIN_MAC: [u8; 6] = [0x02, 0, 0, 0, 0x01, 0x01];
const PEER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0x02, 0x02];

#[test]
fn linux_behind_a_twin_answers_arp_and_ping_until_the_twin_goes() {
    if !crate::needs_root::is_root() {
        return;
    }
    let inside = Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "twin::thread::tests::inside_its_namespace"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stdout);
    assert!(
        inside.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&inside.stderr)
    );
}

#[test]
#[ignore = "run in a namespace of its own by linux_behind_a_twin_answers_arp_and_ping_until_the_twin_goes"]
fn inside_its_namespace() {
    assert!(std::env::var_os(INSIDE).is_some(), "only in a network namespace of its own");
    refused_specs_leave_no_tap_behind();
    let mut wire = Wire::start(vec![spec(0, "lan0", 0), spec(1, "lan0.9", 9)]);
    ip("addr add 192.0.2.1/24 dev lan0");
    ip("addr add 198.51.100.1/24 dev lan0.9");
    let link = ip("-o link show lan0");
    assert!(link.contains("02:00:00:00:01:01") && link.contains("mtu 1400"), "{link}");

    wire.resolve_and_ping(0, [192, 0, 2, 1], [192, 0, 2, 2]);
    wire.resolve_and_ping(1, [198, 51, 100, 1], [198, 51, 100, 2]);
    assert!(wire.written(PuntClass::Neighbor) == 2 && wire.written(PuntClass::Icmp) == 2);
    assert!(wire.handle.counters().from_kernel(FromKernel::Handed) >= 4);

    ip("addr add fd00:1::1/64 dev lan0 nodad");
    ip("addr add fd00:2::1/64 dev lan0.9 nodad");
    // Linux joins the address's group in a work item of its own, and hears no solicitation before.
    for name in ["lan0", "lan0.9"] {
        let joined = || ip(&format!("-6 maddr show dev {name}"));
        eventually(|| joined().split_whitespace().any(|word| word == "ff02::1:ff00:1"));
    }
    wire.resolve_and_ping_ipv6(0, ipv6("fd00:1::1"), ipv6("fd00:1::2"));
    wire.resolve_and_ping_ipv6(1, ipv6("fd00:2::1"), ipv6("fd00:2::2"));
    assert!(wire.written(PuntClass::Neighbor) == 4 && wire.written(PuntClass::Icmp) == 4);

    ip("link set lan0 down");
    wire.punt(PuntClass::Neighbor, 0, &arp_request([192, 0, 2, 1], [192, 0, 2, 2]));
    eventually(|| wire.count(PuntClass::Neighbor, ToKernel::WriteError) == 1);
    ip("link set lan0 up");
    wire.resolve_and_ping(0, [192, 0, 2, 1], [192, 0, 2, 2]);

    ip("link del lan0.9");
    eventually(|| wire.handle.counters().taps_lost() == 1);
    wire.resolve_and_ping(0, [192, 0, 2, 1], [192, 0, 2, 2]);
    idles_at_almost_no_cost(wire.handle.counters());

    assert!(!wire.handle.is_finished(), "the thread ended by itself");
    assert!(wire.handle.stop());
    assert!(!ip("-o link").contains("lan0"), "the TAP outlived its twin");
}

fn refused_specs_leave_no_tap_behind() {
    let refused = start(vec![spec(0, "lan7", 0), spec(1, "lo", 0)]).err().unwrap();
    assert!(refused.to_string().starts_with("cannot create the kernel twin lo: "), "{refused}");
    let refused = start(vec![spec(0, "lan%d", 0)]).err().unwrap();
    assert!(matches!(refused, TwinError::Renamed(..)), "{refused}");
    assert!(!ip("-o link").contains("lan"));
}

/// With the twin idle: its share of a core over a second, and that it is alive.
fn idles_at_almost_no_cost(counters: &TwinCounters) {
    std::thread::sleep(Duration::from_millis(200));
    let (before, beats) = (on_cpu(), counters.heartbeat());
    std::thread::sleep(Duration::from_secs(1));
    let (used, beats) = (on_cpu() - before, counters.heartbeat() - beats);
    println!("idle: {used:?} of a second on a core, {beats} turns");
    // Some 10 ms here, more on a slow machine; fewer turns where others have the cores.
    assert!(used < Duration::from_millis(50), "{used:?}");
    assert!((10..=1100).contains(&beats), "{beats}");
}

/// Time the thread `twin` has spent on a core.
fn on_cpu() -> Duration {
    let read = |task: &std::path::Path, file| std::fs::read_to_string(task.join(file)).unwrap();
    let mut tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|t| t.unwrap().path());
    let twin = tasks.find(|task| read(task, "comm").trim() == "twin").unwrap();
    let nanos = read(&twin, "schedstat").split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanos)
}

/// What is at the other end of the rings: the port's wire, seen by a worker.
struct Wire {
    handle: TwinHandle,
    punt: PuntSender<Frame>,
    out: FromTwin<Frame>,
}

fn spec(interface: u16, name: &str, vlan: u16) -> TwinSpec {
    TwinSpec {
        interface: InterfaceId(interface),
        port: PortId(3),
        vlan,
        name: name.into(),
        mac: TWIN_MAC,
        mtu: 1400,
        tx_worker: WorkerId(0),
    }
}

type Ends = (TwinHandle, PuntSender<Frame>, FromTwin<Frame>);

fn start(specs: Vec<TwinSpec>) -> Result<Ends, TwinError> {
    let (punt, receiver) = punt_rings();
    let (to_worker, out) = from_twin_ring();
    let pool = Frames::plenty();
    let handle = Twin::start(specs, pool, vec![receiver], vec![to_worker], Limits::default())?;
    Ok((handle, punt, out))
}

impl Wire {
    fn start(specs: Vec<TwinSpec>) -> Self {
        let (handle, punt, out) = start(specs).unwrap();
        Wire { handle, punt, out }
    }

    fn count(&self, class: PuntClass, outcome: ToKernel) -> u64 {
        self.handle.counters().to_kernel(class, outcome)
    }

    fn written(&self, class: PuntClass) -> u64 {
        self.count(class, ToKernel::Written)
    }

    fn punt(&mut self, class: PuntClass, interface: u16, untagged: &[u8]) {
        let bytes = match interface {
            0 => untagged.to_vec(),
            _ => [&untagged[..12], &[0x81, 0, 0, 9], &untagged[12..]].concat(),
        };
        self.punt.punt(class, InterfaceId(interface), Frame::new(&bytes)).unwrap();
    }

    /// The next frame to the peer that Linux sends on an interface, without its tag.
    fn answer(&mut self, interface: u16) -> Vec<u8> {
        let mut packets = vec![];
        let mut found = None;
        eventually(|| {
            self.out.pop_into(&mut packets, 1);
            found = packets.pop().filter(|p| p.bytes()[..6] == PEER_MAC);
            found.is_some()
        });
        let packet = found.unwrap();
        assert_eq!(packet.port(), PortId(3));
        let bytes = packet.bytes().to_vec();
        match interface {
            0 => bytes,
            _ => {
                assert_eq!(bytes[12..16], [0x81, 0, 0, 9]);
                [&bytes[..12], &bytes[16..]].concat()
            }
        }
    }

    fn resolve_and_ping(&mut self, interface: u16, twin: [u8; 4], peer: [u8; 4]) {
        self.punt(PuntClass::Neighbor, interface, &arp_request(twin, peer));
        let reply = self.answer(interface);
        assert_eq!(reply[6..14], [&TWIN_MAC[..], &[8, 6]].concat());
        assert_eq!(reply[20..32], [&[0, 2], &TWIN_MAC[..], &twin].concat());

        let request = echo_request(twin, peer);
        self.punt(PuntClass::Icmp, interface, &request);
        let reply = self.answer(interface);
        assert_eq!(reply[12..14], [8, 0]);
        assert_eq!(reply[26..34], [twin, peer].concat());
        assert_eq!((reply[34], &reply[38..]), (0, &request[38..]));
        assert_eq!((checksum(&reply[14..34]), checksum(&reply[34..])), (0, 0));
    }
}

impl Wire {
    /// Neighbour discovery (RFC 4861) and ICMPv6's echo.
    fn resolve_and_ping_ipv6(&mut self, interface: u16, twin: [u8; 16], peer: [u8; 16]) {
        let [.., a, b, c] = twin;
        let group = [0x33, 0x33, 0xff, a, b, c];
        let solicited = [&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff], &twin[13..]].concat();
        let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &twin, &[1, 1], &PEER_MAC].concat();
        self.punt(PuntClass::Neighbor, interface, &icmpv6(group, &peer, &solicited, message));
        let reply = self.answer(interface);
        assert_eq!(reply[6..14], [&TWIN_MAC[..], &[0x86, 0xdd]].concat());
        assert_eq!((reply[54], &reply[62..78]), (136, &twin[..]), "a neighbour advertisement");
        assert_eq!(reply[78..86], [&[2, 1][..], &TWIN_MAC].concat());

        let request =
            icmpv6(TWIN_MAC, &peer, &twin, b"\x80\0\0\0\x12\x34\0\x01twelve bytes".to_vec());
        self.punt(PuntClass::Icmp, interface, &request);
        let reply = self.answer(interface);
        assert_eq!(reply[22..54], [twin, peer].concat());
        assert_eq!((reply[54], &reply[58..]), (129, &request[58..]));
        assert_eq!(checksum(&pseudo_packet(&reply[14..])), 0);
    }
}

fn ipv6(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// A frame of ICMPv6 with a hop limit of 255, as neighbour discovery wants it.
fn icmpv6(to: [u8; 6], src: &[u8], dst: &[u8], message: Vec<u8>) -> Vec<u8> {
    let fixed = [0x60, 0, 0, 0, 0, message.len() as u8, 58, 255];
    let mut packet = [&fixed[..], src, dst, &message].concat();
    let sum = checksum(&pseudo_packet(&packet));
    packet[42..44].copy_from_slice(&sum.to_be_bytes());
    [&to[..], &PEER_MAC, &[0x86, 0xdd], &packet].concat()
}

/// What ICMPv6's checksum covers, RFC 8200 section 8.1.
fn pseudo_packet(ip: &[u8]) -> Vec<u8> {
    [&ip[8..40], &[0, 0], &ip[4..6], &[0, 0, 0, 58], &ip[40..]].concat()
}

fn arp_request(target: [u8; 4], sender: [u8; 4]) -> Vec<u8> {
    let fixed = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    [&[0xff; 6][..], &PEER_MAC, &fixed, &PEER_MAC, &sender, &[0; 6], &target].concat()
}

fn echo_request(target: [u8; 4], sender: [u8; 4]) -> Vec<u8> {
    let mut ip = [&[0x45, 0, 0, 40, 0, 1, 0, 0, 64, 1, 0, 0][..], &sender, &target].concat();
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut icmp = b"\x08\0\0\0\x12\x34\0\x01twelve bytes".to_vec();
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    [&TWIN_MAC[..], &PEER_MAC, &[8, 0], &ip, &icmp].concat()
}

/// The Internet checksum of an even number of bytes, RFC 1071; 0 if they contain a true one.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn eventually(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_micros(200));
    }
}
