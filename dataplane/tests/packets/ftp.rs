//! FTP by masq, with one worker and several: what control connections announce, where the data
//! connections go, and what is counted meanwhile.

use crate::rig::*;
use dataplane::conn::Conn;
use dataplane::ids::PortId;
use dataplane::owner;
use dataplane::proto::tcp::state;
use dataplane::service::ForwardingMethod::{Gatewaying, Masq};
use dataplane::testing::control::tcp;
use dataplane::testing::{Frame, verify};
use dataplane::verdict::DropReason;
use dataplane::wire::tcp::flags::{ACK, FIN, PSH, RST, SYN};
use std::sync::atomic::Ordering::Relaxed;

/// The control connection's client port.
const CONTROL: u16 = 4000;
/// Where the server listens: 200,10.
const PASSIVE: u16 = 51210;
/// What it answers, and what the client is to read: two bytes fewer.
const ANSWER: &[u8] = b"227 Entering Passive Mode (192,168,1,11,200,10)\r\n";
const SHOWN: &[u8] = b"227 Entering Passive Mode (10,0,0,100,200,10)\r\n";
/// Where the client listens: 100,5.
const ACTIVE: u16 = 25605;
const PORT: &[u8] = b"PORT 172,16,0,1,100,5\r\n";

/// A director with an FTP service of one real server, an established control connection, and the
/// sequence numbers of both ends' next segments.
struct Ftp {
    rig: Rig,
    client: u32,
    server: u32,
    /// How many bytes more the server sent than the client received.
    lost: u32,
}

impl Ftp {
    fn new(workers: usize) -> Ftp {
        let mut rig = Rig::with(|config| {
            config.workers = workers;
            config.queues = vec![workers; 2];
        });
        rig.add(tcp(VIP, 21), Masq, 1);
        rig.publish();
        let mut ftp = Ftp { rig, client: 1000, server: 9000, lost: 0 };
        ftp.client_says(SYN, b"");
        ftp.server_says(SYN | ACK, b"", b"");
        ftp.client_says(ACK, b"");
        ftp
    }

    /// What comes out for a frame that comes in by the queue of worker 0.
    fn pass(&mut self, port: PortId, frame: &Frame) -> Vec<(PortId, Vec<u8>)> {
        self.rig.machine.feed(port, 0, &frame.build());
        self.rig.machine.settle(self.rig.now);
        self.rig.machine.check();
        let sent = self.rig.machine.take_sent();
        for (_, frame) in &sent {
            let checks = verify(frame).expect("a whole frame");
            assert!(checks.ip && checks.l4 == Some(true), "checksums");
        }
        sent
    }

    /// A segment of the client arrives at the server, its acknowledgement as the server counts.
    fn client_says(&mut self, flags: u8, text: &[u8]) {
        let (seen, ack) = match flags {
            SYN => (0, 0),
            _ => (self.server - self.lost, self.server),
        };
        let segment = |dst, ack| {
            let frame = Frame::tcp(CLIENT, CONTROL, dst, 21).flags(flags);
            frame.seq(self.client).ack(ack).payload(text)
        };
        let (came, (dst, src)) = (segment(VIP, seen), to_server(1));
        let left = segment(rip(1), ack).ttl(63).macs(dst, src);
        assert_eq!(self.pass(C, &came), [(S, left.build())]);
        self.client += text.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
    }

    /// A segment of the server arrives at the client as `shown`.
    fn server_says(&mut self, flags: u8, text: &[u8], shown: &[u8]) {
        let (came, left) = self.answer(flags, text, shown);
        assert_eq!(self.pass(S, &came), [(C, left.build())]);
        self.server += text.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.lost += (text.len() - shown.len()) as u32;
    }

    /// The server's next segment as it comes and as it is to leave.
    fn answer(&self, flags: u8, text: &[u8], shown: &[u8]) -> (Frame, Frame) {
        let segment = |src, seq, text| {
            let frame = Frame::tcp(src, 21, CLIENT, CONTROL).flags(flags);
            frame.seq(seq).ack(self.client).payload(text)
        };
        let came = from_server(1, segment(rip(1), self.server, text));
        (came, to_client(segment(VIP, self.server - self.lost, shown).ttl(63)))
    }

    fn passive(&mut self) {
        self.client_says(PSH | ACK, b"PASV\r\n");
        self.server_says(PSH | ACK, ANSWER, SHOWN);
    }

