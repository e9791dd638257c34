//! The mirror against the running kernel, in a network namespace of its own. Needs root.

use super::{MirrorHandle, MirrorInterface, Published, standing::Ask};
use crate::config::{Config, MacAddr};
use dataplane::address::Address;
use dataplane::nexthop::{NextHop, NextHopState};
use dataplane::route::RouteTarget;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

const INSIDE: &str = "SLUICE_TEST_IN_OWN_NETNS";
const RS: u32 = 0xc0a8_6402;
const RS6: u128 = 0xfd00 << 112 | 2;
const OWN6: u128 = 0xfd00 << 112 | 1;
/// The far end's own link-local address, made of its MAC address.
const GATEWAY6: u128 = 0xfe80 << 112 | 0xff_fe00_0e02;
const RS_MAC: [u8; 6] = [2, 0, 0, 0, 0xe, 2];
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0xe, 0x99];

#[test]
fn linux_resolves_and_keeps_what_the_mirror_wants_and_the_mirror_follows_linux() {
    if !crate::needs_root::is_root() {
        return;
    }
    let inside = Command::new("unshare")
        .args(["--net", "--"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("mirror::kernel_tests::inside_its_namespace")
        .env(INSIDE, "1")
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&inside.stdout);
    let errors = String::from_utf8_lossy(&inside.stderr);
    assert!(inside.status.success() && said.contains("1 passed"), "{said}{errors}");
}

#[test]
#[ignore = "run in a namespace of its own by the test above"]
fn inside_its_namespace() {
    assert!(std::env::var_os(INSIDE).is_some(), "only in a network namespace of its own");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let far = FarEnd::start();
        let config = config();
        super::apply(&config).await.expect("applied");
        super::apply(&config).await.expect("applied twice");
        asked_for_good_stays_reachable_and_asked_once_grows_stale().await;
        let mut rig = Rig::start(&config).await;
        rig.the_real_server_is_resolved().await;
        rig.strangers_publish_nothing().await;
        rig.a_deleted_neighbour_is_found_again_without_a_gap().await;
        rig.ipv6_is_followed_as_ipv4_is().await;
        rig.a_new_mac_is_found(&far).await;
        rig.whom_nobody_answers_for_is_told().await;
        rig.a_permanent_neighbour_stays_permanent().await;
        rig.routes_and_mtu_follow().await;
        rig.routes_that_go_without_a_word_are_missed().await;
    });
}

fn config() -> Config {
    let text = "[[port]]\nname = 'wan'\ndevice = 'net_null0'\nmtu = 1400\n\
                addresses = ['192.168.100.1/24', 'fd00::1/64']\n\
                [[route]]\nprefix = 'default'\nvia = '192.168.100.3'\n\
                [[route]]\nprefix = '::/0'\nvia = 'fe80::ff:fe00:e02'\ninterface = 'wan'\n\
                [[neighbor]]\naddress = '192.168.100.77'\nmac = '02:00:00:00:0e:77'\n\
                interface = 'wan'\n";
    Config::parse(text, "test", &[]).expect("valid")
}

fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().expect("a program")).args(words).output();
    let output = output.expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A station in another namespace, at the other end of the twin's wire. Ends with the test.
struct FarEnd {
    keeper: Child,
}

impl FarEnd {
    fn start() -> FarEnd {
        let mut holder = Command::new("unshare");
        holder.args(["--net", "--", "sh", "-c", "echo in; exec sleep 120"]);
        let mut keeper = holder.stdout(Stdio::piped()).spawn().expect("unshare runs");
        let mut ready = [0; 3];
        let out = keeper.stdout.as_mut().expect("its output");
        std::io::Read::read_exact(out, &mut ready).expect("it is in its namespace");
        let far = FarEnd { keeper };
        run("ip link set lo up");
        run("ip link add wan type veth peer name far");
        run(&format!("ip link set far netns {}", far.keeper.id()));
        far.run("ip link set far address 02:00:00:00:0e:02 up");
        far.run("ip addr add 192.168.100.2/24 dev far");
        far.run("ip addr add 192.168.100.3/24 dev far");
        far.run("ip addr add fd00::2/64 dev far nodad");
        // Reachable for longer than the first probe is delayed, or probes keep themselves going.
        for (name, value) in [
            ("base_reachable_time_ms", "2500"),
            ("interval_probe_time_ms", "500"),
            ("delay_first_probe_time", "1"),
            ("retrans_time_ms", "200"),
        ] {
            let path = format!("/proc/sys/net/ipv4/neigh/wan/{name}");
            std::fs::write(path, value).expect("a neighbour setting");
        }
        far
    }

