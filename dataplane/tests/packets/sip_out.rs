//! Calls that real servers begin: who may, what becomes of the packet, and whose the conn is.

use crate::rig::*;
use dataplane::flow::protocol;
use dataplane::service::ForwardingMethod::{Gatewaying, Masq};
use dataplane::service::ServiceKey;
use dataplane::template::Engine;
use dataplane::testing::Frame;
use dataplane::testing::control::{Server, udp};
use dataplane::verdict::{DropReason, PuntClass};

const CALL: &[u8] = b"INVITE sip:a@b SIP/2.0\r\nCall-ID: one\r\n\r\n";
const LEN: i64 = 28 + CALL.len() as i64;

fn sip() -> ServiceKey {
    udp(VIP, 5060)
}

/// A persistent service with the engine, of two servers.
fn calling(change: impl FnOnce(&mut Rig)) -> Rig {
    let mut rig = Rig::new();
    rig.add(sip(), Masq, 2);
    rig.control.persist(sip(), Some(60), Some(Engine::Sip));
    rig.control.calls_out(sip(), true);
    change(&mut rig);
    rig.publish();
    rig
}

/// From the server to this port of the client.
fn call(n: u8, port: u16) -> Frame {
    from_server(n, Frame::udp(rip(n), 5060, CLIENT, port).payload(CALL))
}

fn called(port: u16) -> Frame {
    to_client(Frame::udp(VIP, 5060, CLIENT, port).payload(CALL).ttl(63))
}

/// A conn of UDP with one packet outwards.
fn begun_outwards() -> Moved {
    Moved { conns: 1, inactive: 1, ..outwards(1, LEN) }
}

#[test]
fn a_call_leaves_from_the_virtual_address_and_its_answer_comes_back() {
    let mut rig = calling(|_| ());
    let second = rig.id(sip(), rip(2));
    let sent = expect().sends(C, &called(4000)).dest(second, begun_outwards());
    rig.check("call", &[(S, &call(2, 4000))], sent);
    let (dst, src) = to_server(2);
    for (port, moved) in [(4000, inwards(1, LEN)), (4001, begun(LEN, false))] {
        let answer = Frame::udp(CLIENT, port, VIP, 5060).payload(CALL);
        let left = Frame::udp(CLIENT, port, rip(2), 5060).payload(CALL).ttl(63).macs(dst, src);
        let sent = expect().sends(S, &left).dest(second, moved);
        rig.check("answer, of the conn or of the call", &[(C, &answer)], sent);
    }
    let again = expect().sends(C, &called(4000)).dest(second, outwards(1, LEN));
    rig.check("again", &[(S, &call(2, 4000))], again);
    assert_eq!(rig.machine.templates().len(), 1);
}

#[test]
fn what_is_no_call_is_linuxs() {
    let no_id = Frame::udp(rip(1), 5060, CLIENT, 4000).payload(b"BYE a SIP/2.0\r\n\r\n");
    let far = Frame::udp(rip(1), 5060, 0xcb00_7105, 4000).payload(CALL);
    let cases = [
        ("no Call-ID", from_server(1, no_id)),
        ("another port", from_server(1, Frame::udp(rip(1), 5061, CLIENT, 4000).payload(CALL))),
        ("no server", call(3, 4000)),
        ("its time ends here", call(1, 4000).ttl(1)),
        ("no route", from_server(1, far)),
    ];
    for (what, frame) in cases {
        let mut rig = calling(|_| ());
        rig.check(what, &[(S, &frame)], expect().punts(PuntClass::Rest, S, &frame));
        assert!(rig.machine.templates().is_empty(), "{what}");
    }
    let without = |rig: &mut Rig| rig.control.calls_out(sip(), false);
    let routed = |rig: &mut Rig| rig.control.server(sip(), Server::new(rip(1), 5060, Gatewaying));
    for mut rig in [calling(without), calling(routed)] {
        rig.check("no caller", &[(S, &call(1, 4000))], {
            expect().punts(PuntClass::Rest, S, &call(1, 4000))
        });
    }
}

#[test]
fn a_service_that_is_not_persistent_needs_no_call_id() {
    let mut rig = calling(|rig| rig.control.persist(sip(), None, None));
    let first = rig.id(sip(), rip(1));
    let frame = Frame::udp(rip(1), 5060, CLIENT, 4000).payload(b"?");
    let left = to_client(Frame::udp(VIP, 5060, CLIENT, 4000).payload(b"?").ttl(63));
    let moved = Moved { conns: 1, inactive: 1, ..outwards(1, 29) };
    let sent = expect().sends(C, &left).dest(first, moved);
    rig.check("call", &[(S, &from_server(1, frame))], sent);
}

#[test]
fn the_service_that_got_the_server_last_is_called_from() {
    let other = udp(VIP + 1, 5060);
    let mut rig = calling(|_| ());
    rig.control.service(other, dataplane::sched::SchedulerKind::Rr);
    rig.control.server(other, Server::new(rip(1), 5060, Masq));
    rig.publish();
    let frame = call(1, 4000);
    rig.check("no engine", &[(S, &frame)], expect().punts(PuntClass::Rest, S, &frame));
    rig.control.calls_out(other, true);
    rig.publish();
    let id = rig.id(other, rip(1));
    let left = to_client(Frame::udp(VIP + 1, 5060, CLIENT, 4000).payload(CALL).ttl(63));
    rig.check("engine", &[(S, &frame)], expect().sends(C, &left).dest(id, begun_outwards()));
}

