//! FTP control connections (`ip_vs_ftp.c`): reads what client and real server tell each other, puts
//! the virtual address where the server names its own, and lets data connections be expected.
//!
//! The kernel binds its helper to every masq conn of the port, whatever service made it; such a conn is
//! [`ConnFlags::HELPED`], which leads its packets out of the plain way and in here.

use super::lane::{Flow, Shape};
use super::onward::Way;
use super::{Director, FlowFamily, Outbox, attached};
use crate::app::edit;
use crate::app::ftp::{self, Answer, Command, Mode};
use crate::app::seq::{self, Record};
use crate::conn::{ConnFlags, ConnId};
use crate::flow::{Direction, FlowKey, port, protocol};
use crate::forward;
use crate::io::{Packet, Pool};
use crate::nexthop::NextHop;
use crate::parse::Headers;
use crate::proto::tcp::state;
use crate::service::ForwardingMethod;
use crate::verdict::{DropReason, PuntClass, Verdict};
use crate::wire::{be32, tcp};

/// The flag of a new conn whose packets a helper is to read.
pub(super) fn helped<A>(key: &FlowKey<A>, method: ForwardingMethod) -> ConnFlags {
    let control = (key.proto, key.dport) == (protocol::TCP, port::FTP);
    match control && method == ForwardingMethod::Masq {
        true => ConnFlags::HELPED,
        false => ConnFlags::empty(),
    }
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Reads a client's packet before it is forwarded, but none that is refused on its way
    /// (`ip_vs_nat_xmit`).
    #[inline(never)]
    pub(super) fn help_client<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        way: &Way<A>,
        id: ConnId,
    ) -> Result<(), DropReason> {
        let headers = &flow.headers;
        let mtu = self.tables.next_hops.get(way.next_hop).mtu;
        let fits = !headers.df || forward::fits(headers.ip_len, mtu);
        match fits && !forward::expires(headers) && flow.shape == Shape::Whole {
            true => self.read_client(packet, headers, id),
            false => Ok(()),
        }
    }

    /// Reads a real server's packet, then forwards it.
    #[inline(never)]
    pub(super) fn outbound_helped<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        match self.reply_hop(flow) {
            Some(hop) => self.reply_helped(packet, flow, (id, &hop), out),
            None => Verdict::Punt(PuntClass::Rest),
        }
    }

    /// The same of one that goes on to `hop`.
    pub(super) fn reply_helped<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        (id, hop): (ConnId, &NextHop),
        out: &mut Outbox<P>,
    ) -> Verdict {
        let mut flow = *flow;
        if flow.shape == Shape::Whole {
            if let Err(reason) = self.read_server(packet, &mut flow.headers, id) {
                return Verdict::Drop(reason);
            }
        }
        if flow.headers.df && !forward::fits(flow.headers.ip_len, hop.mtu) {
            return Verdict::Drop(DropReason::FragNeeded);
        }
        self.reply(packet, &flow, (id, hop), out)
    }

    /// Reads a client's segment.
    fn read_client<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        id: ConnId,
    ) -> Result<(), DropReason> {
        self.adjust(packet, headers, id, Direction::Inbound)?;
        if self.conns.get(id).state != state::ESTABLISHED {
            return Ok(());
        }
        let payload = edit::payload(packet.bytes(), headers).ok_or(DropReason::BadL4Header)?;
        match ftp::command(&packet.bytes()[payload], A::FAMILY) {
            Command::Passive(mode) => self.remember(id, mode),
            Command::Active(found) => {
                self.remember(id, Mode::Active)?;
                match found.names(headers.key.src.ip()) {
                    true => self.announce_active(id, &headers.key, found.port),
                    false => Ok(()),
                }
            }
            Command::Other | Command::Malformed => Ok(()),
        }
    }

    /// Reads a real server's segment and rewrites the place that it announces.
    fn read_server<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &mut Headers<A>,
        id: ConnId,
    ) -> Result<(), DropReason> {
        let number = be32(&packet.bytes()[headers.l4.into()..], tcp::SEQ);
        let record = self.adjust(packet, headers, id, Direction::Outbound)?;
        let conn = self.conns.get(id);
        let mode = Mode::from_memory(record.memory);
        if conn.state != state::ESTABLISHED || mode == Mode::Active {
            return Ok(());
        }
        let (_, vip) = self.conns.client_and_vip::<A>(conn);
        let (vip, rip) = (vip.ip(), headers.key.src.ip());
        let payload = edit::payload(packet.bytes(), headers).ok_or(DropReason::BadL4Header)?;
        let Answer::Passive(found) = ftp::answer(&packet.bytes()[payload], mode, rip) else {
            return Ok(());
        };
        if !found.names(rip) && !found.names(vip) {
            return Ok(());
        }
        self.announce_passive(id, found.port)?;
        let with = found.render(vip, found.port);
        let resized = edit::replace(packet, headers, found.span, &with);
        let diff = resized.map_err(edit::Refused::reason)?;
        let mut record = attached::record_of(&self.conns, id);
        record.outbound.resized(number, diff);
        self.keep(id, record)
    }

    /// Sees to it that a packet's payload may be read, and shifts its sequence numbers.
    fn adjust<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        headers: &Headers<A>,
        id: ConnId,
        direction: Direction,
    ) -> Result<Record, DropReason> {
        if !edit::checksum_ok(packet.bytes(), headers) {
            return Err(DropReason::BadTcpChecksum);
        }
        let record = attached::record_of(&self.conns, id);
        let (own, peer) = match direction {
            Direction::Inbound => (&record.inbound, &record.outbound),
            Direction::Outbound => (&record.outbound, &record.inbound),
        };
        seq::adjust(&mut packet.bytes_mut()[headers.l4.into()..], own, peer);
        Ok(record)
    }

    fn remember(&mut self, id: ConnId, mode: Mode) -> Result<(), DropReason> {
        let record = attached::record_of(&self.conns, id);
        match Mode::from_memory(record.memory) == mode {
            true => Ok(()),
            false => self.keep(id, Record { memory: mode as u8, ..record }),
        }
    }

    /// Writes a control conn's record. Without room for one the packet is better sent again than let
    /// through half understood.
    pub(super) fn keep(&mut self, id: ConnId, record: Record) -> Result<(), DropReason> {
        match attached::set_record(&mut self.conns, id, record) {
            true => Ok(()),
            false => Err(DropReason::TableFull),
        }
    }
}
