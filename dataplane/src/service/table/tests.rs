//! Look-ups in tables of services and rules of both families.

use super::*;
use crate::address::Family;
use crate::flow::protocol::{TCP, UDP};
use crate::service::ServiceKey;
use crate::service::example::{dest, service};

const VIP: u32 = 0x0a00_0064;
const OTHER: u32 = 0x0a00_0065;
const VIP6: u128 = 0x2001_0db8 << 96 | 0x64;

fn to(proto: u8, dst: u32, dport: u16) -> FlowKey {
    FlowKey { src: 0xac10_0001, dst, sport: 4000, dport, proto }
}

fn address(proto: u8, vip: impl Address, vport: u16) -> ServiceKey {
    ServiceKey::Address { proto, vip: vip.ip(), vport }
}

fn fwmark(mark: u32) -> ServiceKey {
    ServiceKey::Fwmark { mark, family: Family::V4 }
}

fn rule(mark: u32, prefix: impl Address, len: u8) -> MarkRule {
    MarkRule { mark, proto: None, prefix: prefix.ip(), len, dports: 0..=u16::MAX }
}

fn table(keys: &[ServiceKey], marks: Vec<MarkRule>) -> ServiceTable {
    let services = (1..).zip(keys).map(|(id, &key)| Service { key, ..service(vec![dest(id, 1)]) });
    ServiceTable::new(Generation(1), services.collect(), marks, Settings::default(), &[])
}

#[test]
fn the_port_goes_before_any_port_and_the_protocol_must_fit() {
    let table =
        table(&[address(TCP, VIP, 0), address(TCP, VIP, 80), address(UDP, VIP, 53)], vec![]);
    assert_eq!(table.lookup(&to(TCP, VIP, 80)), Some(1));
    assert_eq!(table.lookup(&to(TCP, VIP, 81)), Some(0));
    assert_eq!(table.lookup(&to(UDP, VIP, 53)), Some(2));
    assert_eq!(table.lookup(&to(UDP, VIP, 80)), None);
    assert_eq!(table.lookup(&to(TCP, OTHER, 80)), None);
}

#[test]
fn a_mark_goes_before_the_address() {
    let keys = [address(TCP, VIP, 80), fwmark(7)];
    let only_tcp = MarkRule { proto: Some(TCP), dports: 80..=90, ..rule(7, VIP, 32) };
    let table = table(&keys, vec![only_tcp]);
    assert_eq!(table.lookup(&to(TCP, VIP, 80)), Some(1));
    assert_eq!(table.lookup(&to(TCP, VIP, 91)), None);
    assert_eq!(table.lookup(&to(UDP, VIP, 80)), None);
}

#[test]
fn a_mark_without_a_service_leaves_the_packet_to_the_address() {
    let keys = [address(TCP, VIP, 80), fwmark(1)];
    let table = table(&keys, vec![rule(7, VIP, 24), rule(1, VIP, 32)]);
    assert_eq!(table.lookup(&to(TCP, VIP, 80)), Some(0));
    assert!(table.is_vip(OTHER), "conns may have outlived the mark's service");
}

#[test]
fn the_first_rule_that_matches_gives_the_mark() {
    let keys = [fwmark(1), fwmark(2)];
    let table = table(&keys, vec![rule(2, VIP, 32), rule(1, VIP, 24)]);
    assert_eq!(table.lookup(&to(UDP, VIP, 9)), Some(1));
    assert_eq!(table.lookup(&to(UDP, OTHER, 9)), Some(0));
}

#[test]
fn virtual_are_service_addresses_marked_networks_and_lingering_addresses() {
    let services = vec![
        Service { key: address(TCP, VIP, 80), ..service(vec![]) },
        Service { key: fwmark(1), ..service(vec![]) },
    ];
    let marks = vec![rule(1, 0x0a01_0000_u32, 16)];
    let table =
        ServiceTable::new(Generation(1), services, marks, Settings::default(), &[9_u32.ip()]);
    for addr in [VIP, 0x0a01_0000, 0x0a01_ffff, 9] {
        assert!(table.is_vip(addr), "{addr:#x}");
    }
    for addr in [OTHER, 0x0a02_0000, 0x0a00_ffff, 0] {
        assert!(!table.is_vip(addr), "{addr:#x}");
    }
}

