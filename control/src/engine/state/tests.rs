use super::*;
use crate::rules::example::{fwmark, v4};
use crate::rules::{FullnatOptions, Persistence, RealServer, ServiceOptions};
use dataplane::address::Family;
use dataplane::forward::tunnel::Encap;
use dataplane::limits::MAX_DESTS;
use dataplane::sched::SchedulerKind;
use dataplane::service::ForwardingMethod;
use dataplane::service::persistence::ClientMask;
use dataplane::template::Engine;
use dataplane::time::ticks;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const WEB: ServiceKey = ServiceKey::Address { proto: 6, vip: v4(0x0a00_0064), vport: 80 };
const MARKED: ServiceKey = fwmark(1);
const RIP: IpAddr = v4(0xc0a8_6402);

fn nothing(_: DestId) -> DestTotals {
    DestTotals::default()
}

fn one_conn(_: DestId) -> DestTotals {
    DestTotals { inactive: 1, ..DestTotals::default() }
}

fn service(service: ServiceKey) -> RuleChange {
    RuleChange::AddService { service, options: SchedulerKind::Rr.into() }
}

fn server(rip: IpAddr, u_threshold: u32) -> RealServer {
    let method = ForwardingMethod::Masq;
    let tunnel = Encap::Ipip;
    RealServer { rip, rport: 80, method, tunnel, weight: 1, u_threshold, l_threshold: 0 }
}

fn add(service: ServiceKey, rip: IpAddr) -> RuleChange {
    RuleChange::AddServer { service, server: server(rip, 4) }
}

/// `count` servers, a hundred for each service.
fn many(count: usize) -> Vec<RuleChange> {
    let mut changes = Vec::new();
    for first in (0..count as u32).step_by(100) {
        let key = ServiceKey::Address { proto: 6, vip: v4(0x0a01_0000 + first), vport: 80 };
        let servers = first..(first + 100).min(count as u32);
        changes.push(service(key));
        changes.extend(servers.map(|server| add(key, v4(0x0b00_0000 + server))));
    }
    changes
}

impl State {
    fn change(&mut self, changes: &[RuleChange]) -> Result<Arc<ServiceTable>, Exhausted> {
        let desired = self.desired().clone().changed(changes, false).expect("it can be");
        self.install(desired, &HashMap::new(), nothing)
    }

    fn set_marks(&mut self, marks: &[MarkRule]) -> Arc<ServiceTable> {
        let desired = Desired { marks: marks.to_vec(), ..self.desired().clone() };
        self.install(desired, &HashMap::new(), nothing).expect("room")
    }
}

#[test]
fn a_change_beyond_the_limits_leaves_ids_as_they_were() {
    let mut state = State::default();
    state.change(&[service(WEB), add(WEB, RIP)]).expect("room");
    let before: Vec<DestId> = state.dests().collect();

    let refused = state.change(&many(MAX_DESTS - 1)).map(drop);
    assert_eq!(refused, Err(Exhausted::Dests));
    state.sweep(nothing);
    assert_eq!(state.dests().collect::<Vec<_>>(), before);
    assert_eq!((state.generation(), state.desired().rules.len()), (Generation(1), 1));

    let table = state.change(&many(MAX_DESTS - 2)).expect("just enough");
    assert!(table.dest(before[0]).is_some(), "it kept its id");
}

#[test]
fn what_is_unchanged_is_not_counted_anew() {
    let (mut state, readings) = (State::default(), Cell::new(0));
    let counted = |_| {
        readings.set(readings.get() + 1);
        DestTotals::default()
    };
    let desired = Desired::default().changed(&many(1000), false).expect("it can be");
    state.install(desired.clone(), &HashMap::new(), counted).expect("room");
    assert_eq!(readings.replace(0), 1000, "once for each new destination");
    state.install(desired, &HashMap::new(), counted).expect("room");
    state.sweep(counted);
    assert_eq!(readings.get(), 0);
}

#[test]
fn the_network_of_a_removed_mark_rule_stays_virtual_while_it_has_conns() {
    let rule = MarkRule { mark: 1, proto: None, dst: (v4(0x0a01_0000), 16), dports: None };
    let mut state = State::default();
    state.change(&[service(MARKED), add(MARKED, RIP)]).expect("room");
    assert!(state.set_marks(std::slice::from_ref(&rule)).is_vip(0x0a01_0005_u32));

    assert!(
        state.set_marks(&[]).is_vip(0x0a01_0005_u32),
        "before it is known whether it had conns"
    );
    state.sweep(one_conn);
    assert!(state.set_marks(&[]).is_vip(0x0a01_0005_u32));
    assert!(state.change(&[RuleChange::Flush]).expect("room").is_vip(0x0a01_0005_u32));
    state.sweep(one_conn);
    assert_eq!(state.marks(), [], "no rule of the operator's");

    state.sweep(nothing);
    assert!(!state.set_marks(&[]).is_vip(0x0a01_0005_u32));
    assert!(state.set_marks(&[rule]).is_vip(0x0a01_0005_u32));
    assert!(!state.set_marks(&[]).is_vip(0x0a01_0005_u32), "its mark has no service");
}

#[test]
fn a_higher_upper_threshold_ends_an_overload_and_others_do_not() {
    for (threshold, ends) in [(4, false), (3, false), (5, true), (0, true)] {
        let mut state = State::default();
        let table = state.change(&[service(WEB), add(WEB, RIP)]).expect("room");
        table.services()[0].dests[0].shared.overloaded.store(true, Relaxed);

        let server = server(RIP, threshold);
        let table = state.change(&[RuleChange::EditServer { service: WEB, server }]);
        let table = table.expect("room");
        let overloaded = table.services()[0].dests[0].shared.overloaded.load(Relaxed);
        assert_eq!(overloaded, !ends, "from 4 to {threshold}");
    }
}

