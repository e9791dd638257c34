//! What is Linux's, with its class, and what is nobody's.

use crate::rig::*;
use dataplane::ids::InterfaceId;
use dataplane::limits::PUNT_RING;
use dataplane::service::ForwardingMethod::Masq;
use dataplane::testing::Frame;
use dataplane::testing::control::{tcp, udp};
use dataplane::verdict::{DropReason, PuntClass};
use dataplane::wire::tcp::flags::{ACK, FIN, RST, SYN};

fn serving() -> Rig {
    Rig::serving(tcp(VIP, 80), Masq, 2)
}

#[test]
fn packets_no_service_takes_are_punted_unchanged_with_their_class() {
    let mut rig = serving();
    let cases = [
        (PuntClass::Rest, Frame::tcp(CLIENT, 4000, VIP, 81)),
        (PuntClass::Rest, Frame::udp(CLIENT, 4000, VIP, 80)),
        (PuntClass::Control, Frame::tcp(CLIENT, 4000, 0x0a00_0001, 179)),
        (PuntClass::Control, Frame::tcp(CLIENT, 80, 0x0a00_0001, 40000).flags(SYN | ACK)),
        (PuntClass::Rest, Frame::tcp(CLIENT, 80, 0x0a00_0001, 40000)),
        (PuntClass::Icmp, Frame::icmp(CLIENT, VIP, 8, 0, 1).payload(b"ping")),
        (PuntClass::Control, Frame::raw(CLIENT, 0xe000_0012, 112, &[0; 20])),
        (PuntClass::Rest, Frame::raw(CLIENT, VIP, 47, &[0; 20])),
        (PuntClass::Rest, Frame::udp(CLIENT, 4000, 0x0808_0808, 53).padding(9)),
    ];
    for (class, frame) in cases {
        rig.check("Linux's", &[(C, &frame)], expect().punts(class, C, &frame));
    }
    let tagged = Frame::tcp(CLIENT, 4000, VIP, 81).tag(VLAN_C);
    let expected = expect().punts_from(PuntClass::Rest, TAGGED_C, &tagged.build());
    rig.check("with its tag", &[(C, &tagged)], expected);
    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0x0c, 1, 8, 6]);
    arp.resize(60, 0);
    let expected = expect().punts_from(PuntClass::Neighbor, InterfaceId(0), &arp);
    rig.check_bytes("ARP", &[(C, arp)], expected);
}

#[test]
fn tcp_without_a_conn_and_without_syn_is_linuxs() {
    let mut rig = serving();
    for flags in [0, ACK, FIN, FIN | ACK, RST, RST | ACK, SYN | RST] {
        let frame = Frame::tcp(CLIENT, 4000, VIP, 80).flags(flags);
        let expected = expect().punts(PuntClass::Rest, C, &frame);
        rig.check(&format!("flags {flags:#x}"), &[(C, &frame)], expected);
    }
    let ftp_data = Frame::tcp(CLIENT, 20, VIP, 80);
    rig.check("FTP data", &[(C, &ftp_data)], expect().punts(PuntClass::Rest, C, &ftp_data));
}

#[test]
fn frames_that_are_nobodys_are_dropped_by_name() {
    let mut rig = serving();
    let syn = Frame::tcp(CLIENT, 4000, VIP, 80);
    let dropped = |reason| expect().drops(reason, 1);
    let stranger = syn.clone().macs([2, 9, 9, 9, 9, 9], [2, 0, 0, 0, 0x0c, 1]);
    rig.check("another's", &[(C, &stranger)], dropped(DropReason::NotOurMac));
    rig.check("VLAN", &[(C, &syn.clone().tag(7))], dropped(DropReason::UnknownVlan));
    rig.check("VLAN of C on S", &[(S, &syn.clone().tag(VLAN_C))], dropped(DropReason::UnknownVlan));
    let bad = syn.clone().bad_ip_checksum();
    rig.check("IP checksum", &[(C, &bad)], dropped(DropReason::BadIpChecksum));
    let frame = syn.build();
    rig.check_bytes("cut", &[(C, frame[..13].to_vec())], dropped(DropReason::TruncatedL2));
    rig.check_bytes("cut", &[(C, frame[..33].to_vec())], dropped(DropReason::BadIpHeader));
}

#[test]
fn a_frame_to_a_group_is_never_a_flow() {
    let mut rig = serving();
    let frame = Frame::tcp(CLIENT, 4000, VIP, 80).macs([0xff; 6], [2, 0, 0, 0, 0x0c, 1]);
    rig.check("broadcast SYN", &[(C, &frame)], expect().punts(PuntClass::Rest, C, &frame));
}

#[test]
fn without_a_twin_what_is_linuxs_is_dropped() {
    let mut rig = Rig::with(|config| config.interfaces[0].twin = false);
    rig.add(udp(VIP, 53), Masq, 1);
    rig.publish();
    let frame = Frame::udp(CLIENT, 4000, VIP, 54);
    rig.check("no twin", &[(C, &frame)], expect().drops(DropReason::NoTwin, 1));
    let frame = from_server(1, frame);
    rig.check("twin", &[(S, &frame)], expect().punts(PuntClass::Rest, S, &frame));
}

#[test]
fn a_full_punt_ring_drops_its_class_and_no_other() {
    let mut rig = serving();
    let flood = Frame::tcp(CLIENT, 4000, VIP, 81);
    let ping = Frame::icmp(CLIENT, VIP, 8, 0, 1);
    let room = PUNT_RING[PuntClass::Rest.index()];
    let mut frames = vec![(C, &flood); room + 3];
    frames.push((C, &ping));
    // In order of priority, as the twin's thread takes them.
    let mut expected = expect().drops(DropReason::PuntFull, 3).punts(PuntClass::Icmp, C, &ping);
    for _ in 0..room {
        expected = expected.punts(PuntClass::Rest, C, &flood);
    }
    rig.check("flood and ping", &frames, expected);
}
