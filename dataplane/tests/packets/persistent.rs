//! Persistent services and one-packet scheduling: what templates bind, over all workers, and when
//! they let go.

use crate::rig::*;
use dataplane::flow::protocol;
use dataplane::mailbox::{DumpItem, DumpQueue, Message};
use dataplane::service::ForwardingMethod::{Gatewaying, Masq};
use dataplane::service::ServiceKey;
use dataplane::template::{Cursor, Engine, Fate, Step, Template};
use dataplane::testing::Frame;
use dataplane::testing::control::{Server, tcp, udp};
use dataplane::verdict::{DropReason, PuntClass};
use dataplane::wire::tcp::flags::{ACK, RST, SYN};
use std::sync::Arc;

fn web() -> ServiceKey {
    tcp(VIP, 80)
}

fn to_vip(port: u16, flags: u8) -> Frame {
    Frame::tcp(CLIENT, port, VIP, 80).flags(flags)
}

fn forwarded(n: u8, port: u16, flags: u8) -> Frame {
    let (dst, src) = to_server(n);
    Frame::tcp(CLIENT, port, rip(n), 80).flags(flags).ttl(63).macs(dst, src)
}

/// A persistent service of two servers; the first to be chosen is server 1.
fn persistent(key: ServiceKey, seconds: u32) -> Rig {
    let mut rig = Rig::new();
    rig.add(key, Masq, 2);
    rig.control.persist(key, Some(seconds), None);
    rig.publish();
    rig
}

fn templates(rig: &Rig) -> Vec<Template> {
    let mut found = Vec::new();
    let mut at = Cursor::all();
    let mut note = |template: &Template, _: &[u8]| {
        found.push(*template);
        Fate::Keep
    };
    while rig.machine.templates().visit(&mut at, u32::MAX, rig.now, &mut note) == Step::More {}
    found
}

/// Lets time pass with a worker that looks at its timers.
fn wait(rig: &mut Rig, seconds: u32) {
    for _ in 0..seconds * 2 {
        rig.now = rig.now.after(8);
        rig.machine.settle(rig.now);
    }
}

fn goes(rig: &mut Rig, n: u8, port: u16, flags: u8, moved: Moved) {
    let id = rig.id(web(), rip(n));
    let expected = expect().sends(S, &forwarded(n, port, flags)).dest(id, moved);
    rig.check(&format!("port {port} to {n}"), &[(C, &to_vip(port, flags))], expected);
}

/// Server 1 answers the SYN from port 4000.
fn accepts(rig: &mut Rig) {
    let reply = from_server(1, Frame::tcp(rip(1), 80, CLIENT, 4000).flags(SYN | ACK));
    let left = to_client(Frame::tcp(VIP, 80, CLIENT, 4000).flags(SYN | ACK).ttl(63));
    let first = rig.id(web(), rip(1));
    rig.check("reply", &[(S, &reply)], expect().sends(C, &left).dest(first, outwards(1, 40)));
}

/// A conn from port 4000 that was established and is closed.
fn closed(rig: &mut Rig) {
    goes(rig, 1, 4000, SYN, begun(40, true));
    accepts(rig);
    goes(rig, 1, 4000, ACK, inwards(1, 40));
    goes(rig, 1, 4000, RST, Moved { active: -1, inactive: 1, ..inwards(1, 40) });
}

#[test]
fn a_clients_conns_go_to_its_templates_server_even_if_quiesced_or_full() {
    let mut rig = persistent(web(), 300);
    goes(&mut rig, 1, 4000, SYN, begun(40, true));
    goes(&mut rig, 1, 4001, SYN, begun(40, true));
    rig.control.server(web(), Server::new(rip(1), 80, Masq).weight(0));
    rig.publish();
    goes(&mut rig, 1, 4002, SYN, begun(40, true));
    rig.control.server(web(), Server::new(rip(1), 80, Masq).thresholds(2, 1));
    rig.publish();
    goes(&mut rig, 1, 4003, SYN, begun(40, true));
    let other = Frame::tcp(CLIENT + 1, 4000, VIP, 80).flags(SYN);
    let (dst, src) = to_server(2);
    let left = Frame::tcp(CLIENT + 1, 4000, rip(2), 80).flags(SYN).ttl(63).macs(dst, src);
    let second = rig.id(web(), rip(2));
    let expected = expect().sends(S, &left).dest(second, begun(40, true));
    rig.check("another client", &[(C, &other)], expected);
    let children: Vec<u32> = templates(&rig).iter().map(|template| template.children).collect();
    assert_eq!(children.iter().sum::<u32>(), 5);
    assert_eq!(children.len(), 2);
}