    /// A packet of a data connection, both ports as the client knows them, out as it came but for
    /// the addresses.
    fn data(&mut self, from_client: bool, (cport, vport): (u16, u16), flags: u8) {
        let (came, port, left) = match from_client {
            true => {
                let (dst, src) = to_server(1);
                let left = Frame::tcp(CLIENT, cport, rip(1), vport).macs(dst, src);
                (Frame::tcp(CLIENT, cport, VIP, vport), C, (S, left))
            }
            false => {
                let came = from_server(1, Frame::tcp(rip(1), vport, CLIENT, cport));
                (came, S, (C, to_client(Frame::tcp(VIP, vport, CLIENT, cport))))
            }
        };
        let left = (left.0, left.1.flags(flags).ttl(63).build());
        assert_eq!(self.pass(port, &came.flags(flags)), [left], "{cport} {vport}");
    }

    /// The conn of a client's port, and the worker that has it.
    fn conn(&self, cport: u16) -> Option<(usize, Conn)> {
        let machine = &self.rig.machine;
        let of = |worker| machine.conns(worker).live_in(machine.conns(worker).ids());
        let all = (0..machine.workers()).flat_map(|worker| of(worker).map(move |c| (worker, *c.1)));
        let mut found = all.filter(|(_, conn)| conn.cport == cport);
        let first = found.next();
        assert!(found.next().is_none(), "one conn of port {cport}");
        first
    }

    /// Active and inactive conns of the real server over all workers, and what they share of it.
    fn load(&mut self) -> (u64, u64, u32) {
        let id = self.rig.id(tcp(VIP, 21), rip(1));
        let shared = self.rig.control.shared(id).conns.load(Relaxed);
        let machine = &self.rig.machine;
        let each = (0..machine.workers()).map(|worker| machine.counters(worker).dest(id).read());
        let sum = each.fold((0, 0), |sum, dest| (sum.0 + dest.active, sum.1 + dest.inactive));
        (sum.0, sum.1, shared)
    }

    /// Time passes, with all workers' housekeeping.
    fn wait(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.rig.pass(1);
            self.rig.machine.settle(self.rig.now);
        }
    }
}

fn owner_of(port: u16, workers: usize) -> usize {
    usize::from(owner::slot(CLIENT, port)) % workers
}

/// A port whose flow is not the control connection's worker's.
fn elsewhere(workers: usize) -> u16 {
    let home = owner_of(CONTROL, workers);
    (5000..).find(|port| workers == 1 || owner_of(*port, workers) != home).expect("most ports")
}

#[test]
fn a_passive_data_connection_is_its_own_workers() {
    for workers in [1, 3] {
        let (mut ftp, cport) = (Ftp::new(workers), elsewhere(workers));
        ftp.passive();
        assert_eq!(ftp.rig.machine.expect().len(), 1);
        assert_eq!(ftp.load(), (1, 1, 2), "it counts from its announcement on");

        ftp.data(true, (cport, PASSIVE), SYN);
        assert!(ftp.rig.machine.expect().is_empty());
        assert_eq!(ftp.load(), (2, 0, 2));
        ftp.data(false, (cport, PASSIVE), SYN | ACK);
        ftp.data(true, (cport, PASSIVE), ACK);
        let (worker, conn) = ftp.conn(cport).expect("a conn");
        assert_eq!((worker, conn.state), (owner_of(cport, workers), state::ESTABLISHED));
        assert_eq!(ftp.conn(CONTROL).expect("a conn").0, owner_of(CONTROL, workers));

        ftp.data(false, (cport, PASSIVE), FIN | ACK);
        ftp.data(true, (cport, PASSIVE), FIN | ACK);
        assert_eq!(ftp.load(), (1, 1, 2));
        ftp.wait(121 + 4);
        assert_eq!((ftp.conn(cport), ftp.load()), (None, (1, 0, 1)));
    }
}

#[test]
fn an_active_data_connection_is_its_own_workers() {
    for workers in [1, 3] {
        let mut ftp = Ftp::new(workers);
        ftp.client_says(PSH | ACK, PORT);
        ftp.data(false, (ACTIVE, 20), SYN);
        let (worker, conn) = ftp.conn(ACTIVE).expect("a conn");
        assert_eq!((worker, conn.state), (owner_of(ACTIVE, workers), state::LISTEN));
        ftp.data(true, (ACTIVE, 20), SYN | ACK);
        ftp.data(false, (ACTIVE, 20), ACK);
        assert_eq!(ftp.conn(ACTIVE).expect("a conn").1.state, state::ESTABLISHED);
        assert_eq!(ftp.load(), (2, 0, 2));
    }
}

