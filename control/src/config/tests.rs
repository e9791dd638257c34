use super::*;
use crate::rules::Persistence;
use crate::rules::example::{fwmark, v4};
use dataplane::address::Family;
use dataplane::forward::tunnel::{Encap, GueChecksum};
use dataplane::ids::{InterfaceId, PortId};
use dataplane::sched::SchedulerKind;
use dataplane::service::persistence::ClientMask;
use dataplane::service::{ForwardingMethod, ServiceKey};
use dataplane::template::Engine;
use std::net::IpAddr;

const CORES: &[usize] = &[0, 1];

const SAMPLES: [(&str, &str); 6] = [
    ("conf/masq.toml", include_str!("../../../conf/masq.toml")),
    ("conf/gatewaying.toml", include_str!("../../../conf/gatewaying.toml")),
    ("conf/ipip.toml", include_str!("../../../conf/ipip.toml")),
    ("conf/fullnat.toml", include_str!("../../../conf/fullnat.toml")),
    ("conf/minimal.toml", include_str!("../../../conf/minimal.toml")),
    ("conf/benchmark.toml", include_str!("../../../conf/benchmark.toml")),
];

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, "x.toml", CORES).map_err(|error| error.to_string())
}

fn sample(name: &str) -> Config {
    let (_, text) = SAMPLES.iter().find(|(file, _)| file.ends_with(name)).expect("a sample");
    parse(text).expect("samples are valid")
}

#[test]
fn every_file_in_conf_is_a_sample_and_parses() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../conf");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("conf exists") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            Config::load(&path, CORES).unwrap_or_else(|error| panic!("{error}"));
            files += 1;
        }
    }
    assert_eq!(files, SAMPLES.len(), "a sample is missing from this test's list");
}

#[test]
fn a_file_means_what_it_says() {
    let config = sample("gatewaying.toml");
    assert_eq!(config.workers.cores, [0]);
    assert_eq!(config.connections_per_worker(), 1 << 20);
    let vlan = &config.interfaces[1];
    assert_eq!((vlan.name.as_str(), vlan.port, vlan.vlan), ("mgmt", PortId(0), 20));
    assert!(vlan.twin);
    assert_eq!(config.routes[0].interface, InterfaceId(0));
    let (proto, vip, vport) = (6, v4(0xc0a8_6464), 80);
    assert_eq!(config.services[0].key, ServiceKey::Address { proto, vip, vport });
    assert_eq!(config.services[0].options, SchedulerKind::Wrr.into());
    let server = &config.services[0].real_servers[0];
    assert_eq!((server.rip, server.rport, server.weight), (v4(0xc0a8_6402), 80, 3));
    assert_eq!(server.method, ForwardingMethod::Gatewaying);
    assert_eq!(config.services[1].key, fwmark(1));
    assert_eq!(config.services[1].real_servers[0].rport, 0);
    assert_eq!(config.marks[0].ports, 5000..=5010);
}

#[test]
fn devices_become_eal_options() {
    let args = |name| sample(name).eal_args().join(" ");
    assert_eq!(args("gatewaying.toml"), "--file-prefix sluice -a 0000:03:00.0");
    assert_eq!(
        args("minimal.toml"),
        "--no-huge -m 512 --file-prefix sluice-lab --no-pci \
         --vdev net_af_packet0,iface=veth-wan --vdev net_af_packet1,iface=veth-lan"
    );
    let short = parse("[[port]]\nname = 'a'\ndevice = '03:00.0'\n").expect("valid");
    assert_eq!(short.ports[0].device.name(), "0000:03:00.0");
}

#[test]
fn keepalived_words_name_the_same_methods() {
    for (word, method) in [
        ("NAT", ForwardingMethod::Masq),
        ("DR", ForwardingMethod::Gatewaying),
        ("TUN", ForwardingMethod::Ipip),
    ] {
        let config = parse(&with_server(&format!("method = '{word}'"))).expect("valid");
        assert_eq!(config.services[0].real_servers[0].method, method);
    }
}

