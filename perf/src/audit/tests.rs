//! The auditor beside itself: what is right passes, each fault is found and called by its name.

use super::*;
use dataplane::testing::Rng;
use std::collections::HashSet;
use std::sync::Arc;

const PLAN: &str = "\
own 02:70:63:61:70:00 02:70:63:61:70:01 02:00:00:00:0c:01 192.168.100.1 2001:db8:2::1
service masq-tcp masq tcp 10.0.0.100 80 8080 1000 10.128.0.0 -
server 192.168.100.2 02:00:00:00:0d:02 stays
server 192.168.100.3 02:00:00:00:0d:03 passes
service masq6-udp masq udp 2001:db8::64 80 8080 1000 2001:db8:80:: -
server 2001:db8:2::2 02:00:00:00:0d:02 stays
server 2001:db8:2::3 02:00:00:00:0d:03 passes
service dr-udp gatewaying udp 10.0.0.101 80 80 1000 10.128.0.0 -
server 192.168.100.2 02:00:00:00:0d:02 stays
server 192.168.100.3 02:00:00:00:0d:03 passes
service ipip-tcp ipip tcp 10.0.0.102 80 80 1000 10.128.0.0 -
server 192.168.100.2 02:00:00:00:0d:02 stays
server 192.168.100.3 02:00:00:00:0d:03 stays
service ipip6-udp ipip udp 2001:db8::65 80 80 1000 2001:db8:80:: -
server 2001:db8:2::2 02:00:00:00:0d:02 stays
server 2001:db8:2::3 02:00:00:00:0d:03 stays
service fullnat-tcp fullnat tcp 10.0.0.103 80 8080 1000 10.128.0.0 192.168.101.1,192.168.101.2
server 192.168.100.2 02:00:00:00:0d:02 stays
server 192.168.100.3 02:00:00:00:0d:03 stays
";
const STRICT: Rules = Rules { sample: 1, udp_may_move: false, may_refuse: false };

fn plan() -> Arc<Plan> {
    Arc::new(Plan::parse(PLAN).expect("it is a plan"))
}

/// What an appliance without faults makes of a frame, which gives `flow` a server.
fn right(plan: &Plan, sent: &Sent, seen: Seen) -> (Wire, Vec<u8>) {
    let made = expected(plan, sent, seen.server, seen.local, 0);
    (made.wire, made.bytes().to_vec())
}

fn seen(flow: u32) -> Seen {
    Seen { server: (flow % 2) as u8, local: ((flow / 2 % 2) as u8, 1024 + flow as u16) }
}

/// A frame of each service in turn, from the client or, where those pass, from the server.
fn frames(plan: &Plan, count: u64) -> Vec<(Sent, Seen)> {
    let mut random = Rng::new(3);
    let one = |number: u64| {
        let service = random.below(plan.services.len()) as u16;
        let flow = random.below(1000) as u32;
        let known = &plan.services[usize::from(service)];
        let Seen { server, mut local } = seen(flow);
        if known.method != Method::Fullnat {
            local = (0, 0);
        }
        let back = known.method.has_replies() && random.below(2) == 0;
        let flags = if known.tcp { 0x10 } else { 0 };
        let from = back.then_some(server);
        (Sent { number, service, flow, flags, from, local }, Seen { server, local })
    };
    (1..=count).map(one).collect()
}

#[test]
fn what_is_right_passes_and_names_its_server() {
    let plan = plan();
    for (sent, seen) in frames(&plan, 5000) {
        let (wire, frame) = right(&plan, &sent, seen);
        assert_eq!(check(&plan, &sent, wire, &frame, None), Ok(seen), "{sent:?}");
        assert_eq!(check(&plan, &sent, wire, &frame, Some(seen)), Ok(seen), "{sent:?}");
    }
}

#[test]
fn every_fault_is_found_and_called_by_its_name() {
    let (plan, mut made) = (plan(), HashSet::new());
    for (sent, seen) in frames(&plan, 3000) {
        for (name, mutate) in MUTATIONS {
            let subject = Subject::new(&plan, sent, seen);
            let Some(wrong) = mutate(&subject) else { continue };
            let found = check(&plan, &wrong.sent, wrong.wire, &wrong.frame, Some(seen));
            let found = found.map_err(|wrong| wrong.fault);
            assert_eq!(found, Err(wrong.fault), "{name} of {sent:?}");
            made.insert(name);
        }
    }
    assert_eq!(made.len(), MUTATIONS.len(), "each fault was made: {made:?}");
}