/// The client's port, and with it the flow, is not the announcing worker's to know.
#[test]
fn every_port_of_the_client_may_be_the_data_connections() {
    let mut ftp = Ftp::new(3);
    for cport in 6000..6040 {
        ftp.passive();
        ftp.data(true, (cport, PASSIVE), SYN);
        assert_eq!(ftp.conn(cport).expect("a conn").0, owner_of(cport, 3));
        ftp.data(true, (cport, PASSIVE), RST);
    }
    assert_eq!(ftp.load().2, 41);
    ftp.wait(60 + 5);
    assert_eq!(ftp.load(), (1, 0, 1));
}

#[test]
fn a_data_connection_holds_its_control_connection_on_another_worker() {
    let (mut ftp, cport) = (Ftp::new(3), elsewhere(3));
    ftp.passive();
    ftp.client_says(RST | ACK, b"");
    ftp.wait(10 + 5);
    let (_, control) = ftp.conn(CONTROL).expect("an announcement holds it");
    assert_eq!((control.state, control.timeout), (state::CLOSE, 60 * 16));
    for flags in [SYN, ACK] {
        ftp.data(true, (cport, PASSIVE), flags);
        ftp.data(false, (cport, PASSIVE), flags | ACK);
    }
    ftp.wait(200);
    assert!(ftp.conn(CONTROL).is_some(), "an established one holds it");
    ftp.data(true, (cport, PASSIVE), RST);
    ftp.wait(10 + 60 + 10);
    assert_eq!((ftp.conn(cport), ftp.conn(CONTROL), ftp.load()), (None, None, (0, 0, 0)));
}

#[test]
fn what_was_announced_in_vain_counts_until_its_time_is_over() {
    let mut ftp = Ftp::new(3);
    ftp.passive();
    ftp.client_says(RST | ACK, b"");
    ftp.wait(119);
    assert_eq!(ftp.load(), (0, 2, 2));
    ftp.wait(2);
    assert_eq!(ftp.load(), (0, 1, 1), "the control conn was held for another minute");
    ftp.wait(60);
    assert_eq!(ftp.load(), (0, 0, 0));
    // Nobody is expected any more: the packet is Linux's.
    let late = Frame::tcp(CLIENT, 5000, VIP, PASSIVE);
    assert_eq!(ftp.pass(C, &late), []);
    assert_eq!(ftp.rig.machine.take_punted().len(), 1);
}

/// The kernel forgets with the first answer that one was asked for, and shows the client the real
/// server's address in the second.
#[test]
fn a_retransmitted_answer_is_rewritten_again() {
    let mut ftp = Ftp::new(1);
    ftp.client_says(PSH | ACK, b"PASV\r\n");
    let (came, left) = ftp.answer(PSH | ACK, ANSWER, SHOWN);
    for _ in 0..2 {
        assert_eq!(ftp.pass(S, &came), [(C, left.clone().build())]);
    }
    (ftp.server, ftp.lost) = (ftp.server + ANSWER.len() as u32, 2);
    ftp.server_says(PSH | ACK, b"150 here it comes\r\n", b"150 here it comes\r\n");
    ftp.client_says(ACK, b"");
}

/// Each of these announces something in the kernel.
#[test]
fn what_is_no_place_of_the_speakers_announces_nothing() {
    let mut ftp = Ftp::new(1);
    for command in [
        &b"XPASV\r\n"[..],
        b"PORT 172,16,9,9,100,1\r\n",
        b"PORT172,16,0,1,100,3\r\n",
        b"EPRT |1|172.16.9.9|25609|\r\n",
    ] {
        ftp.client_says(PSH | ACK, command);
        ftp.server_says(PSH | ACK, ANSWER, ANSWER);
    }
    for (command, answer) in [
        (&b"PASV\r\n"[..], &b"227 ok (192,168,1,11,200,261)\r\n"[..]),
        (b"PASV\r\n", b"227 ok (192,168,1,11,,7)\r\n"),
        (b"PASV\r\n", b"227 ok (192,168,1,11,200,8,9)\r\n"),
        (b"PASV\r\n", b"227 ok (192,168,1,77,200,9)\r\n"),
        (b"PASV\r\n", b"227 ok (192,168,1,11,0,0)\r\n"),
        (b"EPSV\r\n", b"229 ok (|1|192.168.1.77|51219|)\r\n"),
        (b"EPSV\r\n", b"229 ok (|||65537|)\r\n"),
    ] {
        ftp.client_says(PSH | ACK, command);
        ftp.server_says(PSH | ACK, answer, answer);
    }
    assert!(ftp.rig.machine.expect().is_empty());
    assert_eq!(ftp.load(), (1, 0, 1));
}