#[test]
fn a_quiesced_or_removed_servers_template_is_left_to_die() {
    let mut rig = persistent(web(), 300);
    rig.control.settings.expire_quiescent_template = true;
    goes(&mut rig, 1, 4000, SYN, begun(40, true));
    rig.control.server(web(), Server::new(rip(1), 80, Masq).weight(0));
    rig.publish();
    goes(&mut rig, 2, 4001, SYN, begun(40, true));
    rig.control.server(web(), Server::new(rip(1), 80, Masq));
    rig.control.delete_server(web(), rip(2), 80);
    rig.publish();
    goes(&mut rig, 1, 4002, SYN, begun(40, true));
    let mut ports: Vec<u16> = templates(&rig).iter().map(|template| template.vport).collect();
    ports.sort_unstable();
    assert_eq!(ports, [80, 65535, 65535]);
}

#[test]
fn a_template_lives_as_long_as_its_last_child_and_is_assured_by_an_established_one() {
    let mut rig = persistent(web(), 2);
    goes(&mut rig, 1, 4000, SYN, begun(40, true));
    assert_eq!(templates(&rig)[0].state_name(), "NONE");
    let first = rig.id(web(), rip(1));
    accepts(&mut rig);
    assert_eq!(templates(&rig)[0].state_name(), "NONE", "half-open");
    goes(&mut rig, 1, 4000, ACK, inwards(1, 40));
    assert_eq!(templates(&rig)[0].state_name(), "ASSURED");
    wait(&mut rig, 600);
    assert_eq!(templates(&rig)[0].children, 1);
    goes(&mut rig, 1, 4000, RST, Moved { active: -1, inactive: 1, ..inwards(1, 40) });
    wait(&mut rig, 11);
    assert_eq!(rig.machine.conns(0).len(), 0);
    assert_eq!(templates(&rig)[0].children, 0);
    wait(&mut rig, 61);
    assert!(rig.machine.templates().is_empty());
    assert_eq!(rig.machine.templates().persistent_conns(first), 0);
}

#[test]
fn a_removed_servers_templates_end_with_its_conns_where_those_do() {
    let mut rig = persistent(web(), 300);
    rig.control.settings.expire_nodest_conn = true;
    rig.publish();
    goes(&mut rig, 1, 4000, SYN, begun(40, true));
    rig.control.delete_server(web(), rip(1), 80);
    rig.publish();
    wait(&mut rig, 5);
    assert_eq!(rig.machine.conns(0).len(), 0);
    assert!(rig.machine.templates().is_empty());
}

#[test]
fn a_syn_on_a_closed_child_stays_with_it() {
    let mut rig = persistent(web(), 300);
    closed(&mut rig);
    goes(&mut rig, 1, 4000, SYN, Moved { active: 1, inactive: -1, ..inwards(1, 40) });
    assert_eq!(templates(&rig)[0].children, 1);
}

#[test]
fn clients_go_to_one_server_whatever_worker_their_ports_are_of() {
    let mut rig = Rig::with(|config| {
        config.workers = 3;
        config.queues = vec![3; 2];
    });
    rig.add(web(), Masq, 3);
    rig.control.persist(web(), Some(5), None);
    rig.publish();
    for port in 4000..4060 {
        rig.machine.feed(C, usize::from(port) % 3, &to_vip(port, SYN).build());
    }
    rig.machine.settle(rig.now);
    rig.machine.check();
    let sent = rig.machine.take_sent();
    assert_eq!(sent.len(), 60);
    let first = sent[0].1[..6].to_vec();
    assert!(sent.iter().all(|(_, frame)| frame[..6] == first), "one server");
    assert!((0..3).all(|worker| rig.machine.conns(worker).len() > 5), "all workers had some");
    let [template] = templates(&rig)[..] else { panic!("one template") };
    assert_eq!((template.children, template.assured), (60, false));
    assert_eq!(rig.machine.templates().persistent_conns(template.dest), 1);
    // Half-open conns last a minute, the template retries each minute while there are any.
    wait(&mut rig, 58);
    assert_eq!(templates(&rig)[0].children, 60);
    wait(&mut rig, 70);
    assert!(rig.machine.templates().is_empty(), "it went with the last child");
    assert_eq!(rig.machine.templates().persistent_conns(template.dest), 0);
}

