//! The order of listings.
//!
//! ipvsadm compares fwmark, family, protocol, address and port by subtracting unsigned words into
//! a signed int, so 10.0.0.1 comes after 192.168.1.1 and before 127.0.0.1. That is no total
//! order, hence the merge sort here: the C library's `qsort` of those days, whose result scripts
//! see, and which takes any comparison.

use crate::api::protocol::{DestListing, ServiceListing};
use dataplane::address::Family;
use dataplane::service::ServiceKey;
use std::net::IpAddr;

/// Linux's numbers of the families.
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

/// Services in ipvsadm's order.
pub fn services(services: &[ServiceListing]) -> Vec<&ServiceListing> {
    merge_sort(services.iter().collect(), &|a, b| {
        first_difference(service_words(a.key), service_words(b.key))
    })
}

/// Destinations of one service in ipvsadm's order.
pub fn dests(dests: &[DestListing]) -> Vec<&DestListing> {
    merge_sort(dests.iter().collect(), &|a, b| first_difference(dest_words(a), dest_words(b)))
}

/// Fwmark, family, protocol, address, port.
fn service_words(key: ServiceKey) -> [u32; 8] {
    let family = match key.family() {
        Family::V4 => AF_INET,
        Family::V6 => AF_INET6,
    };
    match key {
        ServiceKey::Address { proto, vip, vport } => {
            let [a, b, c, d] = address_words(vip);
            [0, family, proto.into(), a, b, c, d, vport.into()]
        }
        ServiceKey::Fwmark { mark, .. } => [mark, family, 0, 0, 0, 0, 0, 0],
    }
}

/// Family, address, port.
fn dest_words(dest: &DestListing) -> [u32; 6] {
    let family = if dest.server.rip.is_ipv4() { AF_INET } else { AF_INET6 };
    let [a, b, c, d] = address_words(dest.server.rip);
    [family, a, b, c, d, dest.server.rport.into()]
}

/// The words that are compared, in host order.
fn address_words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(address) => [address.to_bits(), 0, 0, 0],
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            [96, 64, 32, 0].map(|shift| (bits >> shift) as u32)
        }
    }
}

fn first_difference<const N: usize>(a: [u32; N], b: [u32; N]) -> i32 {
    let differences = a.into_iter().zip(b).map(|(a, b)| a.wrapping_sub(b) as i32);
    differences.into_iter().find(|&d| d != 0).unwrap_or(0)
}

fn merge_sort<T: Copy>(items: Vec<T>, compare: &impl Fn(T, T) -> i32) -> Vec<T> {
    if items.len() < 2 {
        return items;
    }
    let (low, high) = items.split_at(items.len() / 2);
    let low = merge_sort(low.to_vec(), compare);
    let high = merge_sort(high.to_vec(), compare);
    let (mut low, mut high) = (low.into_iter().peekable(), high.into_iter().peekable());
    let mut merged = Vec::with_capacity(items.len());
    while let (Some(&a), Some(&b)) = (low.peek(), high.peek()) {
        let from = if compare(a, b) <= 0 { &mut low } else { &mut high };
        merged.extend(from.next());
    }
    merged.extend(low);
    merged.extend(high);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(vip: [u8; 4]) -> ServiceKey {
        ServiceKey::Address { proto: 6, vip: vip.into(), vport: 80 }
    }

    fn sorted(keys: Vec<ServiceKey>) -> Vec<ServiceKey> {
        let compare = |a, b| first_difference(service_words(a), service_words(b));
        merge_sort(keys, &compare)
    }

    #[test]
    fn ten_comes_after_the_other_private_networks_and_before_loopback() {
        let ten = key([10, 0, 0, 1]);
        for first in [key([192, 168, 1, 1]), key([172, 16, 0, 1])] {
            assert_eq!(sorted(vec![ten, first]), [first, ten]);
            assert_eq!(sorted(vec![first, ten]), [first, ten]);
        }
        let loopback = key([127, 0, 0, 1]);
        assert_eq!(sorted(vec![loopback, ten]), [ten, loopback]);
    }

    #[test]
    fn protocols_come_in_order_of_their_numbers_and_fwmarks_last() {
        let udp = ServiceKey::Address { proto: 17, vip: [0, 0, 0, 1].into(), vport: 53 };
        let tcp = ServiceKey::Address { proto: 6, vip: [0, 0, 0, 2].into(), vport: 80 };
        let mark = ServiceKey::Fwmark { mark: 1, family: Family::V4 };
        assert_eq!(sorted(vec![mark, udp, tcp]), [tcp, udp, mark]);
    }

    #[test]
    fn a_comparison_in_a_circle_loses_and_doubles_nothing() {
        let circle = [key([10, 0, 0, 1]), key([120, 0, 0, 1]), key([200, 0, 0, 1])];
        let mut keys: Vec<ServiceKey> = circle.iter().copied().cycle().take(100).collect();
        let mut got = sorted(keys.clone());
        got.sort();
        keys.sort();
        assert_eq!(got, keys);
    }
}
