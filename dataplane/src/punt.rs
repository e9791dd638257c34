//! With which class a packet goes to the kernel twin.

use crate::flow::protocol;
use crate::parse::{Content, Headers, Parsed};
use crate::verdict::PuntClass;
use crate::wire::tcp::flags;

/// VRRP, RFC 9568.
const VRRP: u8 = 112;
/// BGP over TCP, RFC 4271.
const BGP: u16 = 179;
/// BFD over UDP: control and echo (RFC 5881 section 4), multihop (RFC 5883 section 5).
const BFD: [u16; 3] = [3784, 3785, 4784];
/// First port that Linux gives sockets of its own accord (`ip_local_port_range`).
const EPHEMERAL: u16 = 32768;

/// The class of a frame that goes to the twin; a packet to be dropped has none.
pub fn class(parsed: &Parsed) -> Option<PuntClass> {
    match parsed {
        Parsed::V4(content) => Some(class_of_content(content)),
        Parsed::V6(content) => Some(class_of_content(content)),
        Parsed::Other(class, _) => Some(*class),
        Parsed::Drop(_) => None,
    }
}

fn class_of_content<A>(content: &Content<A>) -> PuntClass {
    match content {
        Content::Flow(headers) | Content::CutFlow(headers) => class_of_flow(headers),
        Content::Riding(_) => PuntClass::Rest,
        Content::Icmp(_) => PuntClass::Icmp,
        Content::Fragment(fragment) => class_of_protocol(fragment.headers.key.proto),
    }
}

/// The class of a packet of a protocol with ports.
#[inline]
pub fn class_of_flow<A>(headers: &Headers<A>) -> PuntClass {
    let key = &headers.key;
    class_of_ports(key.proto, key.sport, key.dport, headers.event)
}

/// The class of a packet of TCP or UDP by its ports and, for TCP, flags. Answers to the director's
/// own sessions (health checks) are segments other than opening ones to an ephemeral port: a flood
/// of SYNs is never among them.
pub fn class_of_ports(proto: u8, sport: u16, dport: u16, tcp_flags: u8) -> PuntClass {
    let answer = dport >= EPHEMERAL && tcp_flags & (flags::ACK | flags::RST) != 0;
    let control = match proto {
        protocol::TCP => answer || sport == BGP || dport == BGP,
        protocol::UDP => BFD.contains(&dport),
        _ => false,
    };
    if control { PuntClass::Control } else { PuntClass::Rest }
}

/// The class of a packet of which only the protocol is known.
pub fn class_of_protocol(proto: u8) -> PuntClass {
    match proto {
        VRRP => PuntClass::Control,
        protocol::ICMP | protocol::ICMPV6 => PuntClass::Icmp,
        _ => PuntClass::Rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;
    use crate::testing::Frame;

    fn class_of(frame: Frame) -> PuntClass {
        class(&parse(&frame.build())).expect("not dropped")
    }

    #[test]
    fn routing_and_liveness_protocols_are_control() {
        assert_eq!(class_of(Frame::raw(1, 0xe000_0012, 112, &[0; 20])), PuntClass::Control);
        assert_eq!(class_of(Frame::tcp(1, 40000, 2, 179)), PuntClass::Control);
        assert_eq!(class_of(Frame::tcp(1, 179, 2, 40000)), PuntClass::Control);
        for port in BFD {
            assert_eq!(class_of(Frame::udp(1, 49152, 2, port)), PuntClass::Control);
        }
    }

    #[test]
    fn a_syn_is_never_control_but_the_answer_to_our_own_is() {
        assert_eq!(class_of(Frame::tcp(1, 80, 2, 40000)), PuntClass::Rest);
        let answer = Frame::tcp(1, 80, 2, 40000).flags(flags::SYN | flags::ACK);
        assert_eq!(class_of(answer), PuntClass::Control);
        assert_eq!(class_of(Frame::tcp(1, 80, 2, 40000).flags(flags::RST)), PuntClass::Control);
        assert_eq!(class_of(Frame::tcp(1, 40000, 2, 22).flags(flags::ACK)), PuntClass::Rest);
    }

    #[test]
    fn icmp_and_its_fragments_are_icmp_and_all_else_is_the_rest() {
        assert_eq!(class_of(Frame::icmp(1, 2, 8, 0, 1)), PuntClass::Icmp);
        assert_eq!(class_of(Frame::icmp(1, 2, 8, 0, 1).fragment(0, true)), PuntClass::Icmp);
        assert_eq!(class_of(Frame::udp(1, 2, 3, 53)), PuntClass::Rest);
        assert_eq!(class_of(Frame::raw(1, 2, 47, &[0; 8])), PuntClass::Rest);
        assert_eq!(class(&parse(&[])), None);
    }
}