#[test]
fn a_listing_has_each_template_once_with_what_its_engine_found() {
    let sip = udp(VIP, 5060);
    let mut rig = Rig::with(|config| config.workers = 3);
    rig.add(sip, Masq, 2);
    rig.control.persist(sip, Some(60), Some(Engine::Sip));
    rig.publish();
    let ids: Vec<String> = (0..200).map(|call| format!("call-{call:03}@host")).collect();
    for (port, id) in (4000..).zip(&ids) {
        let text = format!("BYE sip:a@b SIP/2.0\r\ni: {id}\r\n\r\n");
        let frame = Frame::udp(CLIENT, port, VIP, 5060).payload(text.as_bytes());
        rig.machine.feed(C, 0, &frame.build());
    }
    rig.machine.settle(rig.now);
    // So little room that every worker has to go on several times.
    let queue = Arc::new(DumpQueue::new(5));
    rig.machine.post(&Message::Dump(queue.clone()));
    let (mut conns, mut templates, mut done) = (0, Vec::new(), 0);
    while done < 3 {
        rig.machine.settle(rig.now);
        while let Some(item) = queue.pop() {
            match item {
                DumpItem::Conn(_) => conns += 1,
                DumpItem::Template(template) => assert_eq!(template.children, 1),
                DumpItem::EngineData(data) => templates.push(data.as_bytes().to_vec()),
                DumpItem::Done => done += 1,
            }
        }
    }
    templates.sort();
    assert_eq!(conns, 200);
    assert_eq!(templates, ids.iter().map(|id| id.clone().into_bytes()).collect::<Vec<_>>());
}

#[test]
fn data_connections_of_ftp_follow_the_control_connection() {
    let ftp = tcp(VIP, 21);
    let mut rig = Rig::new();
    rig.add(ftp, Gatewaying, 2);
    rig.publish();
    let data = |port: u16, dport| Frame::tcp(CLIENT, port, VIP, dport).flags(SYN);
    let punted = expect().punts(PuntClass::Rest, C, &data(4000, 40_000));
    rig.check("data without persistence", &[(C, &data(4000, 40_000))], punted);
    rig.control.persist(ftp, Some(60), None);
    rig.publish();
    let first = rig.id(ftp, rip(1));
    let (dst, src) = to_server(1);
    for (port, dport) in [(4001, 21), (4002, 40_000), (4003, 20)] {
        let left = data(port, dport).ttl(63).macs(dst, src);
        let expected = expect().sends(S, &left).dest(first, begun(40, true));
        rig.check(&format!("port {dport}"), &[(C, &data(port, dport))], expected);
    }
    let other = data(4004, 80);
    rig.check("80", &[(C, &other)], expect().punts(PuntClass::Rest, C, &other));
    assert_eq!(
        templates(&rig).iter().map(|it| (it.vport, it.children)).collect::<Vec<_>>(),
        [(0, 3)]
    );
}

#[test]
fn sip_calls_go_by_their_id_and_what_has_none_is_dropped() {
    let sip = udp(VIP, 5060);
    let mut rig = Rig::new();
    rig.add(sip, Masq, 2);
    rig.control.persist(sip, Some(60), Some(Engine::Sip));
    rig.publish();
    let message = |port: u16, id: &str| {
        let text = format!("INVITE sip:a@b SIP/2.0\r\nCall-ID: {id}\r\n\r\n");
        Frame::udp(CLIENT, port, VIP, 5060).payload(text.as_bytes())
    };
    for (port, id, n) in [(4000, "one", 1), (4001, "two", 2), (4002, "one", 1), (4003, "two", 2)] {
        let (dst, src) = to_server(n);
        let text = format!("INVITE sip:a@b SIP/2.0\r\nCall-ID: {id}\r\n\r\n");
        let left = Frame::udp(CLIENT, port, rip(n), 5060).payload(text.as_bytes()).ttl(63);
        let dest = rig.id(sip, rip(n));
        let moved = begun(28 + text.len() as i64, false);
        let expected = expect().sends(S, &left.macs(dst, src)).dest(dest, moved);
        rig.check(id, &[(C, &message(port, id))], expected);
    }
    let dropped = expect().drops(DropReason::NoCallId, 1);
    rig.check("no id", &[(C, &message(4004, "not one"))], dropped);
}

