//! What real servers behind fullnat are told of the client: a TCP option, or a PROXY header.

use crate::rig::*;
use dataplane::app::proxy;
use dataplane::flow::protocol::TCP;
use dataplane::sched::SchedulerKind;
use dataplane::service::ClientAddress::{self, ProxyV1, ProxyV2, Toa};
use dataplane::service::ForwardingMethod::Fullnat;
use dataplane::testing::control::{Server, tcp};
use dataplane::testing::{Frame, assert_frames_equal};
use dataplane::verdict::DropReason;
use dataplane::wire::tcp::flags::{ACK, FIN, RST, SYN};
use std::sync::atomic::Ordering::Relaxed;

const LIP: u32 = 0xc0a8_0105;
/// The client's and the real server's first numbers; both go round in the test.
const ISN: u32 = u32::MAX - 3;
const SERVER_ISN: u32 = 7000;

/// A conn whose SYN has passed, and its local port.
struct Told {
    rig: Rig,
    lport: u16,
}

impl Told {
    fn new(how: ClientAddress) -> Told {
        Told::begun(how, |syn| syn, |syn| syn)
    }

    /// With a SYN that has something besides, which goes on as it is `left`.
    fn begun(
        how: ClientAddress,
        with: impl Fn(Frame) -> Frame,
        left: impl Fn(Frame) -> Frame,
    ) -> Told {
        let mut rig = Rig::new();
        let key = tcp(VIP, 80);
        rig.control.service(key, SchedulerKind::Rr);
        rig.control.server(key, Server::new(rip(1), 80, Fullnat));
        rig.control.fullnat(key, &[LIP], how);
        rig.publish();
        let syn = Frame::tcp(CLIENT, 4000, VIP, 80).flags(SYN).seq(ISN);
        rig.machine.feed(C, 0, &with(syn).build());
        rig.machine.settle(rig.now);
        let lport = rig.machine.conns(0).next_live(0).expect("a conn").1.lport;
        let mut told = Told { rig, lport };
        let syn = left(told.at_server(SYN, ISN, 0, b""));
        told.sent("SYN", &[(S, syn)]);
        let reply = told.reply(SYN | ACK, SERVER_ISN, 1, b"");
        told.check("SYN, ACK", (S, reply), &[(C, told.to_client(SYN | ACK, SERVER_ISN, 1, b""))]);
        told
    }