#[test]
fn a_removed_mark_rule_keeps_its_network_virtual_and_marks_nothing() {
    let keys = [address(TCP, VIP, 80), fwmark(1), fwmark(2)];
    let table = table(&keys, vec![rule(2, OTHER, 32)]);
    let table = table.with_removed_marks([rule(1, VIP, 24)]);
    assert!(table.is_vip(0x0a00_00c8_u32));
    assert_eq!(table.lookup(&to(TCP, 0x0a00_00c8, 80)), None, "its mark's service is live");
    assert_eq!(table.lookup(&to(TCP, VIP, 80)), Some(0), "the address is asked");
    assert_eq!(table.lookup(&to(TCP, OTHER, 80)), Some(2), "live rules go first");
}

#[test]
fn a_rule_of_length_0_covers_its_family_and_a_full_one_one_address() {
    let of = |rule| table(&[], vec![rule]);
    let all = of(rule(1, 5_u32, 0));
    assert!(all.is_vip(u32::MAX) && !all.is_vip(5_u128));
    let one = of(rule(1, 5_u32, 32));
    assert!(one.is_vip(5_u32) && !one.is_vip(4_u32));
    let all = of(rule(1, 5_u128, 0));
    assert!(all.is_vip(u128::MAX) && !all.is_vip(5_u32));
    let half = of(rule(1, VIP6, 64));
    assert!(half.is_vip(VIP6 | 0xffff) && !half.is_vip(VIP6 ^ 1 << 64));
}

#[test]
fn an_address_and_a_mark_are_another_service_in_each_family() {
    let keys = [
        address(TCP, VIP, 80),
        address(TCP, u128::from(VIP), 80),
        address(TCP, VIP6, 0),
        fwmark(1),
        ServiceKey::Fwmark { mark: 1, family: Family::V6 },
    ];
    let table = table(&keys, vec![rule(1, OTHER, 32), rule(1, VIP6 + 1, 128)]);
    let to6 = |dst| FlowKey { src: 1, dst, sport: 4000, dport: 80, proto: TCP };
    assert_eq!(table.lookup(&to(TCP, VIP, 80)), Some(0));
    assert_eq!(table.lookup(&to6(u128::from(VIP))), Some(1));
    assert_eq!(table.lookup(&to6(VIP6)), Some(2));
    assert_eq!(table.lookup(&to(TCP, OTHER, 80)), Some(3));
    assert_eq!(table.lookup(&to6(VIP6 + 1)), Some(4));
    assert!(table.is_from_client(&to6(VIP6)) && !table.is_from_client(&to6(VIP6 + 2)));
    let table = table.with_removed_marks([rule(2, VIP6 << 1, 128)]);
    assert!(table.is_vip(VIP6 << 1) && !table.is_vip((VIP6 << 1) as u32));
}

#[test]
fn destinations_are_found_by_id_and_removed_ones_only_by_their_counts() {
    let services = vec![service(vec![dest(3, 1), dest(1, 1)]), service(vec![dest(9, 4)])];
    let gone = Arc::new(DestShared::default());
    let table = ServiceTable::new(Generation(1), services, vec![], Settings::default(), &[])
        .with_removed(vec![(DestId(5), Arc::clone(&gone))]);
    assert_eq!(table.dest(DestId(9)).map(|dest| dest.weight), Some(4));
    assert_eq!(table.dest(DestId(1)).map(|dest| dest.id), Some(DestId(1)));
    assert_eq!(table.place(DestId(1)), Some((0, 1)));
    for id in [0, 2, 5, 10, 65_000] {
        assert!(table.dest(DestId(id)).is_none(), "{id}");
    }
    assert!(std::ptr::eq(table.shared(DestId(5)).unwrap(), &*gone));
    assert!(table.shared(DestId(3)).is_some() && table.shared(DestId(4)).is_none());
}