#[test]
fn sysctls_lose_their_prefix_and_become_words() {
    let text = "[sysctl]\n'net.ipv4.vs.sloppy_tcp' = true\nconn_reuse_mode = ' 2 '\n";
    let config = parse(&format!("{PORT}{text}")).expect("valid");
    let pairs: Vec<(&str, &str)> =
        config.sysctls.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(pairs, [("conn_reuse_mode", "2"), ("sloppy_tcp", "1")]);
}

#[test]
fn workers_may_share_cores_only_if_they_sleep() {
    let sleeping = format!("{PORT}[workers]\ncount = 3\ncores = [0, 1, 0]\ncontrol_core = 0\n");
    assert_eq!(parse(&sleeping).expect("valid").workers.count, 3);
}

#[test]
fn a_log_filter_has_a_level_for_all_and_for_modules() {
    for filter in ["debug", "warn,control::mirror=trace", "info/forwarding", "OFF", ""] {
        let config = parse(&format!("{PORT}[daemon]\nlog = '{filter}'\n")).expect("valid");
        assert_eq!(config.daemon.log, filter);
    }
}

#[test]
fn workers_begin_at_once_unless_a_signal_is_to_say_when() {
    let begin = |text: &str| parse(&format!("{PORT}{text}")).expect("valid").workers.begin;
    assert_eq!(begin(""), Begin::Ready);
    assert_eq!(begin("[workers]\nbegin = 'signal'\n"), Begin::Signal);
}

#[test]
fn a_file_cut_off_anywhere_is_valid_or_refused_with_a_line() {
    for (name, text) in SAMPLES {
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            if let Err(error) = Config::parse(&text[..end], name, CORES) {
                let error = error.to_string();
                assert!(error.starts_with(name) && !error.contains('\n'), "{error}");
            }
        }
    }
}

#[test]
fn a_file_with_any_line_missing_is_valid_or_refused_with_a_line() {
    for (name, text) in SAMPLES {
        for missing in 0..text.lines().count() {
            let lines = text.lines().enumerate().filter(|(line, _)| *line != missing);
            let rest: Vec<&str> = lines.map(|(_, line)| line).collect();
            if let Err(error) = Config::parse(&rest.join("\n"), name, CORES) {
                assert!(!error.to_string().contains('\n'), "{error}");
            }
        }
    }
}

/// Three lines: what follows begins on line 4.
const PORT: &str = "[[port]]\nname = 'wan'\ndevice = 'net_null0'\n";

/// Line 4 on: a service on lines 4 to 7, its server on 8 and 9, then `rest` from line 10.
fn with_server(rest: &str) -> String {
    let service = "[[service]]\nprotocol = 'tcp'\naddress = '10.0.0.100'\nport = 80\n";
    format!("{PORT}{service}[[service.server]]\naddress = '192.168.100.2'\n{rest}\n")
}

fn with_port(rest: &str) -> String {
    format!("{PORT}{rest}\n")
}

fn assert_refused(text: &str, message: &str) {
    match parse(text) {
        Ok(_) => panic!("accepted, but should say: {message}\n{text}"),
        Err(error) => assert_eq!(error, format!("x.toml{message}"), "\n{text}"),
    }
}

#[test]
fn mistakes_in_ports_are_told_with_their_line() {
    let pci = "`eth0!` is neither a PCI address such as 0000:03:00.0 \
               nor a virtual device such as net_af_packet0,iface=eth1";
    for (text, message) in [
        ("", ": there is no [[port]], so nothing to forward on".to_owned()),
        ("[[port]]\nname = 'a'\ndevice = 'eth0!'", format!(":3: {pci}")),
        ("[[port]]\nname = 'a'\n", ":1: missing field `device`".to_owned()),
        ("[[port]]\nname = 'a b'\ndevice = 'n0'", {
            ":2: `a b` is no interface name: 1 to 15 plain characters".to_owned()
        }),
    ] {
        assert_refused(text, &message);
    }
    for (rest, message) in [
        ("mtu = 67", ":4: mtu 67 is not in 68 to 9600"),
        ("queues = 0", ":4: queues 0 is not in 1 to 64"),
        ("mac = '02:00:00:00:00'", {
            ":4: `02:00:00:00:00` is not a MAC address: \
             six pairs of hexadecimal digits with `:` between"
        }),
        ("mac = '01:00:5e:00:00:01'", ":4: 01:00:5e:00:00:01 is not a unicast MAC address"),
        ("addresses = [\n'10.0.0.1']", {
            ":5: `10.0.0.1` is not an address with a length such as 10.0.0.1/24"
        }),
        ("addresses = ['224.0.0.1/24']", ":4: 224.0.0.1 is not a unicast address"),
        ("addresses = ['10.0.0.255/24']", {
            ":4: 10.0.0.255/24 is its subnet's network or broadcast address"
        }),
        ("addresses = ['10.0.0.1/24',\n'10.0.0.1/8']", {
            ":5: 10.0.0.1 is on another interface already"
        }),
        ("[[port]]\nname = 'wan'\ndevice = 'n1'", {
            ":5: the name `wan` is taken by another interface"
        }),
        ("[[port]]\nname = 'b'\ndevice = 'net_null0,copy=1'", {
            ":6: device `net_null0` is another port's already"
        }),
        ("[[port.vlan]]\nid = 4095", ":5: VLAN id 4095 is not in 1 to 4094"),
        ("[[port.vlan]]\nid = 5\n[[port.vlan]]\nid = 5", ":7: VLAN 5 is on port `wan` already"),
    ] {
        assert_refused(&with_port(rest), message);
    }
}