/// In the kernel such an entry leads to the director itself.
#[test]
fn a_server_that_announces_the_virtual_address_is_believed() {
    let mut ftp = Ftp::new(1);
    ftp.client_says(PSH | ACK, b"PASV\r\n");
    ftp.server_says(PSH | ACK, SHOWN, SHOWN);
    ftp.data(true, (5000, PASSIVE), SYN);
}

#[test]
fn packets_with_a_wrong_checksum_are_not_read() {
    let mut ftp = Ftp::new(1);
    let before = ftp.rig.machine.totals();
    let bad = Frame::tcp(CLIENT, CONTROL, VIP, 21).flags(ACK).payload(b"PASV\r\n");
    assert_eq!(ftp.pass(C, &bad.bad_l4_checksum()), []);
    let (bad, _) = ftp.answer(ACK, b"", b"");
    assert_eq!(ftp.pass(S, &bad.bad_l4_checksum()), []);
    let after = ftp.rig.machine.totals();
    let reason = DropReason::BadTcpChecksum.index();
    assert_eq!(after.dropped[reason] - before.dropped[reason], 2);
}

#[test]
fn a_syn_on_a_closed_data_connection_is_no_new_one() {
    let mut ftp = Ftp::new(1);
    ftp.passive();
    ftp.data(true, (5000, PASSIVE), SYN);
    for from_client in [false, true] {
        ftp.data(from_client, (5000, PASSIVE), FIN | ACK);
    }
    assert_eq!(ftp.conn(5000).expect("a conn").1.state, state::TIME_WAIT);
    ftp.data(true, (5000, PASSIVE), SYN);
    ftp.data(false, (5000, PASSIVE), SYN | ACK);
    // In active mode the conn waits anew.
    for _ in 0..2 {
        ftp.client_says(PSH | ACK, PORT);
        ftp.data(false, (ACTIVE, 20), SYN);
        assert_eq!(ftp.conn(ACTIVE).expect("a conn").1.state, state::LISTEN);
        ftp.data(true, (ACTIVE, 20), SYN | ACK);
        ftp.data(true, (ACTIVE, 20), RST);
    }
    assert!(ftp.rig.machine.expect().is_empty());
}

#[test]
fn a_removed_server_gets_no_data_connection_until_it_is_back() {
    let mut ftp = Ftp::new(3);
    ftp.passive();
    ftp.rig.control.delete_server(tcp(VIP, 21), rip(1), 21);
    ftp.rig.publish();
    let syn = Frame::tcp(CLIENT, 5000, VIP, PASSIVE);
    assert_eq!(ftp.pass(C, &syn), []);
    let dropped = ftp.rig.machine.totals().dropped[DropReason::DestinationRemoved.index()];
    assert_eq!(dropped, 1);
    ftp.rig
        .control
        .server(tcp(VIP, 21), dataplane::testing::control::Server::new(rip(1), 21, Masq));
    ftp.rig.publish();
    ftp.data(true, (5000, PASSIVE), SYN);
    assert_eq!(ftp.load().2, 2);
}

#[test]
fn only_masq_conns_of_the_control_port_are_read() {
    let mut rig = Rig::serving(tcp(VIP, 21), Gatewaying, 1);
    rig.add(tcp(VIP, 2121), Masq, 1);
    rig.publish();
    for (port, to) in [(21, VIP), (2121, rip(1))] {
        let (dst, src) = to_server(1);
        for flags in [SYN, ACK] {
            let came = Frame::tcp(CLIENT, CONTROL, VIP, port).flags(flags).payload(b"PASV\r\n");
            let left = Frame::tcp(CLIENT, CONTROL, to, port).flags(flags).payload(b"PASV\r\n");
            rig.machine.feed(C, 0, &came.bad_l4_checksum().build());
            rig.machine.settle(rig.now);
            let sent = rig.machine.take_sent();
            let left = left.ttl(63).macs(dst, src).build();
            assert_eq!((sent.len(), sent[0].1.len()), (1, left.len()), "port {port}");
        }
    }
}
