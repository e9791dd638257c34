//! Telling a real server behind fullnat who the client is: a TCP option until it has answered, or the
//! header of the PROXY protocol in front of the client's first byte.
//!
//! The header goes with every segment that begins at the client's first byte, as the one that completes
//! the handshake does, until the real server acknowledges it: so it is there before the real server
//! speaks, and a lost one is repeated with what was lost beside it. The client's later bytes are shifted
//! by its length ([`crate::app::seq`]).
//!
//! A client cannot speak in the director's stead: its own options of that kind are blanked for as long
//! as any is read, and what it sends with its SYN is left out, to be sent again behind the header.

use super::lane::{Flow, Shape};
use super::onward::Way;
use super::{Director, FlowFamily, Outbox, attached};
use crate::app::seq::{self, Record, Shift};
use crate::app::{edit, proxy};
use crate::conn::{ConnFlags, ConnId};
use crate::flow::protocol;
use crate::forward::{fits, tcp_options, toa};
use crate::io::{Packet, Pool};
use crate::parse::Headers;
use crate::proto::tcp::state;
use crate::service::ClientAddress;
use crate::verdict::{DropReason, Verdict};
use crate::wire::tcp::flags;
use crate::wire::{be16, be32, checksum, put16, tcp};

/// What a record remembers of a PROXY header: its version until the real server has it, then nothing.
const VERSION_1: u8 = 1;
const VERSION_2: u8 = 2;

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Forwards a client's packet of a fullnat conn, with what the real server is to be told.
    #[inline(never)]
    pub(super) fn follow_fullnat<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let way = self.way_of(id);
        let is_tcp = flow.headers.key.proto == protocol::TCP;
        if is_tcp && flow.shape == Shape::First && self.is_told_of(id) {
            // Put together nowhere, it could carry what only the director may say.
            return Verdict::Drop(DropReason::FragmentTold);
        }
        if !is_tcp || !flow.shape.is_whole() {
            return self.forward(packet, flow, &way, out);
        }
        let is_syn = flow.headers.event & flags::SYN != 0;
        if is_syn {
            self.conns.get_mut(id).flags.remove(ConnFlags::ANSWERED);
        }
        if !self.conns.get(id).flags.contains(ConnFlags::ANSWERED) {
            // Whoever the client says that it is, the real server is not to believe it. One that has
            // answered reads the option no more.
            tcp_options::blank(packet, &flow.headers, toa::KIND);
        }
        let mtu = self.tables.next_hops.get(way.next_hop).mtu;
        let mut told = Flow { headers: flow.headers, ..*flow };
        // A SYN on an established conn is nobody's beginning.
        let established = self.conns.get(id).state == state::ESTABLISHED;
        if is_syn && !established {
            if !self.prepare_header(packet, &told.headers, id) {
                self.end(id);
                return Verdict::Drop(DropReason::TableFull);
            }
            if self.client_address(id) != ClientAddress::None {
                if let Err(refused) = without_data(packet, &mut told.headers) {
                    return Verdict::Drop(refused.reason());
                }
            }
        } else if !flow.headers.df || fits(flow.headers.ip_len, mtu) {
            match self.tell(packet, &mut told.headers, id, mtu, out) {
                Ok(None) => {}
                Ok(Some(rest)) => return self.forward_two(packet, rest, (&told, flow), &way, out),
                Err(reason) => return Verdict::Drop(reason),
            }
        }
        self.forward(packet, &told, &way, out)
    }

    /// Whether the real server of a conn is told of its client, or numbers are shifted for that.
    fn is_told_of(&self, id: ConnId) -> bool {
        let shifted = !attached::record_of(&self.conns, id).inbound.is_none();
        shifted || self.client_address(id) != ClientAddress::None
    }

    /// How the real server of a conn is told, while its destination is there.
    fn client_address(&self, id: ConnId) -> ClientAddress {
        let services = &self.tables.services;
        let place = services.place(self.conns.get(id).dest);
        place.map_or(ClientAddress::None, |(at, _)| services.service(at).fullnat.client_address)
    }

    /// The client's SYN: its first byte has the next number, and a PROXY header is to have it instead.
    /// `false` if there is no room to remember that.
    fn prepare_header<A: FlowFamily>(
        &mut self,
        packet: &P,
        headers: &Headers<A>,
        id: ConnId,
    ) -> bool {
        let memory = match self.client_address(id) {
            ClientAddress::None | ClientAddress::Toa => return true,
            ClientAddress::ProxyV1 => VERSION_1,
            ClientAddress::ProxyV2 => VERSION_2,
        };
        let delta = self.proxy_header::<A>(id, memory).len() as i32;
        let seq = be32(&packet.bytes()[headers.l4.into()..], tcp::SEQ);
        let inbound = Shift { init_seq: seq.wrapping_add(1), delta, previous_delta: 0 };
        let mut record = attached::record_of(&self.conns, id);
        (record.inbound, record.memory) = (inbound, memory);
        attached::set_record(&mut self.conns, id, record)
    }

    fn proxy_header<A: FlowFamily>(&self, id: ConnId, version: u8) -> proxy::Header {
        let conn = self.conns.get(id);
        let (cip, vip) = self.conns.client_and_vip::<A>(conn);
        let (client, vip) = ((cip, conn.cport), (vip, conn.vport));
        if version == VERSION_1 { proxy::v1(client, vip) } else { proxy::v2(client, vip) }
    }

    /// Puts into a packet after the SYN what it is to tell, and shifts its numbers. Another packet, of
    /// the same headers as came, if what the client sent has to follow by itself.
    fn tell<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &mut Headers<A>,
        id: ConnId,
        mtu: u16,
        out: &mut Outbox<P>,
    ) -> Result<Option<P>, DropReason> {
        if self.conns.side(id).is_some() {
            let record = attached::record_of(&self.conns, id);
            if !record.inbound.is_none() {
                return self.tell_by_header(packet, headers, (id, &record), mtu, out);
            }
        }
        let answered = self.conns.get(id).flags.contains(ConnFlags::ANSWERED);
        let goes_on = headers.event & (flags::SYN | flags::RST) == 0;
        if !answered && goes_on && self.client_address(id) == ClientAddress::Toa {
            let client = (headers.key.src, headers.key.sport);
            let longer = headers.ip_len.saturating_add(toa::option_len::<A>() as u16);
            if !fits(longer, mtu) || !toa::insert(packet, headers, client) {
                self.accounts.counters().omits_toa();
            }
        }
        Ok(None)
    }

    fn tell_by_header<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &mut Headers<A>,
        (id, record): (ConnId, &Record),
        mtu: u16,
        out: &mut Outbox<P>,
    ) -> Result<Option<P>, DropReason> {
        let l4 = usize::from(headers.l4);
        let seq = be32(&packet.bytes()[l4..], tcp::SEQ);
        let first = seq == record.inbound.init_seq && headers.event & flags::RST == 0;
        if record.memory == 0 || !first {
            seq::adjust(&mut packet.bytes_mut()[l4..], &record.inbound, &Shift::default());
            return Ok(None);
        }
        let header = self.proxy_header::<A>(id, record.memory);
        let mut span = 0..0;
        let mut rest = None;
        if !fits(headers.ip_len.saturating_add(header.len() as u16), mtu) {
            let payload = edit::payload(packet.bytes(), headers).ok_or(DropReason::BadL4Header)?;
            span = 0..payload.len();
            rest = Some(self.copy_behind(packet, l4, &record.inbound, out)?);
        }
        edit::replace(packet, headers, span, &header).map_err(edit::Refused::reason)?;
        if rest.is_some() {
            clear_flag(&mut packet.bytes_mut()[l4..], flags::FIN);
        }
        Ok(rest)
    }

    /// A copy of a packet whose first byte comes behind the header.
    fn copy_behind(
        &mut self,
        packet: &P,
        l4: usize,
        shift: &Shift,
        out: &mut Outbox<P>,
    ) -> Result<P, DropReason> {
        let frame = packet.bytes();
        let piece = self.pool.alloc().filter(|_| out.fragments_left > 0);
        let mut piece = piece.ok_or(DropReason::FragNoBuffer)?;
        if !piece.grow_back(frame.len()) {
            return Err(DropReason::FragNoBuffer);
        }
        piece.set_port(packet.port());
        piece.bytes_mut().copy_from_slice(frame);
        let behind = Shift { init_seq: shift.init_seq.wrapping_sub(1), ..*shift };
        seq::adjust(&mut piece.bytes_mut()[l4..], &behind, &Shift::default());
        Ok(piece)
    }

    /// Forwards a header in a segment of its own, made here, and behind it what the client sent.
    fn forward_two<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        mut rest: P,
        (told, flow): (&Flow<A>, &Flow<A>),
        way: &Way<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        out.tally.made += 1;
        let verdict = self.forward(packet, told, way, out);
        match self.forward(&mut rest, flow, way, out) {
            Verdict::Drop(reason) => out.tally.drop_one(reason),
            _ => {
                out.fragments_left = out.fragments_left.saturating_sub(1);
                out.followers.push(rest);
            }
        }
        verdict
    }

    /// A real server's packet, as it came: it has answered, and what it acknowledges is shifted back.
    pub(super) fn heard<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        id: ConnId,
    ) {
        if headers.event & flags::SYN == 0 {
            self.conns.get_mut(id).flags.insert(ConnFlags::ANSWERED);
        }
        if self.conns.side(id).is_none() {
            return;
        }
        let mut record = attached::record_of(&self.conns, id);
        let segment = &mut packet.bytes_mut()[headers.l4.into()..];
        let acked = be32(segment, tcp::ACK).wrapping_sub(record.inbound.init_seq) as i32;
        let acks = headers.event & flags::ACK != 0;
        if record.memory != 0 && acks && acked >= record.inbound.delta {
            // From here on the client's first byte is behind the header, too.
            record.memory = 0;
            record.inbound.init_seq = record.inbound.init_seq.wrapping_sub(1);
            attached::set_record(&mut self.conns, id, record);
        }
        seq::adjust(segment, &Shift::default(), &record.inbound);
    }
}

/// Takes from a SYN what its client says with it (RFC 7413): it is in front of all that the real server
/// could be told. A server that has not got it does not acknowledge it, and the client sends it again.
fn without_data<A: FlowFamily, P: Packet>(
    packet: &mut P,
    headers: &mut Headers<A>,
) -> Result<(), edit::Refused> {
    tcp_options::blank(packet, headers, tcp_options::FAST_OPEN);
    let data = edit::payload(packet.bytes(), headers).ok_or(edit::Refused::BadHeader)?;
    if !data.is_empty() {
        edit::replace(packet, headers, 0..data.len(), b"")?;
    }
    Ok(())
}

/// Takes a flag out of a TCP header, whose checksum stays as true as it was.
fn clear_flag(segment: &mut [u8], flag: u8) {
    let before = be16(segment, tcp::DATA_OFFSET);
    segment[tcp::FLAGS] &= !flag;
    let delta = checksum::delta16(before, be16(segment, tcp::DATA_OFFSET));
    let check = checksum::adjust(be16(segment, tcp::CHECKSUM), delta);
    put16(segment, tcp::CHECKSUM, check);
}