#[test]
fn mistakes_in_settings_are_told_with_their_line() {
    for (rest, message) in [
        ("[daemon]\nsocket = 'here'", ":5: socket `here` is not an absolute path"),
        ("[workers]\ncount = 0", ":5: count 0 is not in 1 to 64"),
        ("[workers]\ncount = 1\ncores = [0,\n1]", ":6: cores names 2 cores for 1 workers"),
        ("[workers]\ncores = [0,\n7]", ":6: core 7 is not one this process may use (0, 1)"),
        ("[workers]\nidle = 'spin'\ncores = [1,\n1]", {
            ":7: core 1 is named twice, but workers that spin share no core"
        }),
        ("[workers]\nidle = 'spin'\ncores = [1]\ncontrol_core = 1", {
            ":7: control_core 1 is a worker's core, and that worker spins"
        }),
        ("[workers]\nidle = 'doze'", ":5: unknown variant `doze`, expected `sleep` or `spin`"),
        ("[table]\nconnections = 12", ":5: connections 12 is not in 1024 to 1073741824"),
        ("[table]\nhuge_pages = 1", { ":5: invalid type: integer `1`, expected a boolean" }),
        ("[workers]\ncount = 2\nidle = 'spin'", {
            ":6: workers that spin need a core each: name them in `cores`"
        }),
        ("[workers]\nidle = 'spin'\ncount = 2\ncores = [0]", {
            ":7: cores names 1 cores for 2 workers"
        }),
        ("[daemon]\ngroup = ''", {
            ":5: group is empty; leave it out if only root may change things"
        }),
        ("[daemon]\n\ngroup = 'nosuch'", ":6: there is no group `nosuch'"),
        ("[daemon]\nlog = 'inof'", {
            ":5: `inof` is neither a level (off, error, warn, info, debug, trace) nor MODULE=LEVEL"
        }),
        ("[daemon]\nlog = 'info,control=all'", {
            ":5: `control=all` is neither a level (off, error, warn, info, debug, trace) \
             nor MODULE=LEVEL"
        }),
        ("[daemon]\nlog = 'info/a/b'", {
            ":5: error parsing logger filter: invalid logging spec 'info/a/b' (too many '/'s)"
        }),
        ("[sysctl]\nsloppy = 1", ":5: net.ipv4.vs.sloppy is no name of IPVS"),
        ("[sysctl]\nsloppy_tcp = 1\nsync_ports = 1", {
            ":6: net.ipv4.vs.sync_ports cannot be set: it comes with connection sync"
        }),
        ("[sysctl]\nconn_reuse_mode = 99", {
            ":5: net.ipv4.vs.conn_reuse_mode takes 0 to 3, not `99'"
        }),
        ("[sysctl]\npmtu_disc = '1 2'", { ":5: net.ipv4.vs.pmtu_disc takes 0 to 1, not `1 2'" }),
        ("[sysctl]\n'net.ipv4.vs.sloppy_tcp' = 1\nsloppy_tcp = 1", {
            ":6: `sloppy_tcp` is set twice"
        }),
        ("[timeouts]\ntcp = 0", ":5: tcp 0 is not in 1 to 2678400"),
        ("[timeouts]\nsctp = 5", {
            ":5: unknown field `sctp`, expected one of `tcp`, `tcpfin`, `udp`"
        }),
        ("[timeouts]\ntcp = 5\ntcp = 6", ":6: duplicate key"),
    ] {
        assert_refused(&with_port(rest), message);
    }
}

