//! Frames that the kernel's IPVS sent through tunnels, from the recorded traces.

use super::super::fragment as cut_v6;
use super::super::{Outer, Unfinished, encapsulate, source_port};
use super::{Encap, Ends, GueChecksum, Inner, ends, inner_of, word};
use crate::address::Family;
use crate::forward::fragment::fragment as cut_v4;
use crate::ids::PortId;
use crate::io::Packet;
use crate::io::sim::{SimPacket, SimPool};
use crate::testing::{assert_frames_equal, from_hex, naive_checksum};
use serde_json::Value;
use std::collections::HashMap;

const MTU: u16 = 1500;

/// The steps of a trace.
pub fn steps(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{path}: {cause}"));
    let mut trace: Value = serde_json::from_str(&text).expect("JSON");
    std::mem::take(trace["steps"].as_array_mut().expect("steps"))
}

pub fn frame_of(step: &Value) -> Vec<u8> {
    from_hex(step["frame"].as_str().expect("a frame"))
}

/// The tunnel of each service, named by its family and port, from the trace's ipvsadm lines.
pub fn tunnels(steps: &[Value]) -> HashMap<(Family, u16), Outer> {
    let added = steps.iter().filter(|step| step["op"] == "ipvsadm" && step["rc"] == 0);
    added.filter_map(|step| tunnel(step["args"].as_str().expect("arguments"))).collect()
}

/// The service and tunnel of `-a -t VIP:port -r RIP:port -i …`.
fn tunnel(args: &str) -> Option<((Family, u16), Outer)> {
    let words: Vec<&str> = args.split_whitespace().collect();
    let after = |name: &str| words.iter().skip_while(|word| **word != name).nth(1).copied();
    if words[0] != "-a" || !words.contains(&"-i") {
        return None;
    }
    let service = after("-t").or(after("-u"))?;
    let real = after("-r")?;
    let family = |end: &str| if end.starts_with('[') { Family::V6 } else { Family::V4 };
    let port = |end: &str| end.rsplit(':').next().expect("a port").parse().expect("a number");
    // 192.168.1.11 and 2001:db8:5::11 are both number 1.
    let address = real.rsplit_once(':').expect("a port").0.trim_end_matches(']');
    let number = address.as_bytes()[address.len() - 1] - b'0';
    let checksum = words.contains(&"--tun-csum");
    let encap = match after("--tun-type") {
        Some("gre") => Encap::Gre { checksum },
        Some("gue") => Encap::Gue {
            port: after("--tun-port")?.parse().expect("a number"),
            checksum: match (checksum, words.contains(&"--tun-remcsum")) {
                (true, _) => GueChecksum::Full,
                (_, true) => GueChecksum::Remote,
                _ => GueChecksum::Absent,
            },
        },
        _ => Encap::Ipip,
    };
    Some(((family(service), port(service)), Outer { encap, ends: ends(family(real), number) }))
}

/// The destination port of a whole TCP or UDP packet; `None` for others and fragments.
fn dport(frame: &[u8]) -> Option<u16> {
    let ip = &frame[14..];
    let (l4, proto, whole) = match ip[0] >> 4 {
        4 => (usize::from(ip[0] & 15) * 4, ip[9], word(ip, 6) & 0x3fff == 0),
        _ => (40, ip[6], true),
    };
    (whole && matches!(proto, 6 | 17)).then(|| word(ip, l4 + 2))
}

fn is_fragment(frame: &[u8]) -> bool {
    let ip = &frame[14..];
    if ip[0] >> 4 == 4 { word(ip, 6) & 0x3fff != 0 } else { ip[6] == 44 }
}

/// The frame that was cut into these, in order.
fn reassembled(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut whole = frames[0].clone();
    if !is_fragment(&whole) {
        assert_eq!(frames.len(), 1);
        return whole;
    }
    let v4 = whole[14] >> 4 == 4;
    let data = if v4 { 34 } else { 62 };
    whole.extend(frames[1..].iter().flat_map(|frame| &frame[data..]));
    if v4 {
        let len = (whole.len() - 14) as u16;
        whole[16..18].copy_from_slice(&len.to_be_bytes());
        whole[20..22].fill(0);
        whole[24..26].fill(0);
        let check = naive_checksum(&whole[14..34]);
        whole[24..26].copy_from_slice(&check.to_be_bytes());
    } else {
        whole[20] = whole[54];
        whole.drain(54..62);
        let len = (whole.len() - 54) as u16;
        whole[18..20].copy_from_slice(&len.to_be_bytes());
    }
    whole
}

/// The entropy that gives the source port which the kernel chose.
fn entropy_of(outer: &Outer, whole: &[u8]) -> u16 {
    if !matches!(outer.encap, Encap::Gue { .. }) {
        return 0;
    }
    let port = word(whole, if whole[14] >> 4 == 4 { 34 } else { 54 });
    (0..=u16::MAX).find(|&entropy| source_port(entropy) == port).expect("a port of the range")
}

/// What was compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    whole: usize,
    cut: usize,
    refused: usize,
}

