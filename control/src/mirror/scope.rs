//! Link-local gateways of IPv6, which name a station only together with a link.
//!
//! A next hop's target is one address whatever its interface, so the target of such a gateway has
//! its interface in the second 16 bits, which are 0 on the wire (RFC 4291 section 2.5.6). BSD's
//! kernels keep link-local addresses so, too.

use dataplane::ids::InterfaceId;
use std::net::{IpAddr, Ipv6Addr};

const SECOND: u32 = 96;

/// Whether packets to the address never leave its link: what they need Linux knows.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// The target that stands for a neighbour's address on an interface.
pub(super) fn target_on(interface: InterfaceId, address: IpAddr) -> IpAddr {
    let scope = (interface.index() as u128 + 1) << SECOND;
    with_second(address, scope)
}

/// The address that the neighbour has on the wire.
pub(super) fn on_the_wire(target: IpAddr) -> IpAddr {
    with_second(target, 0)
}

fn with_second(address: IpAddr, bits: u128) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let rest = v6.to_bits() & !(0xffff << SECOND);
            Ipv6Addr::from_bits(rest | bits).into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gateway_on_two_links_is_two_targets_and_back_one_address() {
        let gateway: IpAddr = "fe80::1".parse().unwrap();
        let targets = [0, 300].map(|id| target_on(InterfaceId(id), gateway));
        assert_eq!(targets.map(|target| target.to_string()), ["fe80:1::1", "fe80:12d::1"]);
        assert_eq!(targets.map(on_the_wire), [gateway; 2]);
        for other in ["10.0.0.1", "2001:db8::1"].map(|text| text.parse().unwrap()) {
            assert_eq!(target_on(InterfaceId(1), other), other);
            assert_eq!(on_the_wire(other), other);
        }
    }
}