    /// A client's frame; `seq` counts from its SYN.
    fn request(&self, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Frame {
        let frame = Frame::tcp(CLIENT, 4000, VIP, 80).df();
        frame.flags(flags).seq(ISN.wrapping_add(seq)).ack(ack).payload(data)
    }

    fn at_server(&self, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Frame {
        let (dst, src) = to_server(1);
        let frame = Frame::tcp(LIP, self.lport, rip(1), 80).flags(flags).seq(seq).ack(ack);
        frame.payload(data).ttl(63).macs(dst, src)
    }

    fn behind(&self, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Frame {
        self.at_server(flags, ISN.wrapping_add(seq), ack, data).df()
    }

    fn reply(&self, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Frame {
        let frame = Frame::tcp(rip(1), 80, LIP, self.lport).flags(flags).seq(seq);
        from_server(1, frame.ack(ISN.wrapping_add(ack)).payload(data))
    }

    fn to_client(&self, flags: u8, seq: u32, ack: u32, data: &[u8]) -> Frame {
        let frame = Frame::tcp(VIP, 80, CLIENT, 4000).flags(flags).seq(seq);
        to_client(frame.ack(ISN.wrapping_add(ack)).payload(data).ttl(63))
    }

    fn sent(&mut self, what: &str, wanted: &[(dataplane::ids::PortId, Frame)]) {
        self.rig.machine.check();
        let sent = self.rig.machine.take_sent();
        assert_eq!(sent.len(), wanted.len(), "{what}");
        for (got, (port, frame)) in sent.iter().zip(wanted) {
            assert_eq!(got.0, *port, "{what}");
            assert_frames_equal(&got.1, &frame.build(), what);
        }
    }

    fn check(
        &mut self,
        what: &str,
        (port, frame): (dataplane::ids::PortId, Frame),
        wanted: &[(dataplane::ids::PortId, Frame)],
    ) {
        self.rig.machine.feed(port, 0, &frame.build());
        self.rig.machine.settle(self.rig.now);
        self.sent(what, wanted);
    }
}

#[test]
fn a_proxy_header_comes_before_the_first_byte_until_it_is_acknowledged() {
    for how in [ProxyV1, ProxyV2] {
        let mut told = Told::new(how);
        let (client, vip) = ((CLIENT, 4000), (VIP, 80));
        let header = if how == ProxyV1 { proxy::v1(client, vip) } else { proxy::v2(client, vip) };
        let len = header.len() as u32;
        let ack = SERVER_ISN + 1;
        // The handshake ends, and the header is there before the real server speaks.
        let wanted = told.behind(ACK, 1, ack, &header);
        told.check("ACK", (C, told.request(ACK, 1, ack, b"")), &[(S, wanted)]);
        // It was lost: the first data brings it again.
        let both = [&header[..], b"GET /"].concat();
        let wanted = told.behind(ACK, 1, ack, &both);
        told.check("data", (C, told.request(ACK, 1, ack, b"GET /")), &[(S, wanted)]);
        let wanted = told.behind(ACK, 6 + len, ack, b"more");
        told.check("more", (C, told.request(ACK, 6, ack, b"more")), &[(S, wanted)]);
        let wanted = told.to_client(ACK, ack, 6, b"hello");
        told.check("reply", (S, told.reply(ACK, ack, 6 + len, b"hello")), &[(C, wanted)]);
        // Repeated although it is acknowledged: in its place behind the header.
        let wanted = told.behind(ACK, 1 + len, ack, b"GET /");
        told.check("again", (C, told.request(ACK, 1, ack, b"GET /")), &[(S, wanted)]);
    }
}

#[test]
fn a_header_without_room_goes_in_a_segment_of_its_own() {
    let mut told = Told::new(ProxyV2);
    let header = proxy::v2((CLIENT, 4000), (VIP, 80));
    let data = vec![9; 1450];
    let wanted = [
        (S, told.behind(ACK, 1, 5, &header)),
        (S, told.behind(ACK | FIN, 1 + header.len() as u32, 5, &data)),
    ];
    let made = told.rig.machine.totals().made;
    told.check("large", (C, told.request(ACK | FIN, 1, 5, &data)), &wanted);
    assert_eq!(told.rig.machine.totals().made, made + 1);
    assert_eq!(told.rig.machine.live_packets(), 0);
}

#[test]
fn the_option_is_there_until_the_real_server_has_answered() {
    let mut told = Told::new(Toa);
    let option = [254, 8, 0x0f, 0xa0, 0xac, 0x10, 0, 1];
    let ack = SERVER_ISN + 1;
    let wanted = told.behind(ACK, 1, ack, b"").tcp_options(&option);
    told.check("ACK", (C, told.request(ACK, 1, ack, b"")), &[(S, wanted)]);
    let wanted = told.behind(ACK, 1, ack, b"GET /").tcp_options(&option);
    told.check("data", (C, told.request(ACK, 1, ack, b"GET /")), &[(S, wanted)]);
    // No room: without it, and counted.
    let (full, data) = (vec![1; 40], vec![9; 1460]);
    let wanted = told.behind(ACK, 6, ack, b"x").tcp_options(&full);
    let came = told.request(ACK, 6, ack, b"x").tcp_options(&full);
    told.check("full header", (C, came), &[(S, wanted)]);
    let wanted = told.behind(ACK, 7, ack, &data);
    told.check("full packet", (C, told.request(ACK, 7, ack, &data)), &[(S, wanted)]);
    assert_eq!(told.rig.machine.counters(0).toa_omitted.load(Relaxed), 2);
    // What has not accepted the connection sends these, too.
    for flags in [ACK, RST | ACK] {
        let wanted = told.to_client(flags, ack, 6, b"");
        told.check("nothing", (S, told.reply(flags, ack, 6, b"")), &[(C, wanted)]);
        let wanted = told.behind(ACK, 7, ack, b"y").tcp_options(&option);
        told.check("still", (C, told.request(ACK, 7, ack, b"y")), &[(S, wanted)]);
    }
    let wanted = told.to_client(ACK, ack, 8, b"hello");
    told.check("reply", (S, told.reply(ACK, ack, 8, b"hello")), &[(C, wanted)]);
    let wanted = told.behind(ACK, 8, ack, b"z");
    told.check("then", (C, told.request(ACK, 8, ack, b"z")), &[(S, wanted)]);
    // By the short way, too, a lie is none.
    let wanted = told.behind(ACK, 8, ack, b"z").tcp_options(&[1; 8]);
    let came = told.request(ACK, 8, ack, b"z").tcp_options(&[254, 8, 0, 80, 8, 8, 8, 8]);
    told.check("forged", (C, came), &[(S, wanted)]);
}

#[test]
fn a_client_cannot_speak_in_the_directors_stead() {
    let forged = [1, 254, 8, 0, 80, 8, 8, 8, 8, 1, 1, 1];
    let ours = [254, 8, 0x0f, 0xa0, 0xac, 0x10, 0, 1];
    let ack = SERVER_ISN + 1;
    for how in [Toa, ProxyV1, ClientAddress::None] {
        let mut told =
            Told::begun(how, |syn| syn.tcp_options(&forged), |syn| syn.tcp_options(&[1; 12]));
        let data = match how {
            ProxyV1 => proxy::v1((CLIENT, 4000), (VIP, 80)).to_vec(),
            _ => Vec::new(),
        };
        let blank = if how == Toa { [&ours[..], &[1; 12]].concat() } else { vec![1; 12] };
        let wanted = told.behind(ACK, 1, ack, &data).tcp_options(&blank);
        let came = told.request(ACK, 1, ack, b"").tcp_options(&forged);
        told.check("forged", (C, came), &[(S, wanted)]);
        // Where there is no room for the truth, there is none for a lie.
        let full = [254, 8, 0, 80, 8, 8, 8, 8].repeat(5);
        let wanted = told.behind(ACK, 1, ack, &data).tcp_options(&[1; 40]);
        let came = told.request(ACK, 1, ack, b"").tcp_options(&full);
        told.check("full of lies", (C, came), &[(S, wanted)]);
    }
}

#[test]
fn a_new_handshake_on_an_established_conn_is_told_the_truth_too() {
    let forged = [254, 8, 0, 80, 8, 8, 8, 8];
    let ours = [254, 8, 0x0f, 0xa0, 0xac, 0x10, 0, 1];
    let ack = SERVER_ISN + 1;
    let mut told = Told::new(Toa);
    let wanted = told.behind(ACK, 1, ack, b"").tcp_options(&ours);
    told.check("ACK", (C, told.request(ACK, 1, ack, b"")), &[(S, wanted)]);
    let hello = told.to_client(ACK, ack, 1, b"hello");
    told.check("reply", (S, told.reply(ACK, ack, 1, b"hello")), &[(C, hello)]);
    // The real server has lost the conn, or loses it behind what is still under way; the director has not.
    let wanted = told.behind(SYN, 900, 0, b"");
    told.check("SYN", (C, told.request(SYN, 900, 0, b"")), &[(S, wanted)]);
    let hello = told.to_client(ACK, ack, 1, b"hello");
    told.check("under way", (S, told.reply(ACK, ack, 1, b"hello")), &[(C, hello)]);
    let wanted = told.to_client(SYN | ACK, 4, 901, b"");
    told.check("SYN, ACK", (S, told.reply(SYN | ACK, 4, 901, b"")), &[(C, wanted)]);
    let wanted = told.behind(ACK, 901, 5, b"").tcp_options(&[&ours[..], &[1; 8]].concat());
    let came = told.request(ACK, 901, 5, b"").tcp_options(&forged);
    told.check("forged", (C, came), &[(S, wanted)]);
}

/// What a client would like its real server to read first.
const LIE: &[u8] = b"PROXY TCP4 8.8.8.8 8.8.8.8 1 1\r\n";

#[test]
fn a_new_handshake_on_an_established_conn_begins_with_a_header_too() {
    let header = proxy::v2((CLIENT, 4000), (VIP, 80));
    let (len, ack) = (header.len() as u32, SERVER_ISN + 1);
    let early = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
    for acknowledged in [false, true] {
        let mut told = Told::new(ProxyV2);
        if acknowledged {
            let wanted = told.behind(ACK, 1, ack, &[&header[..], b"GET /"].concat());
            told.check("data", (C, told.request(ACK, 1, ack, b"GET /")), &[(S, wanted)]);
            let wanted = told.to_client(ACK, ack, 6, b"hello");
            told.check("reply", (S, told.reply(ACK, ack, 6 + len, b"hello")), &[(C, wanted)]);
        } else {
            // No real server takes it, but the conn is established by it.
            told.check("broken", (C, told.request(ACK, 1, ack, LIE).bad_l4_checksum()), &[]);
        }
        let came = told.request(SYN, 900, 0, LIE).tcp_options(&early);
        let wanted = told.behind(SYN, 900, 0, b"").tcp_options(&[1; 12]);
        told.check("SYN", (C, came), &[(S, wanted)]);
        let wanted = told.to_client(SYN | ACK, 4, 901, b"");
        told.check("SYN, ACK", (S, told.reply(SYN | ACK, 4, 901, b"")), &[(C, wanted)]);
        let wanted = told.behind(ACK, 901, 5, &[&header[..], LIE].concat());
        told.check("lie", (C, told.request(ACK, 901, 5, LIE)), &[(S, wanted)]);
        let wanted = told.to_client(ACK, 5, 902, b"");
        told.check("reply", (S, told.reply(ACK, 5, 902 + len, b"")), &[(C, wanted)]);
        let wanted = told.behind(ACK, 902 + len, 5, b"more");
        told.check("more", (C, told.request(ACK, 902, 5, b"more")), &[(S, wanted)]);
    }
}

#[test]
fn a_client_alone_does_not_move_the_header() {
    let header = proxy::v2((CLIENT, 4000), (VIP, 80));
    let ack = SERVER_ISN + 1;
    let mut told = Told::new(ProxyV2);
    // The real server has the first SYN, and says so.
    for seq in [900, 1_u32.wrapping_sub(header.len() as u32)] {
        let wanted = told.behind(SYN, seq, 0, b"");
        told.check("SYN", (C, told.request(SYN, seq, 0, b"")), &[(S, wanted)]);
        let wanted = told.to_client(ACK, ack, 1, b"");
        told.check("no", (S, told.reply(ACK, ack, 1, b"")), &[(C, wanted)]);
    }
    // Nor does it speak from before its place.
    told.check("overlap", (C, told.request(ACK, 0, ack, b"xPROXY")), &[]);
    assert_eq!(told.rig.machine.totals().dropped[DropReason::BeforeProxyHeader.index()], 1);
    let probe = told.behind(ACK, 0, ack, b"x");
    told.check("keepalive", (C, told.request(ACK, 0, ack, b"x")), &[(S, probe)]);
    let wanted = told.behind(ACK, 1, ack, &[&header[..], LIE].concat());
    told.check("lie", (C, told.request(ACK, 1, ack, LIE)), &[(S, wanted)]);
}

#[test]
fn a_client_says_nothing_before_the_answer_to_its_syn() {
    let mut told = Told::new(ProxyV2);
    let other = |flags, seq| Frame::tcp(CLIENT, 4001, VIP, 80).flags(flags).seq(seq);
    let mut goes = |(port, frame): (dataplane::ids::PortId, Frame)| {
        told.rig.machine.feed(port, 0, &frame.build());
        told.rig.machine.settle(told.rig.now);
        let before_header = DropReason::BeforeProxyHeader.index();
        let sent = told.rig.machine.take_sent();
        (sent, told.rig.machine.totals().dropped[before_header])
    };
    let (syn, _) = goes((C, other(SYN, 5)));
    let lport = u16::from_be_bytes([syn[0].1[34], syn[0].1[35]]);
    let older = Frame::tcp(rip(1), 80, LIP, lport).flags(ACK).seq(7).ack(6);
    // Not even where an older SYN is still acknowledged; but a reset is no data.
    for (frame, sent, drops) in [
        ((S, from_server(1, older)), 1, 0),
        ((C, other(ACK, 6).payload(LIE)), 0, 1),
        ((C, other(RST, 6)), 1, 1),
    ] {
        let (frames, dropped) = goes(frame);
        assert_eq!((frames.len(), dropped), (sent, drops));
    }
}

#[test]
fn a_repeated_syn_ack_changes_nothing_that_matters() {
    let header = proxy::v2((CLIENT, 4000), (VIP, 80));
    let (len, ack) = (header.len() as u32, SERVER_ISN + 1);
    let mut told = Told::new(ProxyV2);
    let again = |told: &mut Told| {
        let wanted = told.to_client(SYN | ACK, SERVER_ISN, 1, b"");
        told.check("again", (S, told.reply(SYN | ACK, SERVER_ISN, 1, b"")), &[(C, wanted)]);
    };
    again(&mut told);
    let first = told.behind(ACK, 1, ack, &[&header[..], b"GET /"].concat());
    told.check("data", (C, told.request(ACK, 1, ack, b"GET /")), &[(S, first)]);
    let wanted = told.to_client(ACK, ack, 6, b"hello");
    told.check("reply", (S, told.reply(ACK, ack, 6 + len, b"hello")), &[(C, wanted)]);
    again(&mut told);
    let wanted = told.behind(ACK, 6 + len, ack, b"more");
    told.check("more", (C, told.request(ACK, 6, ack, b"more")), &[(S, wanted)]);
    // The same bytes at the same place as before.
    let first = told.behind(ACK, 1, ack, &[&header[..], b"GET /"].concat());
    told.check("once more", (C, told.request(ACK, 1, ack, b"GET /")), &[(S, first)]);
    let wanted = told.to_client(ACK, ack, 10, b"hello");
    told.check("reply", (S, told.reply(ACK, ack, 10 + len, b"hello")), &[(C, wanted)]);
    let wanted = told.behind(ACK, 1 + len, ack, b"GET /");
    told.check("in place", (C, told.request(ACK, 1, ack, b"GET /")), &[(S, wanted)]);
}

#[test]
fn first_fragments_lie_no_more_than_whole_packets() {
    let forged = [1, 254, 8, 0, 80, 8, 8, 8, 8, 1, 1, 1];
    let ack = SERVER_ISN + 1;
    let pieces = |(src, dst): (u32, u32), segment: &Frame, at: usize| {
        let l4 = &segment.build_ip()[20..];
        let piece = |from: usize, to, more| {
            Frame::raw(src, dst, TCP, &l4[from..to]).id(9).fragment(from as u16, more)
        };
        [piece(0, at, true), piece(at, l4.len(), false)]
    };
    let mut told = Told::new(ClientAddress::None);
    let came = told.request(ACK, 1, ack, &[7; 40]).tcp_options(&forged);
    let goes = told.behind(ACK, 1, ack, &[7; 40]).tcp_options(&[1; 12]);
    let (dst, src) = to_server(1);
    let goes = pieces((LIP, rip(1)), &goes, 40).map(|piece| piece.ttl(63).macs(dst, src));
    for (came, goes) in pieces((CLIENT, VIP), &came, 40).into_iter().zip(goes) {
        told.check("piece", (C, came), &[(S, goes)]);
    }
    // Half an option is none here, but will be one there.
    let [cut, _] = pieces((CLIENT, VIP), &came, 24);
    told.check("cut", (C, cut.id(10)), &[]);
    assert_eq!(told.rig.machine.totals().dropped[DropReason::FragmentTiny.index()], 1);
}

#[test]
fn data_in_a_syn_waits_for_what_the_real_server_is_to_be_told() {
    let fast_open = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
    let early = |syn: Frame| syn.tcp_options(&fast_open).payload(b"early");
    let ack = SERVER_ISN + 1;
    for how in [Toa, ProxyV2] {
        let mut told = Told::begun(how, early, |syn| syn.tcp_options(&[1; 12]));
        // The real server has acknowledged the SYN alone, and the client sends its data again.
        let wanted = match how {
            ProxyV2 => {
                let header = proxy::v2((CLIENT, 4000), (VIP, 80));
                told.behind(ACK, 1, ack, &[&header[..], b"early"].concat())
            }
            _ => {
                let option = [254, 8, 0x0f, 0xa0, 0xac, 0x10, 0, 1];
                told.behind(ACK, 1, ack, b"early").tcp_options(&option)
            }
        };
        told.check("again", (C, told.request(ACK, 1, ack, b"early")), &[(S, wanted)]);
    }
    // Who is told nothing loses nothing.
    Told::begun(ClientAddress::None, early, early);
}

#[test]
fn errors_quote_what_their_receiver_sent() {
    let header = proxy::v2((CLIENT, 4000), (VIP, 80));
    let (len, ack) = (header.len() as u32, SERVER_ISN + 1);
    let mut told = Told::new(ProxyV2);
    let wanted = told.behind(ACK, 1, ack, &[&header[..], b"GET /"].concat());
    told.check("data", (C, told.request(ACK, 1, ack, b"GET /")), &[(S, wanted)]);
    let wanted = told.behind(ACK, 6 + len, ack, b"more");
    told.check("more", (C, told.request(ACK, 6, ack, b"more")), &[(S, wanted)]);
    // To the client, about "more", which has other numbers at the real server.
    let about =
        |from, to, quoted: &Frame, len| Frame::icmp_error(from, to, 3, 1, &quoted.build(), len);
    let error = about(rip(1), LIP, &told.behind(ACK, 6 + len, ack, b"more"), 28);
    let quoted = told.request(ACK, 6, ack, b"more").ttl(63);
    let wanted = to_client(about(VIP, CLIENT, &quoted, 28).ttl(63));
    told.check("to the client", (S, from_server(1, error)), &[(C, wanted)]);
    // To the real server, about a reply that acknowledges "more".
    let error = about(0x0808_0808, VIP, &told.to_client(ACK, ack, 10, b""), 36);
    let quoted = told.reply(ACK, ack, 10 + len, b"").ttl(63);
    let (dst, src) = to_server(1);
    let wanted = about(LIP, rip(1), &quoted, 36).ttl(63).macs(dst, src);
    told.check("to the real server", (C, error), &[(S, wanted)]);

    let mut told = Told::new(Toa);
    let option = [254, 8, 0x0f, 0xa0, 0xac, 0x10, 0, 1];
    let at_server = told.behind(ACK, 1, ack, b"GET /").tcp_options(&option);
    told.check("data", (C, told.request(ACK, 1, ack, b"GET /")), &[(S, at_server)]);
    let at_server = told.behind(ACK, 1, ack, b"GET /").tcp_options(&option).build();
    let mut quoted = told.request(ACK, 1, ack, b"GET /").ttl(63).build();
    quoted[50..52].copy_from_slice(&at_server[50..52]);
    let error = Frame::icmp_error(rip(1), LIP, 3, 1, &at_server, 53);
    let wanted = to_client(Frame::icmp_error(VIP, CLIENT, 3, 1, &quoted, 45).ttl(63));
    told.check("without the option", (S, from_server(1, error)), &[(C, wanted)]);
}
