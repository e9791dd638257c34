//! Telling a real server behind fullnat who the client is: a TCP option until it has answered, or the
//! header of the PROXY protocol in front of the client's first byte.
//!
//! The header goes with every segment that begins at the client's first byte, as the one that completes
//! the handshake does, until the real server acknowledges it: so it is there before the real server
//! speaks, and a lost one is repeated with what was lost beside it. The client's later bytes are shifted
//! by its length ([`crate::app::seq`]).
//!
//! A client cannot speak in the director's stead: its own options of that kind are blanked, and what it
//! sends with its SYN is left out, to be sent again behind the header. Where its first byte is, and
//! whether its handshake is over, the real server says: by its SYN, ACK, and by data of its own. The
//! conn's state says neither, for it changes by segments that the real server never accepts.

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
/// Before the real server's SYN, ACK nothing is shifted yet.
const VERSION_1: u8 = 1;
const VERSION_2: u8 = 2;
const SYN_ACK: u8 = flags::SYN | flags::ACK;

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
        if flow.headers.key.proto != protocol::TCP {
            return self.forward(packet, flow, &way, out);
        }
        // Whoever the client says that it is, the real server is not to believe it.
        match flow.shape {
            Shape::First => {
                if let Err(reason) = self.check_fragment(packet, &flow.headers, id) {
                    return Verdict::Drop(reason);
                }
                tcp_options::blank(packet, &flow.headers, toa::KIND);
                return self.forward(packet, flow, &way, out);
            }
            Shape::Whole => tcp_options::blank(packet, &flow.headers, toa::KIND),
            Shape::Cut | Shape::Riding | Shape::Later => {
                return self.forward(packet, flow, &way, out);
            }
        }
        let mtu = self.tables.next_hops.get(way.next_hop).mtu;
        let mut told = Flow { headers: flow.headers, ..*flow };
        if flow.headers.event & flags::SYN != 0 {
            if let Err(reason) = self.prepare(packet, &mut told.headers, id) {
                return Verdict::Drop(reason);
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

    /// Whether the first fragment of a client's segment may go on: put together nowhere, it could carry
    /// what only the director may say.
    fn check_fragment<A: FlowFamily>(
        &self,
        packet: &P,
        headers: &Headers<A>,
        id: ConnId,
    ) -> Result<(), DropReason> {
        if self.is_told_of(id) {
            return Err(DropReason::FragmentTold);
        }
        // The rest of its options would be in the next one.
        edit::payload(packet.bytes(), headers).map(|_| ()).ok_or(DropReason::FragmentTiny)
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

    /// The version of the PROXY header that the real server of a conn is to get.
    fn proxy_version(&self, id: ConnId) -> Option<u8> {
        match self.client_address(id) {
            ClientAddress::None | ClientAddress::Toa => None,
            ClientAddress::ProxyV1 => Some(VERSION_1),
            ClientAddress::ProxyV2 => Some(VERSION_2),
        }
    }

    /// A client's SYN, which may begin something or not: it brings nothing else, and there is room to
    /// remember a header. The conn ends if there is none.
    fn prepare<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &mut Headers<A>,
        id: ConnId,
    ) -> Result<(), DropReason> {
        if self.client_address(id) == ClientAddress::None {
            return Ok(());
        }
        if let Some(version) = self.proxy_version(id) {
            let mut record = attached::record_of(&self.conns, id);
            // One that is established without a record began before its service told anything.
            if record.inbound.is_none() && self.conns.get(id).state != state::ESTABLISHED {
                record.memory = version;
            }
            if !attached::set_record(&mut self.conns, id, record) {
                self.end(id);
                return Err(DropReason::TableFull);
            }
        }
        without_data(packet, headers).map_err(edit::Refused::reason)
    }

    /// A real server's SYN, ACK begins the conn's stream at `first`, the client's number: a PROXY header
    /// is to have it. A repeated one may come after the header was acknowledged, which then goes once
    /// more in its place until that is seen again.
    fn begin_stream<A: FlowFamily>(&self, record: &mut Record, id: ConnId, first: u32) {
        let version = self.proxy_version(id);
        let delta = version.map_or(0, |version| self.proxy_header::<A>(id, version).len() as i32);
        record.inbound = Shift { init_seq: first, delta, previous_delta: 0 };
        record.memory = version.unwrap_or_default();
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
            if record.memory != 0 && headers.event & flags::RST == 0 {
                return Err(DropReason::BeforeProxyHeader);
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
        if record.memory != 0 && covers(packet.bytes(), headers, record.inbound.init_seq) {
            return Err(DropReason::BeforeProxyHeader);
        }
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

    /// A real server's packet, as it came: whether it has answered, where the client's stream begins, and
    /// what it acknowledges, which is shifted back.
    pub(super) fn heard<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        id: ConnId,
    ) {
        let event = headers.event;
        if event & flags::SYN != 0 {
            self.conns.get_mut(id).flags.remove(ConnFlags::ANSWERED);
        } else if self.is_answer(packet, headers, id) {
            self.conns.get_mut(id).flags.insert(ConnFlags::ANSWERED);
        }
        if self.conns.side(id).is_none() {
            return;
        }
        let before = attached::record_of(&self.conns, id);
        let mut record = before;
        let segment = &mut packet.bytes_mut()[headers.l4.into()..];
        let ack = be32(segment, tcp::ACK);
        let acked = ack.wrapping_sub(record.inbound.init_seq) as i32;
        match event & (flags::SYN | flags::RST | flags::ACK) {
            SYN_ACK => self.begin_stream::<A>(&mut record, id, ack),
            flags::ACK if is_owed(&record) && acked >= record.inbound.delta => {
                // From here on the client's first byte is behind the header, too.
                record.memory = 0;
                record.inbound.init_seq = record.inbound.init_seq.wrapping_sub(1);
            }
            _ => {}
        }
        if record != before {
            attached::set_record(&mut self.conns, id, record);
        }
        seq::adjust(segment, &Shift::default(), &record.inbound);
    }

    /// Whether a real server's packet, no SYN, shows that its handshake is over: what has not accepted a
    /// connection sends acknowledgements and resets, too (`tcp_check_req`, `tcp_minisocks.c`), but
    /// neither data nor FIN. Where nothing is told, nobody waits for that.
    fn is_answer<A: FlowFamily>(&self, packet: &P, headers: &Headers<A>, id: ConnId) -> bool {
        if headers.event & flags::RST != 0 || self.conns.get(id).flags.contains(ConnFlags::ANSWERED)
        {
            return false;
        }
        let has_data =
            || edit::payload(packet.bytes(), headers).is_some_and(|data| !data.is_empty());
        headers.event & flags::FIN != 0
            || has_data()
            || self.client_address(id) == ClientAddress::None
    }
}

/// Whether a segment that begins before a number brings a byte of that number or later: of such a one a
/// receiver takes what is new to it (RFC 9293 section 3.10.7.4).
fn covers<A: FlowFamily>(frame: &[u8], headers: &Headers<A>, number: u32) -> bool {
    let before = number.wrapping_sub(be32(&frame[headers.l4.into()..], tcp::SEQ));
    let data = edit::payload(frame, headers).map_or(0, |data| data.len() as u32);
    (1..data).contains(&before)
}

/// Whether it is known where a PROXY header goes that the real server has not got.
fn is_owed(record: &Record) -> bool {
    record.memory != 0 && !record.inbound.is_none()
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
