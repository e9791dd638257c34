//! What the kernel accepts, refuses and forces.

use super::example::{fwmark, v4};
use super::*;
use dataplane::forward::tunnel::GueChecksum;
use dataplane::sched::{SchedulerKind, Scheduling};
use dataplane::service::persistence::ClientMask;
use dataplane::template::Engine;

const WEB: ServiceKey = ServiceKey::Address { proto: 6, vip: v4(0x0a00_0064), vport: 80 };
const RS: IpAddr = v4(0xc0a8_010b);

const V6_RS: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9));
const GUE_WITHOUT_PORT: Encap = Encap::Gue { port: 0, checksum: GueChecksum::Absent };

fn server(method: ForwardingMethod) -> RealServer {
    let tunnel = Encap::Ipip;
    RealServer { rip: RS, rport: 8080, method, tunnel, weight: 1, u_threshold: 0, l_threshold: 0 }
}

fn add_service(service: ServiceKey) -> RuleChange {
    RuleChange::AddService { service, options: SchedulerKind::Rr.into() }
}

fn add(server: RealServer) -> RuleChange {
    RuleChange::AddServer { service: WEB, server }
}

fn web_with(servers: &[RealServer]) -> Rules {
    let mut rules = Rules::default();
    rules.apply(&add_service(WEB)).unwrap();
    for server in servers {
        rules.apply(&add(server.clone())).unwrap();
    }
    rules
}

#[test]
fn each_refusal_has_the_kernels_reason() {
    let masq = server(ForwardingMethod::Masq);
    let mut rules = web_with(std::slice::from_ref(&masq));
    let other = fwmark(9);
    let absent = RealServer { rip: v4(0xc0a8_010c), ..masq.clone() };
    let tunnelled = |rip, tunnel| RealServer {
        rip,
        tunnel,
        method: ForwardingMethod::Ipip,
        ..server(ForwardingMethod::Masq)
    };
    let persistent = |mask| RuleChange::AddService {
        service: ServiceKey::Address { proto: 6, vip: v4(0x0a00_0065), vport: 80 },
        options: ServiceOptions {
            persistence: Some(Persistence { timeout: 60, mask }),
            ..ServiceOptions::default()
        },
    };
    let crossed = RealServer { u_threshold: 5, l_threshold: 10, ..absent.clone() };
    let multicast = RealServer { rip: v4(0xe000_0001), ..masq.clone() };
    let cases = [
        (add_service(WEB), RuleError::ServiceExists),
        (RuleChange::DeleteService { service: other }, RuleError::NoSuchService),
        (
            RuleChange::EditService { service: other, options: SchedulerKind::Lc.into() },
            RuleError::NoSuchService,
        ),
        (
            RuleChange::AddServer { service: other, server: masq.clone() },
            RuleError::ServiceNotDefined,
        ),
        (
            RuleChange::DeleteServer { service: other, rip: RS, rport: 8080 },
            RuleError::ServiceNotDefined,
        ),
        (add(masq.clone()), RuleError::ServerExists),
        (add(crossed.clone()), RuleError::OutOfRange),
        (add(RealServer { weight: 1 << 31, ..absent.clone() }), RuleError::OutOfRange),
        (add(multicast), RuleError::Invalid),
        (RuleChange::EditServer { service: WEB, server: absent.clone() }, RuleError::NoSuchServer),
        (RuleChange::EditServer { service: WEB, server: crossed }, RuleError::OutOfRange),
        (RuleChange::DeleteServer { service: WEB, rip: RS, rport: 80 }, RuleError::NoSuchServer),
        (
            add_service(ServiceKey::Address { proto: 6, vip: v4(0x0a00_0065), vport: 0 }),
            RuleError::Invalid,
        ),
        (add_service(fwmark(0)), RuleError::Invalid),
        (persistent(Some(ClientMask::Prefix(64))), RuleError::Invalid),
        (
            add(RealServer { rip: V6_RS, method: ForwardingMethod::Gatewaying, ..absent.clone() }),
            RuleError::Invalid,
        ),
        (add(tunnelled(v4(0xc0a8_010c), GUE_WITHOUT_PORT)), RuleError::Invalid),
        (add(tunnelled("fe80::1".parse().unwrap(), Encap::Ipip)), RuleError::Invalid),
        (add(tunnelled("ff02::1".parse().unwrap(), Encap::Ipip)), RuleError::Invalid),
        (add(tunnelled("::ffff:10.0.0.1".parse().unwrap(), Encap::Ipip)), RuleError::Invalid),
    ];
    let before = rules.clone();
    for (change, reason) in cases {
        assert_eq!(rules.apply(&change), Err(reason), "{change:?}");
        assert_eq!(rules, before, "{change:?}");
    }
}