#[test]
fn any_changed_bit_is_found() {
    let plan = plan();
    for (sent, seen) in frames(&plan, 60) {
        let (wire, frame) = right(&plan, &sent, seen);
        for bit in 0..8 * frame.len().min(120) {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let found = check(&plan, &sent, wire, &changed, Some(seen));
            let service = &plan.services[usize::from(sent.service)];
            let is_id = matches!(service.method, Method::Ipip) && [18, 19].contains(&(bit / 8));
            let may_be_any = is_id && service.vip.is_ipv4() && !sent.is_whole();
            // Even a free identification is covered by the header's checksum.
            assert!(found.is_err(), "bit {bit} of {sent:?}, free: {may_be_any}");
        }
    }
}

#[test]
fn frames_that_come_twice_or_never_were_are_known() {
    let plan = plan();
    let mut ledger = Ledger::new(plan.clone());
    let sent = ledger.send(Sent { service: 2, flow: 7, ..Sent::default() });
    let (wire, mut frame) = right(&plan, &sent, Seen { server: 1, local: (0, 0) });
    let mut fault = |frame: &[u8]| match ledger.receive(wire, frame, STRICT) {
        Outcome::Wrong(_, wrong) => Some(wrong.fault),
        outcome => (outcome != Outcome::Right(sent)).then_some(Fault::Lost),
    };
    assert_eq!(fault(&frame), None);
    assert_eq!(fault(&frame), Some(Fault::Duplicate));
    let end = frame.len();
    frame[end - 4] = 9;
    assert_eq!(fault(&frame), Some(Fault::Unknown));
    frame[23] = 1;
    assert_eq!(fault(&frame), Some(Fault::Refused));
}

#[test]
fn only_udp_leaves_a_server_that_was_removed() {
    let plan = plan();
    let moves = |service: u16, from: u8, rules: Rules| {
        let mut ledger = Ledger::new(plan.clone());
        let mut pass = |server: u8| {
            let sent = ledger.send(Sent { service, flow: 7, flags: 0x10, ..Sent::default() });
            let (wire, frame) = right(&plan, &sent, Seen { server, local: (0, 0) });
            ledger.receive(wire, &frame, rules)
        };
        assert!(matches!(pass(from), Outcome::Right(_)));
        match pass(1 - from) {
            Outcome::Moved(_) => true,
            Outcome::Wrong(_, wrong) => {
                assert_eq!(wrong.fault, Fault::Moved);
                false
            }
            other => panic!("{other:?}"),
        }
    };
    let lax = Rules { udp_may_move: true, ..STRICT };
    assert_eq!([moves(2, 0, STRICT), moves(2, 1, STRICT), moves(2, 0, lax)], [false, true, true]);
    assert_eq!([moves(0, 1, STRICT), moves(0, 1, lax)], [false, false], "TCP waits for it");
}

#[test]
fn no_two_flows_share_a_local_end() {
    let plan = plan();
    let mut ledger = Ledger::new(plan.clone());
    let mut pass = |flow: u32, seen: Seen| {
        let sent = ledger.send(Sent { service: 5, flow, flags: 0x10, ..Sent::default() });
        let (wire, frame) = right(&plan, &sent, seen);
        match ledger.receive(wire, &frame, STRICT) {
            Outcome::Wrong(_, wrong) => Some(wrong.fault),
            _ => None,
        }
    };
    let local = (1, 4000);
    assert_eq!(pass(1, Seen { server: 0, local }), None);
    assert_eq!(pass(2, Seen { server: 1, local }), None, "towards another server");
    assert_eq!(pass(3, Seen { server: 0, local }), Some(Fault::LocalEnd));
    assert_eq!(pass(1, Seen { server: 0, local: (1, 4001) }), Some(Fault::LocalEnd));
}

#[test]
fn what_did_not_come_is_counted() {
    let plan = plan();
    let mut ledger = Ledger::new(plan.clone());
    for flow in 0..100_000 {
        ledger.send(Sent { service: 0, flow: flow % 1000, ..Sent::default() });
    }
    assert_eq!(ledger.give_up(), vec![100_000, 0, 0, 0, 0, 0]);
    assert_eq!(ledger.give_up(), vec![0; 6]);
}