#[test]
fn one_end_of_a_client_is_the_later_callers() {
    let mut rig = calling(|_| ());
    let (first, second) = (rig.id(sip(), rip(1)), rig.id(sip(), rip(2)));
    let sent = expect().sends(C, &called(4000)).dest(first, begun_outwards());
    rig.check("the first", &[(S, &call(1, 4000))], sent);
    let ends = Moved { inactive: -1, ..Moved::default() };
    let sent = expect().sends(C, &called(4000)).dest(first, ends).dest(second, begun_outwards());
    rig.check("the second", &[(S, &call(2, 4000))], sent);
    assert_eq!(rig.machine.conns(0).len(), 1);
    assert_eq!(rig.machine.templates().len(), 2, "that of the first is left to die");
    rig.pass(1000);
    rig.machine.settle(rig.now);
}

/// A call in two fragments, the Call-ID in the first.
fn in_two(src: u32, dst: u32) -> [Frame; 2] {
    let text = [CALL, &[b'x'; 100]].concat();
    let whole = Frame::udp(src, 5060, dst, 4000).payload(&text).build_ip();
    let piece = |from: usize, to: usize, more| {
        let data = &whole[20 + from..20 + to];
        Frame::raw(src, dst, protocol::UDP, data).id(7).fragment(from as u16, more)
    };
    [piece(0, 80, true), piece(80, whole.len() - 20, false)]
}

#[test]
fn a_call_in_fragments_leaves_in_fragments() {
    for one_packet in [false, true] {
        let mut rig = calling(|rig| rig.control.one_packet(sip(), one_packet));
        let first = rig.id(sip(), rip(1));
        let frames = in_two(rip(1), CLIENT).map(|frame| from_server(1, frame));
        let lefts = in_two(VIP, CLIENT).map(|frame| to_client(frame.ttl(63)));
        let expected = match one_packet {
            false => lefts
                .iter()
                .fold(expect(), |all, left| all.sends(C, left))
                .dest(first, Moved { out_bytes: LEN + 100, ..begun_outwards() }),
            // Nothing would tell whose the second is.
            true => frames.iter().fold(expect(), |all, it| all.punts(PuntClass::Rest, S, it)),
        };
        rig.check("call", &[(S, &frames[0]), (S, &frames[1])], expected);
    }
}

#[test]
fn one_packet_calls_keep_no_conn() {
    let mut rig = calling(|rig| rig.control.one_packet(sip(), true));
    let first = rig.id(sip(), rip(1));
    for _ in 0..2 {
        let moved = Moved { conns: 1, ..outwards(1, LEN) };
        let sent = expect().sends(C, &called(4000)).dest(first, moved);
        rig.check("call", &[(S, &call(1, 4000))], sent);
    }
    assert_eq!((rig.machine.conns(0).len(), rig.machine.templates().len()), (0, 1));
}

#[test]
fn a_call_that_there_is_no_room_for_is_dropped_by_name() {
    let mut rig = Rig::with(|config| config.templates = 0);
    rig.add(sip(), Masq, 1);
    rig.control.persist(sip(), Some(60), Some(Engine::Sip));
    rig.control.calls_out(sip(), true);
    rig.publish();
    rig.check("call", &[(S, &call(1, 4000))], expect().drops(DropReason::TemplateFull, 1));
}

/// The packet's client end says whose it is, wherever it comes in.
#[test]
fn calls_begin_at_the_worker_that_the_answers_come_to() {
    let mut rig = Rig::with(|config| {
        config.workers = 3;
        config.queues = vec![3; 2];
    });
    rig.add(sip(), Masq, 1);
    rig.control.persist(sip(), Some(60), Some(Engine::Sip));
    rig.control.calls_out(sip(), true);
    rig.publish();
    for port in 4000..4060 {
        rig.machine.feed(S, usize::from(port) % 3, &call(1, port).build());
        rig.machine.settle(rig.now);
        let answer = Frame::udp(CLIENT, port, VIP, 5060).payload(CALL);
        rig.machine.feed(C, usize::from(port + 1) % 3, &answer.build());
        rig.machine.settle(rig.now);
        let (dst, src) = to_server(1);
        let left = Frame::udp(CLIENT, port, rip(1), 5060).payload(CALL).ttl(63).macs(dst, src);
        assert_eq!(rig.machine.take_sent(), [(C, called(port).build()), (S, left.build())]);
    }
    rig.machine.check();
    let conns = [0, 1, 2].map(|worker| rig.machine.conns(worker).len());
    assert_eq!(conns.iter().sum::<usize>(), 60);
    assert!(conns.iter().all(|&count| count > 5), "{conns:?}");
    assert_eq!(rig.machine.templates().len(), 1);
}