#[test]
fn mistakes_in_routes_and_neighbors_are_told_with_their_line() {
    for (rest, message) in [
        ("[[route]]\nprefix = '10.0.0.1/8'", {
            ":5: `10.0.0.1/8` has host bits set, the prefix is 10.0.0.0/8"
        }),
        ("[[route]]\nprefix = '10.0.0.0/33'", {
            ":5: `10.0.0.0/33` is not a prefix such as 10.0.0.0/24"
        }),
        ("[[route]]\nprefix = 'default'", {
            ":5: the route to 0.0.0.0/0 has neither `via` nor `interface`"
        }),
        ("[[route]]\nprefix = 'default'\nvia = '10.0.0.254'", {
            ":6: 10.0.0.254 is in no interface's subnet; name the interface"
        }),
        ("[[route]]\nprefix = 'default'\ninterface = 'lan'", { ":6: there is no interface `lan`" }),
        ("[[route]]\nprefix = 'default'\ninterface = 'wan'\n[[route]]\nprefix = '0.0.0.0/0'", {
            ":8: there is another route to 0.0.0.0/0"
        }),
        ("[[neighbor]]\naddress = '10.0.0.2'\nmac = '02:00:00:00:00:02'\ninterface = 'lan'", {
            ":7: there is no interface `lan`"
        }),
        ("[[neighbor]]\naddress = '10.0.0.2.3'\nmac = ''\ninterface = ''", {
            ":5: invalid IP address syntax"
        }),
    ] {
        assert_refused(&with_port(rest), message);
    }
}

#[test]
fn schedulers_take_their_own_flags_and_those_of_nobody() {
    let text = "[[service]]\nfwmark = 1\nscheduler = 'mh'\nflags = ['mh-port', 'flag-1', 'flag-3']";
    let config = parse(&with_port(text)).expect("valid");
    let scheduler = config.services[0].options.scheduler;
    assert_eq!(scheduler.kind, SchedulerKind::Mh);
    assert_eq!(scheduler.flag_names().collect::<Vec<_>>(), ["mh-fallback", "mh-port", "flag-3"]);
}

#[test]
fn mistakes_in_services_are_told_with_their_line() {
    for (rest, message) in [
        ("[[service]]\nfwmark = 0", ":5: fwmark 0 is not in 1 to 4294967295"),
        ("[[service]]\nfwmark = 1\nport = 80", {
            ":4: a service has either `fwmark` or `protocol`, `address` and `port`"
        }),
        ("[[service]]\nfwmark = 1\n[[service]]\nfwmark = 1", {
            ":6: the service fwmark 1 is there already"
        }),
        ("[[service]]\nfwmark = 1\nscheduler = 'best'", {
            ":6: `best` is no scheduler; there are rr, wrr, lc, wlc, lblc, lblcr, dh, sh, \
             sed, nq, fo, ovf, mh, twos"
        }),
        ("[[service]]\nfwmark = 1\nscheduler = 'sh'\nflags = ['sh-port', 'mh-port']", {
            ":7: `mh-port` is no flag of the scheduler sh"
        }),
        ("[[mark]]\nmark = 1", {
            ":5: a mark needs at least one of `protocol`, `destination` and `ports`"
        }),
        ("[[mark]]\nmark = 1\nports = '90-80'", {
            ":6: `90-80` is neither a port nor a range such as 80-90"
        }),
    ] {
        assert_refused(&with_port(rest), message);
    }
    for (rest, message) in [
        ("weight = -1", ":10: weight -1 is not in 0 to 2147483647"),
        ("u_threshold = 5\nl_threshold = 6", ":11: l_threshold 6 is above u_threshold 5"),
        ("method = 'nat'", {
            ":10: unknown variant `nat`, expected one of `NAT`, `masq`, `DR`, `gatewaying`, `TUN`, `ipip`, `FNAT`, `fullnat`"
        }),
        ("port = 8080", ":10: port 8080: only masq and fullnat change the port, leave it out"),
        ("method = 'masq'\nport = 0", {
            ":11: port 0 is for services with port 0 and fwmark services"
        }),
        ("wieght = 1", {
            ":10: unknown field `wieght`, expected one of \
             `address`, `port`, `method`, `tunnel`, \
             `tunnel_port`, `tunnel_checksum`, `weight`, `u_threshold`, `l_threshold`"
        }),
        ("[[service.server]]\naddress = '192.168.100.2'", {
            ":11: the server 192.168.100.2:80 is in this service already"
        }),
        ("[[service]]\nprotocol = 'tcp'\naddress = '10.0.0.100'\nport = 80", {
            ":10: the service tcp 10.0.0.100:80 is there already"
        }),
        ("[[service]]\nprotocol = 'tcp'\naddress = '127.0.0.1'\nport = 80", {
            ":12: 127.0.0.1 is not a unicast address"
        }),
    ] {
        assert_refused(&with_server(rest), message);
    }
}