    fn run(&self, command: &str) {
        run(&format!("nsenter --net=/proc/{}/ns/net {command}", self.keeper.id()));
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < end, "{what}: {}", run("ip neigh show dev wan"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn neighbor(address: &str) -> String {
    run(&format!("ip neigh show {address} dev wan"))
}

async fn asked_for_good_stays_reachable_and_asked_once_grows_stale() {
    eventually("carrier", || run("ip -o link show wan").contains("LOWER_UP")).await;
    let mut netlink = super::netlink::connect().expect("netlink");
    let line = run("ip -o link show wan");
    let ifindex = line.split(':').next().and_then(|number| number.parse().ok()).expect("number");
    for (last, managed) in [(2, true), (3, false)] {
        let address = [192, 168, 100, last].into();
        let ask = Ask { ifindex, address, managed };
        super::netlink::ask(&mut netlink, &ask).await.expect("Linux takes the question");
    }
    eventually("resolved", || neighbor("192.168.100.2").contains("REACHABLE")).await;
    assert!(neighbor("192.168.100.2").contains("managed"));
    eventually("asked once", || neighbor("192.168.100.3").contains("STALE")).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    eventually("kept", || neighbor("192.168.100.2").contains("REACHABLE")).await;
    assert!(neighbor("192.168.100.3").contains("STALE"), "nobody asked again");
    run("ip neigh flush dev wan");
}

struct Rig {
    handle: MirrorHandle,
    receiver: Receiver<Published>,
    latest: Published,
    publications: usize,
}

impl Rig {
    async fn start(config: &Config) -> Rig {
        let interfaces = MirrorInterface::from_config(config, &[MacAddr([2, 0, 0, 0, 0xd, 1])]);
        let started = super::start(interfaces, &config.routes, &config.neighbors).await;
        let (handle, mut receiver) = started.expect("the mirror starts");
        let latest = receiver.try_recv().expect("the first publication waits");
        assert!(latest.routes.is_some() && latest.next_hops.is_some());
        Rig { handle, receiver, latest, publications: 1 }
    }

    fn receive(&mut self) {
        while let Ok(published) = self.receiver.try_recv() {
            self.publications += 1;
            self.latest.routes = published.routes.or(self.latest.routes.take());
            self.latest.next_hops = published.next_hops.or(self.latest.next_hops.take());
        }
    }

    fn hop(&mut self, target: impl Address) -> NextHop {
        self.receive();
        let hops = self.latest.next_hops.as_ref().expect("published");
        hops.find(target).map_or(NextHop::NONE, |id| *hops.get(id))
    }

    fn route(&mut self, address: impl Address) -> Option<RouteTarget> {
        self.receive();
        self.latest.routes.as_ref().expect("published").lookup(address)
    }

    async fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Rig) -> bool) {
        let end = Instant::now() + Duration::from_secs(15);
        while !holds(self) {
            let hop = self.hop(RS);
            let neighbors = run("ip neigh show dev wan");
            assert!(Instant::now() < end, "{what}: {hop:?}\n{neighbors}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn the_real_server_is_resolved(&mut self) {
        let id = self.handle.intern(&[RS.ip()]).expect("room")[0];
        self.handle.published().await;
        self.receive();
        assert_eq!(self.latest.next_hops.as_ref().expect("published").find(RS), Some(id));
        self.until("resolved", |rig| rig.hop(RS).state == NextHopState::Resolved).await;
        let hop = self.hop(RS);
        assert_eq!((hop.dst_mac, hop.mtu, hop.local), (RS_MAC, 1400, 0xc0a8_6401_u32.ip()));
        eventually("managed", || neighbor("192.168.100.2").contains("managed")).await;
        self.until("the gateway too", |rig| rig.hop(RS + 1).dst_mac == RS_MAC).await;
        assert!(matches!(self.route(0x0808_0808_u32), Some(RouteTarget::Via(_))));
        assert_eq!(self.route(0xc0a8_6401_u32), Some(RouteTarget::Local));
    }

    async fn strangers_publish_nothing(&mut self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.receive();
        let before = self.publications;
        let add = |n: u32| {
            let (high, low) = (n / 250, n % 250 + 1);
            format!(
                "neigh replace 10.9.{high}.{low} lladdr 02:00:00:01:{high:02x}:{low:02x} dev wan nud permanent\n"
            )
        };
        let mut batch: String = (0..10_000).map(add).collect();
        batch.push_str(&batch.replace("replace", "del").replace(" nud permanent", ""));
        let mut ip =
            Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip");
        std::io::Write::write_all(ip.stdin.as_mut().expect("input"), batch.as_bytes())
            .expect("ip reads");
        drop(ip.stdin.take());
        while ip.try_wait().expect("ip").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.receive();
        assert_eq!(self.publications, before, "20,000 changes of neighbours nobody uses");
        assert_eq!(self.hop(RS).dst_mac, RS_MAC);
    }

    async fn a_deleted_neighbour_is_found_again_without_a_gap(&mut self) {
        run("ip neigh del 192.168.100.2 dev wan");
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            assert_eq!(self.hop(RS).dst_mac, RS_MAC, "served by the grace");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        eventually("found again", || neighbor("192.168.100.2").contains("REACHABLE")).await;
        assert!(neighbor("192.168.100.2").contains("managed"));
    }

    async fn ipv6_is_followed_as_ipv4_is(&mut self) {
        let far = 0x2001_0db8 << 96 | 7_u128;
        self.handle.intern(&[RS6.ip(), far.ip()]).expect("room");
        self.until("the address is no more tentative", |rig| rig.hop(RS6).local == OWN6.ip()).await;
        self.until("resolved", |rig| rig.hop(RS6).dst_mac == RS_MAC).await;
        eventually("managed", || neighbor("fd00::2").contains("managed")).await;
        self.until("a link-local gateway", |rig| rig.hop(far).dst_mac == RS_MAC).await;
        assert_eq!(self.hop(far).neighbor, GATEWAY6.ip());
        assert!(matches!(self.route(far), Some(RouteTarget::Via(_))));
        assert_eq!(self.route(OWN6), Some(RouteTarget::Local));
        assert_eq!(self.route(GATEWAY6), Some(RouteTarget::Linux), "Linux knows the link");
        run("ip -6 route add 2001:db8::/32 via fd00::2 mtu 1300");
        self.until("a route", |rig| rig.hop(far).neighbor == RS6.ip()).await;
        assert_eq!((self.hop(far).mtu, self.hop(far).local), (1300, OWN6.ip()));
        run("ip -6 route del 2001:db8::/32");
        self.until("the default route", |rig| rig.hop(far).neighbor == GATEWAY6.ip()).await;
        run("ip neigh del fd00::2 dev wan");
        self.until("served by the grace", |rig| rig.hop(RS6).dst_mac == RS_MAC).await;
        eventually("found again", || neighbor("fd00::2").contains("REACHABLE")).await;
    }

    async fn a_new_mac_is_found(&mut self, far: &FarEnd) {
        far.run("ip link set far address 02:00:00:00:0e:99");
        self.until("the new MAC address", |rig| rig.hop(RS).dst_mac == OTHER_MAC).await;
    }

    async fn whom_nobody_answers_for_is_told(&self) {
        run("ip addr add 203.0.113.9/32 dev lo");
        let asked = ["192.168.100.1", "203.0.113.9", "fd00::1", "192.168.100.98", "fd00::98"];
        let asked = asked.map(|text| text.parse().expect("an address"));
        assert_eq!(self.handle.unanswered(&asked).await, asked[3..]);
    }

    async fn a_permanent_neighbour_stays_permanent(&mut self) {
        run("ip neigh replace 192.168.100.9 lladdr 02:00:00:00:0e:09 nud permanent dev wan");
        self.handle.intern(&[(RS + 7).ip(), (RS + 75).ip()]).expect("room");
        self.until("resolved", |rig| rig.hop(RS + 7).dst_mac[5] == 9).await;
        assert_eq!(self.hop(RS + 75).dst_mac[5], 0x77, "the configuration's");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(neighbor("192.168.100.9").contains("PERMANENT"));
        assert!(neighbor("192.168.100.77").contains("PERMANENT"));
    }

    async fn routes_and_mtu_follow(&mut self) {
        let far = 0xc633_6407_u32;
        self.handle.intern(&[far.ip()]).expect("room");
        run("ip route add 198.51.100.0/24 via 192.168.100.9");
        self.until("the route", |rig| rig.hop(far).neighbor == (RS + 7).ip()).await;
        assert_eq!(self.hop(far).state, NextHopState::Resolved);
        run("ip route replace 198.51.100.0/24 via 192.168.100.77");
        self.until("the gateway", |rig| rig.hop(far).dst_mac[5] == 0x77).await;
        run("ip route del 198.51.100.0/24");
        self.until("the default route", |rig| rig.hop(far).neighbor == (RS + 1).ip()).await;
        run("ip link set wan mtu 1300");
        self.until("the MTU", |rig| rig.hop(RS).mtu == 1300).await;
    }

    async fn routes_that_go_without_a_word_are_missed(&mut self) {
        run("ip link set wan down");
        self.until("no route", |rig| rig.hop(RS).state == NextHopState::NoRoute).await;
        assert_eq!(self.route(0x0808_0808_u32), None);
        run("ip link set wan up");
        self.until("back", |rig| rig.hop(RS).state == NextHopState::Resolved).await;
        run("ip addr del 192.168.100.1/24 dev wan");
        self.until("no address, no route", |rig| rig.hop(RS).state == NextHopState::NoRoute).await;
    }
}
