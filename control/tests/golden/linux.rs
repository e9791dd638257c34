//! Answers that Linux's own stack gives, not IPVS: in process there is no Linux, so a frame that
//! came out of the kernel this way is equal to the unchanged frame on the port's kernel twin.

use crate::trace::topology::{DIRECTOR, DIRECTOR_V6};

const IP: usize = 14;
/// RFC 4443 section 3.4.
const PARAMETER_PROBLEM: u8 = 4;

/// Kinds of them. Whatever fits none of these must come out of the director.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// RST of a port without a listener, from the address that was asked.
    Rst,
    /// ICMP from one of the director's own addresses, not from a VIP.
    RouterIcmp,
    /// The packet itself, routed: time to live one less, other MAC addresses.
    Routed,
    /// A reply of ARP.
    Arp,
    /// The answer to an echo request, from the address that was asked.
    Pong,
    /// ICMP from the address that was asked: nobody listens on the port, speaks the protocol, or can
    /// put the fragment together. To TCP Linux answers RST instead.
    Unreachable,
}

impl Answer {
    /// How many kinds there are.
    pub const COUNT: usize = 6;

    /// The kind of an answer to `sent`, if it is Linux's.
    pub fn of(sent: &[u8], answer: &[u8]) -> Option<Answer> {
        if [sent, answer].iter().any(|frame| frame[12..14] == [0x08, 0x06]) {
            return Some(Answer::Arp);
        }
        let both = |ethertype: [u8; 2]| [sent, answer].iter().all(|f| f[12..14] == ethertype);
        if both([0x86, 0xdd]) {
            return Answer::of_v6(sent, answer);
        }
        match answer.get(IP + 9) {
            _ if !both([0x08, 0x00]) => None,
            Some(6) if is_rst_to(sent, answer) => Some(Answer::Rst),
            Some(1) if is_pong_to(sent, answer) => Some(Answer::Pong),
            Some(1) if is_unreachable_to(sent, answer) => Some(Answer::Unreachable),
            Some(1) if DIRECTOR.contains(&source(answer)) => Some(Answer::RouterIcmp),
            _ => is_routed(sent, answer).then_some(Answer::Routed),
        }
    }

    /// The same of IPv6 without extension headers.
    fn of_v6(sent: &[u8], answer: &[u8]) -> Option<Answer> {
        let backwards = sent[22..38] == answer[38..54] && sent[38..54] == answer[22..38];
        let is_rst = answer.get(IP + 53).is_some_and(|flags| flags & 4 != 0);
        let kinds = [sent, answer].map(|frame| (frame[IP + 6], frame.get(IP + 40).copied()));
        let same_echo = sent.get(IP + 44..) == answer.get(IP + 44..);
        let from = u128::from_be_bytes(answer[22..38].try_into().expect("16 bytes"));
        match answer[IP + 6] {
            6 if is_rst && backwards => Some(Answer::Rst),
            58 if kinds == [(58, Some(128)), (58, Some(129))] && backwards && same_echo => {
                Some(Answer::Pong)
            }
            58 if DIRECTOR_V6.contains(&from) => Some(Answer::RouterIcmp),
            58 if kinds[1].1 == Some(PARAMETER_PROBLEM) && backwards => Some(Answer::Unreachable),
            _ => {
                let mut expected = sent.to_vec();
                expected[IP + 7] = expected[IP + 7].wrapping_sub(1);
                (expected[IP..] == answer[IP..]).then_some(Answer::Routed)
            }
        }
    }
}

fn source(frame: &[u8]) -> u32 {
    u32::from_be_bytes([frame[26], frame[27], frame[28], frame[29]])
}

fn is_rst_to(sent: &[u8], answer: &[u8]) -> bool {
    let rst = answer.get(47).is_some_and(|flags| flags & 4 != 0);
    rst && sent[26..30] == answer[30..34] && sent[30..34] == answer[26..30]
}

fn is_unreachable_to(sent: &[u8], answer: &[u8]) -> bool {
    let unreachable = matches!(answer.get(IP + 20..IP + 22), Some([3, 2 | 3]));
    let swapped = sent[26..30] == answer[30..34] && sent[30..34] == answer[26..30];
    unreachable && swapped && ![1, 6].contains(&sent[IP + 9])
}

/// Addresses swapped, identifier, number and data the same.
fn is_pong_to(sent: &[u8], answer: &[u8]) -> bool {
    let kinds = [sent, answer].map(|frame| (frame[IP + 9], frame.get(IP + 20).copied()));
    kinds == [(1, Some(8)), (1, Some(0))]
        && sent[26..30] == answer[30..34]
        && sent[30..34] == answer[26..30]
        && sent.get(IP + 24..) == answer.get(IP + 24..)
}

fn is_routed(sent: &[u8], answer: &[u8]) -> bool {
    let without_ttl = |frame: &[u8]| {
        let mut packet = frame[IP..].to_vec();
        // Padding of the frame is not routed.
        packet.truncate(u16::from_be_bytes([packet[2], packet[3]]).into());
        packet[8] = 0;
        packet[10..12].fill(0);
        packet
    };
    sent[IP + 8].checked_sub(1) == Some(answer[IP + 8]) && without_ttl(sent) == without_ttl(answer)
}

#[test]
fn only_what_linux_makes_is_taken_for_linuxs() {
    use dataplane::testing::Frame;
    let (client, vip) = (0xac10_0001, 0x0a00_0064);
    let sent = Frame::tcp(client, 4000, vip, 80).build();
    let rst = |flags| Frame::tcp(vip, 80, client, 4000).flags(flags).build();
    assert_eq!(Answer::of(&sent, &rst(4)), Some(Answer::Rst));
    assert_eq!(Answer::of(&sent, &rst(16)), None, "an ACK");
    let other = Frame::tcp(vip + 1, 80, client, 4000).flags(4).build();
    assert_eq!(Answer::of(&sent, &other), None, "RST from another address");
    let unreachable = |from| Frame::icmp(from, client, 3, 3, 0).build();
    assert_eq!(Answer::of(&sent, &unreachable(DIRECTOR[0])), Some(Answer::RouterIcmp));
    assert_eq!(Answer::of(&sent, &unreachable(vip)), None, "IPVS speaks for the VIP");
    let datagram = Frame::udp(client, 4000, vip, 53).build();
    assert_eq!(Answer::of(&datagram, &unreachable(vip)), Some(Answer::Unreachable));
    let host = Frame::icmp(vip, client, 3, 1, 0).build();
    assert_eq!(Answer::of(&datagram, &host), None, "what only a router says");
    let ping = Frame::icmp(client, vip, 8, 0, 7).payload(b"abc");
    let pong = Frame::icmp(vip, client, 0, 0, 7).payload(b"abc");
    assert_eq!(Answer::of(&ping.build(), &pong.build()), Some(Answer::Pong));
    assert_eq!(Answer::of(&ping.build(), &pong.payload(b"abd").build()), None, "other data");
    let mut routed = sent.clone();
    routed[IP + 8] -= 1;
    assert_eq!(Answer::of(&sent, &routed), Some(Answer::Routed));
    let padded = [&sent[..], &[0; 6]].concat();
    assert_eq!(Answer::of(&padded, &routed), Some(Answer::Routed));
    assert_eq!(Answer::of(&sent, &sent), None, "time to live was not decremented");
}