#[test]
fn services_of_ipv6_and_all_their_options_are_read() {
    let text = "[[service]]
protocol = 'sctp'\naddress = 'fd00::100'\nport = 0\npersistent = 300\nnetmask = '64'
[[service.server]]
address = '10.0.0.9'\nmethod = 'ipip'\ntunnel = 'gue'\ntunnel_port = 6080\ntunnel_checksum = 'remcsum'
[[service]]
fwmark = 1\nfamily = 'ipv6'\nengine = 'sip'\none_packet = true
[[service]]
protocol = 'tcp'\naddress = '10.0.0.100'\nport = 80\npersistent = 5\nnetmask = '255.255.255.255'
[[mark]]
mark = 1\ndestination = 'fd00:1::/64'
[[route]]
prefix = '::/0'\nvia = 'fe80::1'\ninterface = 'wan'
[[neighbor]]
address = 'fe80::1'\nmac = '02:00:00:00:00:01'\ninterface = 'wan'";
    let config = Config::parse(&with_port(text), "x.toml", CORES).expect("a configuration");
    let [sctp, marked, web] = &config.services[..] else { panic!("three services") };
    let vip: IpAddr = "fd00::100".parse().unwrap();
    assert_eq!(sctp.key, ServiceKey::Address { proto: 132, vip, vport: 0 });
    let mask = Some(ClientMask::Prefix(64));
    assert_eq!(sctp.options.persistence, Some(Persistence { timeout: 300, mask }));
    let checksum = GueChecksum::Remote;
    assert_eq!(sctp.real_servers[0].tunnel, Encap::Gue { port: 6080, checksum });
    assert_eq!(marked.key, ServiceKey::Fwmark { mark: 1, family: Family::V6 });
    assert_eq!((marked.options.engine, marked.options.one_packet), (Some(Engine::Sip), true));
    assert_eq!(web.options.persistence, Some(Persistence { timeout: 5, mask: None }));
    assert_eq!(config.marks[0].destination.to_string(), "fd00:1::/64");
    assert_eq!(config.routes[0].via, Some("fe80::1".parse().unwrap()));
}