#[test]
fn a_full_store_drops_new_clients_by_name() {
    let mut rig = Rig::with(|config| config.templates = 1);
    rig.add(web(), Masq, 1);
    rig.control.persist(web(), Some(60), None);
    rig.publish();
    goes(&mut rig, 1, 4000, SYN, begun(40, true));
    let other = Frame::tcp(CLIENT + 1, 4000, VIP, 80).flags(SYN);
    rig.check("full", &[(C, &other)], expect().drops(DropReason::TemplateFull, 1));
}

/// Each packet counts as a conn, and nothing is left of any.
#[test]
fn one_packet_scheduling_keeps_no_conn_and_masq_replies_are_linuxs() {
    let dns = udp(VIP, 53);
    let mut rig = Rig::new();
    rig.add(dns, Masq, 2);
    rig.control.one_packet(dns, true);
    rig.publish();
    let query = Frame::udp(CLIENT, 4000, VIP, 53).payload(b"?");
    let passed = Moved { conns: 1, ..inwards(1, 29) };
    for n in [1, 2, 1, 2] {
        let (dst, src) = to_server(n);
        let left = Frame::udp(CLIENT, 4000, rip(n), 53).payload(b"?").ttl(63).macs(dst, src);
        let dest = rig.id(dns, rip(n));
        rig.check("query", &[(C, &query)], expect().sends(S, &left).dest(dest, passed));
    }
    assert_eq!(rig.machine.conns(0).len(), 0);
    let reply = from_server(1, Frame::udp(rip(1), 53, CLIENT, 4000).payload(b"!"));
    rig.check("reply", &[(S, &reply)], expect().punts(PuntClass::Rest, S, &reply));
}

#[test]
fn one_packet_scheduling_goes_by_templates_and_never_fills_a_server() {
    let dns = udp(VIP, 53);
    let mut rig = Rig::new();
    rig.add(dns, Masq, 2);
    rig.control.server(dns, Server::new(rip(1), 53, Masq).thresholds(1, 1));
    rig.control.one_packet(dns, true);
    rig.control.persist(dns, Some(10), None);
    rig.publish();
    let first = rig.id(dns, rip(1));
    let (dst, src) = to_server(1);
    for port in [4000, 4000, 4001] {
        let query = Frame::udp(CLIENT, port, VIP, 53).payload(b"?");
        let left = Frame::udp(CLIENT, port, rip(1), 53).payload(b"?").ttl(63).macs(dst, src);
        let passed = Moved { conns: 1, ..inwards(1, 29) };
        rig.check("query", &[(C, &query)], expect().sends(S, &left).dest(first, passed));
    }
    let [template] = templates(&rig)[..] else { panic!("one template") };
    assert_eq!((template.children, template.proto), (0, protocol::UDP));
    wait(&mut rig, 11);
    assert!(rig.machine.templates().is_empty());
}

/// What a process that ended leaves behind are conns without templates.
#[test]
fn adopted_conns_are_no_ones_children() {
    let mut rig = persistent(web(), 300);
    closed(&mut rig);
    let mut rig = rig.restarted();
    rig.publish();
    let id = rig.id(web(), rip(1));
    assert!(templates(&rig).is_empty());
    // No child any more, so the SYN begins another conn, and the old one ends nowhere else.
    let moved = Moved { inactive: -1, ..begun(40, true) };
    let expected = expect().sends(S, &forwarded(1, 4000, SYN)).dest(id, moved);
    rig.check("SYN", &[(C, &to_vip(4000, SYN))], expected);
    assert_eq!(templates(&rig)[0].children, 1);
}