/// Compares what becomes of every packet from the client with what the kernel made of it.
fn replay(name: &str, pmtu_disc: bool) -> Counts {
    let steps = steps(name);
    let tunnels = tunnels(&steps);
    let mut counts = Counts::default();
    for (at, step) in steps.iter().enumerate() {
        if step["op"] != "send" || step["port"] != "c" {
            continue;
        }
        let came = steps[at + 1..].iter().take_while(|step| step["op"] == "recv");
        let came: Vec<&Value> = came.collect();
        let sent = frame_of(step);
        let inner = Inner { unfinished: unfinished(step), ..inner_of(&sent) };
        let of_family = || tunnels.iter().find(|(key, _)| key.0 == inner.family).map(|(_, t)| t);
        let of_port = |port| tunnels.get(&(inner.family, port));
        let (Some(outer), false) = (dport(&sent).map_or_else(of_family, of_port), came.is_empty())
        else {
            continue;
        };
        if is_fragment(&sent) || inner.ttl < 2 {
            continue;
        }
        let what = format!("{name}, step {at}");
        let frames: Vec<Vec<u8>> = came.iter().map(|step| frame_of(step)).collect();
        if came[0]["port"] == "c" {
            assert_eq!(told_mtu(&frames[0]), mtu(&inner, outer), "{what}");
            assert!(inner.ip_len > mtu(&inner, outer), "{what}");
            counts.refused += 1;
            continue;
        }
        let packet = compare(&sent, &reassembled(&frames), &inner, outer, pmtu_disc, &what);
        if frames.len() > 1 {
            compare_pieces(packet, &frames, &what);
        }
        assert_eq!(frames.len() > 1, inner.ip_len > mtu(&inner, outer), "{what}");
        *if frames.len() > 1 { &mut counts.cut } else { &mut counts.whole } += 1;
    }
    counts
}

fn unfinished(step: &Value) -> Option<Unfinished> {
    let offset = |at: usize| step["partial"][at].as_u64().map(|offset| offset as u16);
    let start = offset(0)? - 14;
    Some(Unfinished { start, field: start + offset(1)? })
}

fn mtu(inner: &Inner, outer: &Outer) -> u16 {
    outer.encap.tunnel_mtu(MTU, outer.ends.family()) - inner.option_len(outer.encap) as u16
}

/// The MTU in fragmentation-needed or packet-too-big.
fn told_mtu(frame: &[u8]) -> u16 {
    let (l4, kind) = if frame[14] >> 4 == 4 { (34, 3) } else { (54, 2) };
    assert_eq!(frame[l4], kind);
    word(frame, l4 + 6)
}

/// Gives the packet, which is as the kernel's.
fn compare(
    sent: &[u8],
    came: &[u8],
    inner: &Inner,
    outer: &Outer,
    pmtu_disc: bool,
    what: &str,
) -> SimPacket {
    let over_v4 = matches!(outer.ends, Ends::V4 { .. });
    let (df, id) = (word(came, 20) == 0x4000, word(came, 18));
    if over_v4 {
        assert_eq!(df, inner.outer_df(pmtu_disc), "{what}: DF");
    }
    let mut packet = SimPacket::new(sent, PortId(0));
    let id = (over_v4 && !df).then_some(id);
    assert!(encapsulate(&mut packet, inner, outer, id, entropy_of(outer, came)));
    packet.bytes_mut()[..12].copy_from_slice(&came[..12]);
    assert_frames_equal(packet.bytes(), came, what);
    packet
}

/// Cuts the packet and compares all fragments with the kernel's.
fn compare_pieces(mut packet: SimPacket, frames: &[Vec<u8>], what: &str) {
    let (mut pool, mut pieces, first) = (SimPool::new(4), Vec::new(), &frames[0]);
    let cut = if first[14] >> 4 == 4 {
        cut_v4(&mut packet, 14, MTU, &mut pool, &mut pieces, 4)
    } else {
        let id = u32::from(word(first, 58)) << 16 | u32::from(word(first, 60));
        cut_v6(&mut packet, 14, MTU, id, &mut pool, &mut pieces, 4)
    };
    pieces.insert(0, packet);
    assert_eq!((cut, pieces.len()), (true, frames.len()), "{what}");
    for (piece, frame) in pieces.iter().zip(frames) {
        assert_frames_equal(piece.bytes(), frame, what);
    }
}

fn counts(whole: usize, cut: usize, refused: usize) -> Counts {
    Counts { whole, cut, refused }
}

#[test]
fn ipip_equals_the_kernels() {
    assert_eq!(replay("tun_ipip_v4", true), counts(38, 3, 3));
    assert_eq!(replay("tun_ipip_v4_pmtu_disc0", false), counts(38, 6, 0));
    assert_eq!(replay("tun_ipip_v6", true), counts(10, 0, 14));
    assert_eq!(replay("tun_mixed_family", true), counts(4, 0, 2));
}

#[test]
fn gre_equals_the_kernels() {
    assert_eq!(replay("tun_gre_v4", true), counts(32, 6, 6));
    assert_eq!(replay("tun_gre_csum_v4", true), counts(28, 8, 8));
    assert_eq!(replay("tun_gre_v6", true), counts(9, 0, 15));
    assert_eq!(replay("tun_gre_csum_v6", true), counts(9, 0, 15));
}

#[test]
fn gue_equals_the_kernels() {
    assert_eq!(replay("tun_gue_v4", true), counts(24, 10, 10));
    assert_eq!(replay("tun_gue_csum_v4", true), counts(24, 10, 10));
    assert_eq!(replay("tun_gue_v6", true), counts(9, 0, 15));
    assert_eq!(replay("tun_gue_csum_v6", true), counts(9, 0, 15));
}

#[test]
fn remote_checksum_offload_equals_the_kernels_for_finished_and_unfinished_packets() {
    assert_eq!(replay("tun_gue_remcsum_v4", true), counts(24, 10, 10));
    assert_eq!(replay("tun_gue_remcsum_v6", true), counts(9, 0, 15));
    assert_eq!(replay("leaf/tun_gue_remcsum_partial", true), counts(60, 0, 34));
}

#[test]
fn either_family_in_either_equals_the_kernels_for_every_encapsulation() {
    assert_eq!(replay("leaf/tun_mixed_encaps", true), counts(42, 12, 24));
}