#[test]
fn mistakes_in_ipv6_and_in_options_are_told_with_their_line() {
    let web = "[[service]]\nprotocol = 'tcp'\naddress = 'fd00::1'\nport = 80";
    for (rest, message) in [
        ("[[service]]\nprotocol = 'tcp'\naddress = 'fe80::1'\nport = 80", {
            ":6: fe80::1 is a link-local address"
        }),
        ("[[service]]\nprotocol = 'tcp'\naddress = '::ffff:10.0.0.1'\nport = 80", {
            ":6: ::ffff:10.0.0.1 is not a unicast address"
        }),
        (&*format!("{web}\nfamily = 'ipv6'"), ":8: family is for services with `fwmark`"),
        (&*format!("{web}\npersistent = 0"), ":8: persistent 0 is not in 1 to 2678400"),
        (&*format!("{web}\npersistent = 5\nnetmask = '255.255.255.0'"), {
            ":9: `255.255.255.0` is not a number of bits from 1 to 128"
        }),
        (&*format!("{web}\nnetmask = '64'"), ":8: netmask is of use with `persistent` only"),
        (&*format!("{web}\nengine = 'ftp'"), {
            ":8: `ftp` is no persistence engine; there is sip"
        }),
        (&*format!("{web}\none_packet = true"), ":4: one_packet is for udp and fwmark services"),
        ("[[service]]\nprotocol = 'tcp'\naddress = 'fd00::1'\nport = 0", {
            ":4: port 0 takes every port and needs `persistent`"
        }),
        (&*format!("{web}\n[[service.server]]\naddress = '10.0.0.2'"), {
            ":9: a server of another family than the service's needs method ipip"
        }),
        ("[[route]]\nprefix = '::/0'\nvia = '10.0.0.1'\ninterface = 'wan'", {
            ":6: 10.0.0.1 is of another family than ::/0"
        }),
        ("[[mark]]\nmark = 1\ndestination = 'fd00::1/64'", {
            ":6: `fd00::1/64` has host bits set, the prefix is fd00::/64"
        }),
    ] {
        assert_refused(&with_port(rest), message);
    }
    for (rest, message) in [
        (
            "tunnel = 'gre'",
            ":10: tunnels are for method ipip, checksums for gre and gue, ports for gue",
        ),
        ("method = 'ipip'\ntunnel = 'gue'", ":9: a gue tunnel needs `tunnel_port`"),
        ("method = 'ipip'\ntunnel = 'gre'\ntunnel_checksum = 'remcsum'", ":9: gre has no remcsum"),
        ("method = 'ipip'\ntunnel_checksum = 'csum'", {
            ":11: tunnels are for method ipip, checksums for gre and gue, ports for gue"
        }),
    ] {
        assert_refused(&with_server(rest), message);
    }
}

#[test]
fn fullnat_has_its_addresses_at_the_service() {
    let service = |service: &str, server: &str| {
        with_port(&format!(
            "[[service]]\nprotocol = 'tcp'\naddress = '10.0.0.100'\nport = 80\n{service}\n\
             [[service.server]]\naddress = '192.168.100.2'\n{server}"
        ))
    };
    let locals = "local_addresses = ['192.168.100.5', '192.168.100.6']\nclient_address = 'toa'";
    let config = parse(&service(locals, "method = 'fullnat'\nport = 8080")).expect("fits");
    let fullnat = &config.services[0].options.fullnat;
    assert_eq!(fullnat.local_addresses.len(), 2);
    assert_eq!(fullnat.client_address, dataplane::service::ClientAddress::Toa);
    assert_eq!(config.services[0].real_servers[0].rport, 8080);
    for (words, message) in [
        ("", "method fullnat needs `local_addresses` of the service"),
        ("local_addresses = ['10.0.0.100']", "10.0.0.100 is a virtual address"),
        ("local_addresses = ['fd00::5']", "fd00::5 is not of the service's address family"),
        ("local_addresses = ['x']", "`x` is no address"),
        (
            "client_address = 'toa'",
            "client_address is for tcp and fwmark services with `local_addresses`",
        ),
    ] {
        let error = parse(&service(words, "method = 'fullnat'")).expect_err(words);
        assert!(error.to_string().ends_with(message), "{error}");
    }
}

#[test]
fn local_ports_are_enough_and_not_linuxs() {
    let range = |config: &Config| (config.local_ports.first, config.local_ports.last);
    assert_eq!(range(&sample("masq.toml")), (1024, 65_535));
    assert_eq!(range(&sample("fullnat.toml")), (1024, 65_535));
    let with = |ports: &str| with_port(&format!("[fullnat]\nlocal_ports = '{ports}'\n"));
    assert_eq!(range(&parse(&with("2048-2559")).expect("fits")), (2048, 2559));
    for (ports, why) in [
        ("80-9000", "begins below 1024, where Linux's own services listen"),
        ("2048-2558", "has too few ports: 512 at least"),
        ("9000-2048", "is no range such as 1024-65535"),
        ("many", "is no range such as 1024-65535"),
        ("1024-65536", "is no range such as 1024-65535"),
    ] {
        assert_refused(&with(ports), &format!(":5: local_ports `{ports}` {why}"));
    }
}