#[test]
fn what_is_not_rewritten_gets_the_services_port_and_masq_keeps_its_own() {
    for (method, port) in [
        (ForwardingMethod::Masq, 8080),
        (ForwardingMethod::Gatewaying, 80),
        (ForwardingMethod::Ipip, 80),
    ] {
        let rules = web_with(&[server(method)]);
        assert_eq!(rules.get(WEB).unwrap().real_servers[0].rport, port);
    }
}

#[test]
fn a_fwmark_service_keeps_the_port_of_its_real_server() {
    let mark = fwmark(1);
    let mut rules = Rules::default();
    rules.apply(&add_service(mark)).unwrap();
    let change =
        RuleChange::AddServer { service: mark, server: server(ForwardingMethod::Gatewaying) };
    rules.apply(&change).unwrap();
    assert_eq!(rules.get(mark).unwrap().real_servers[0].rport, 8080);
}

#[test]
fn changes_apply_whole_or_not_at_all() {
    let mut rules = web_with(&[]);
    let before = rules.clone();
    let changes = [add(server(ForwardingMethod::Masq)), add_service(WEB)];
    let refused = rules.apply_all(&changes, false).unwrap_err();
    assert_eq!((refused.at, refused.error), (1, RuleError::ServiceExists));
    assert_eq!(refused.to_string(), "change 2 of 2: Service already exists");
    assert_eq!(rules, before);

    rules.apply_all(&[add_service(fwmark(3))], true).unwrap();
    assert_eq!(rules.services().map(|s| s.key).collect::<Vec<_>>(), [fwmark(3)]);
}

#[test]
fn editing_keeps_the_place_in_the_list_and_flush_leaves_nothing() {
    let first = server(ForwardingMethod::Masq);
    let second = RealServer { rip: v4(0xc0a8_010c), ..first.clone() };
    let mut rules = web_with(&[first.clone(), second]);
    let heavier = RealServer { weight: 9, ..first };
    rules.apply(&RuleChange::EditServer { service: WEB, server: heavier.clone() }).unwrap();
    assert_eq!(rules.get(WEB).unwrap().real_servers[0], heavier);
    rules.apply(&RuleChange::Flush).unwrap();
    assert!(rules.is_empty());
}

#[test]
fn changes_read_back_from_json_as_they_were_written() {
    let changes = [
        add_service(WEB),
        add_service(fwmark(7)),
        add(server(ForwardingMethod::Ipip)),
        RuleChange::DeleteServer { service: WEB, rip: RS, rport: 80 },
        RuleChange::Flush,
    ];
    for change in changes {
        let text = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<RuleChange>(&text).unwrap(), change, "{text}");
    }
    assert_eq!(
        serde_json::to_string(&add_service(WEB)).unwrap(),
        r#"{"change":"add_service","service":{"proto":"tcp","vip":"10.0.0.100","vport":80},"scheduler":"rr"}"#
    );
    let wrong = r#"{"change":"add_service","service":{"fwmark":1},"scheduler":"sx"}"#;
    let refused = serde_json::from_str::<RuleChange>(wrong).unwrap_err().to_string();
    assert!(refused.contains("unknown scheduler `sx'"), "{refused}");
}