#[test]
fn workers_get_persistence_in_ticks_with_every_address_by_itself() {
    let persistence = Some(Persistence { timeout: 60, mask: None });
    let engine = Some(Engine::Sip);
    let options = ServiceOptions { persistence, engine, ..ServiceOptions::default() };
    let mut state = State::default();
    let table = state.change(&[RuleChange::AddService { service: WEB, options }]).expect("room");
    let compiled = table.services()[0].persistence.expect("it is persistent");
    let exact = ClientMask::exact(Family::V4);
    assert_eq!((compiled.timeout, compiled.mask, compiled.engine), (ticks(60), exact, engine));
    let options = ServiceOptions { engine, one_packet: true, ..ServiceOptions::default() };
    let table = state.change(&[RuleChange::EditService { service: WEB, options }]).expect("room");
    let service = &table.services()[0];
    assert_eq!((service.persistence, service.one_packet), (None, true));
}

#[test]
fn a_template_keeps_the_id_of_a_removed_server() {
    let mut state = State::default();
    state.change(&[service(WEB), add(WEB, RIP)]).expect("room");
    let id = state.dests().next().expect("a server");
    let removed = RuleChange::DeleteServer { service: WEB, rip: RIP, rport: 80 };
    state.change(&[removed]).expect("room");
    state.sweep(|_| DestTotals { persistent: 1, ..DestTotals::default() });
    assert_eq!(state.dests().next(), Some(id));
    state.sweep(nothing);
    assert_eq!(state.dests().next(), None);
}

#[test]
fn a_tunnel_is_wrapped_as_the_rule_says_and_no_other_method_is() {
    let gre = Encap::Gre { checksum: true };
    for (method, encap) in [(ForwardingMethod::Ipip, gre), (ForwardingMethod::Masq, Encap::Ipip)] {
        let server = RealServer { method, tunnel: gre, ..server(RIP, 0) };
        let changes = [service(WEB), RuleChange::AddServer { service: WEB, server }];
        let desired = Desired::default().changed(&changes, false).expect("good rules");
        let mut state = State::default();
        let table = state.install(desired, &HashMap::new(), nothing).expect("room");
        assert_eq!(table.services()[0].dests[0].encap, encap);
    }
}

#[test]
fn a_local_address_keeps_its_index_whatever_becomes_of_its_service() {
    let mut state = State::default();
    let with = |service, locals: &[u32]| {
        let fullnat = FullnatOptions {
            local_addresses: locals.iter().map(|&local| v4(local)).collect(),
            ..FullnatOptions::default()
        };
        let options = ServiceOptions { fullnat, ..ServiceOptions::default() };
        RuleChange::AddService { service, options }
    };
    let table = state.change(&[with(WEB, &[7 << 24, 8 << 24])]).expect("room");
    assert_eq!(table.services()[0].fullnat.locals, [1, 2]);
    let gone = RuleChange::DeleteService { service: WEB };
    let table = state.change(&[gone, with(MARKED, &[9 << 24, 8 << 24])]).expect("room");
    assert_eq!(table.services()[0].fullnat.locals, [3, 2]);
    let locals = [(1, v4(7 << 24)), (2, v4(8 << 24)), (3, v4(9 << 24))];
    assert_eq!(table.locals(), locals, "conns may name all of them");
    state.sweep_locals(|_| 0);
    let table = state.change(&[]).expect("room");
    assert_eq!(table.locals(), &locals[1..], "no conn names the one that is gone");
}

#[test]
fn what_lblc_remembers_lasts_over_changes_until_its_service_is_deleted() {
    let of_kind =
        |kind: SchedulerKind| RuleChange::AddService { service: WEB, options: kind.into() };
    let locality = |table: Arc<ServiceTable>| table.services()[0].locality.clone().expect("lblc's");
    let mut state = State::default();
    let first =
        locality(state.change(&[of_kind(SchedulerKind::Lblc), add(WEB, RIP)]).expect("room"));
    let later = locality(state.change(&[add(WEB, v4(0xc0a8_6403))]).expect("room"));
    assert!(Arc::ptr_eq(&first, &later));
    state.change(&[RuleChange::DeleteService { service: WEB }]).expect("room");
    state.sweep(one_conn);
    let again = locality(state.change(&[of_kind(SchedulerKind::Lblc)]).expect("room"));
    assert!(!Arc::ptr_eq(&first, &again), "conns alone remember nothing");
}

#[test]
fn lblc_and_lblcr_remember_for_as_long_as_each_is_set() {
    let mut desired = Desired::default();
    for (key, value) in [("lblc_expiration", "60"), ("lblcr_expiration", "90")] {
        desired = desired.with_sysctl(key, value).expect("a good value");
    }
    for (kind, seconds) in [(SchedulerKind::Lblc, 60), (SchedulerKind::Lblcr, 90)] {
        let options = kind.into();
        let change = RuleChange::AddService { service: WEB, options };
        let desired = desired.clone().changed(&[change], false).expect("good rules");
        let table = State::default().install(desired, &HashMap::new(), nothing).expect("room");
        assert_eq!(table.services()[0].locality_expiration, ticks(seconds));
    }
}