#[test]
fn what_ipvsadm_says_more_stands_in_json_by_its_words() {
    let options = ServiceOptions {
        persistence: Some(Persistence { timeout: 60, mask: Some(ClientMask::Netmask(!0xff)) }),
        engine: Some(Engine::Sip),
        one_packet: true,
        ..ServiceOptions::default()
    };
    let service = ServiceKey::Fwmark { mark: 7, family: Family::V6 };
    let tunnel = Encap::Gue { port: 6080, checksum: GueChecksum::Remote };
    let method = ForwardingMethod::Ipip;
    let server = RealServer { rip: V6_RS, tunnel, ..self::server(method) };
    for (change, text) in [
        (
            RuleChange::AddService { service, options },
            r#"{"change":"add_service","service":{"fwmark":7,"family":"ipv6"},"scheduler":"wlc","persistence":{"timeout":60,"mask":"255.255.255.0"},"engine":"sip","one_packet":true}"#,
        ),
        (
            RuleChange::AddServer { service, server },
            r#"{"change":"add_server","service":{"fwmark":7,"family":"ipv6"},"server":{"rip":"fd00::9","rport":8080,"method":"ipip","tunnel":{"type":"gue","port":6080,"checksum":"remcsum"},"weight":1,"u_threshold":0,"l_threshold":0}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&change).unwrap(), text);
        assert_eq!(serde_json::from_str::<RuleChange>(text).unwrap(), change);
    }
}

#[test]
fn a_real_server_of_the_other_family_is_reached_through_a_tunnel() {
    let mut rules = web_with(&[]);
    let method = ForwardingMethod::Ipip;
    rules.apply(&add(RealServer { rip: V6_RS, ..server(method) })).unwrap();
    assert_eq!(rules.get(WEB).unwrap().real_servers[0].rip, V6_RS);
}

#[test]
fn flags_stand_in_json_by_their_schedulers_names_for_them() {
    let with =
        |names: &[&str]| words::with_flags(SchedulerKind::Sh, names.iter().copied()).unwrap();
    let change = |scheduler: Scheduling| {
        let options = scheduler.into();
        RuleChange::AddService { service: fwmark(7), options }
    };
    let all = change(with(&["sh-fallback", "sh-port", "flag-3"]));
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(
        text,
        r#"{"change":"add_service","service":{"fwmark":7},"scheduler":"sh","flags":["sh-fallback","sh-port","flag-3"]}"#
    );
    assert_eq!(serde_json::from_str::<RuleChange>(&text).unwrap(), all);
    let generic = text.replace("sh-fallback", "flag-1").replace("sh-port", "flag-2");
    assert_eq!(serde_json::from_str::<RuleChange>(&generic).unwrap(), all);
    for (flag, message) in [
        ("mh-port", "incompatible scheduler flag `mh-port'"),
        ("port", "invalid scheduler flag `port'"),
    ] {
        let refused = serde_json::from_str::<RuleChange>(&text.replace("sh-port", flag));
        assert!(refused.unwrap_err().to_string().contains(message), "{flag}");
    }
}

#[test]
fn a_quiesced_server_keeps_its_last_weight_until_it_is_deleted() {
    let of = |weight| RealServer { weight, ..server(ForwardingMethod::Masq) };
    let edit = |weight| RuleChange::EditServer { service: WEB, server: of(weight) };
    let last = |rules: &Rules| {
        let servers = &rules.get(WEB).unwrap().real_servers;
        rules.last_weight(WEB, &servers[0])
    };
    let mut rules = web_with(&[of(0)]);
    assert_eq!(last(&rules), 0);
    for (weight, kept) in [(5, 5), (0, 5), (0, 5), (7, 7), (0, 7)] {
        rules.apply(&edit(weight)).unwrap();
        assert_eq!(last(&rules), kept, "{weight}");
    }
    let again = [add_service(WEB), add(of(0))];
    rules.apply_all(&again, true).unwrap();
    assert_eq!(last(&rules), 7, "the configuration was read again");
    let delete = RuleChange::DeleteServer { service: WEB, rip: RS, rport: 8080 };
    rules.apply_all(&[delete, add(of(0))], false).unwrap();
    assert_eq!(last(&rules), 0);
    rules
        .apply_all(&[edit(3), edit(0), RuleChange::DeleteService { service: WEB }], false)
        .unwrap();
    rules.apply_all(&again, false).unwrap();
    assert_eq!(last(&rules), 0);
}

#[test]
fn mark_rules_that_cannot_be_are_refused() {
    let rule =
        MarkRule { mark: 1, proto: Some(6), dst: (v4(0x0a01_0000), 16), dports: Some((80, 89)) };
    assert_eq!(rule.check(), Ok(()));
    let text = serde_json::to_string(&rule).unwrap();
    assert_eq!(text, r#"{"mark":1,"proto":"tcp","dst":"10.1.0.0/16","dports":[80,89]}"#);
    assert_eq!(serde_json::from_str::<MarkRule>(&text).unwrap(), rule);
    assert_eq!(MarkRule { dst: (v4(0), 0), ..rule.clone() }.check(), Ok(()));
    let v6 = MarkRule { dst: ("2001:db8::".parse().unwrap(), 32), ..rule.clone() };
    assert_eq!(v6.check(), Ok(()));
    let text = serde_json::to_string(&v6).unwrap();
    assert_eq!(text, r#"{"mark":1,"proto":"tcp","dst":"2001:db8::/32","dports":[80,89]}"#);
    assert_eq!(serde_json::from_str::<MarkRule>(&text).unwrap(), v6);
    for wrong in [
        MarkRule { dst: ("2001:db8::".parse().unwrap(), 16), ..rule.clone() },
        MarkRule { dst: (v4(0), 33), ..rule.clone() },
        MarkRule { mark: 0, ..rule.clone() },
        MarkRule { dst: (v4(0x0a01_0001), 16), ..rule.clone() },
        MarkRule { dports: Some((2, 1)), ..rule.clone() },
    ] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_mark_rule_without_ports_takes_all_of_them() {
    let rule = MarkRule { mark: 1, proto: None, dst: (v4(0x0a01_0000), 16), dports: None };
    let compiled = dataplane::service::MarkRule::from(&rule);
    assert_eq!((compiled.prefix, compiled.len), rule.dst);
    assert_eq!(compiled.dports, 0..=65535);
}
