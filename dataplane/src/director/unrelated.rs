//! ICMP errors about flows without a conn: Linux's, unless `schedule_icmp` has them begin one
//! (`ip_vs_in_icmp`, `ip_vs_try_to_schedule`, `ip_vs_core.c`).
//!
//! The error stands for the client's first packet, of which only the ports are known: TCP's flags
//! are not asked for. It is no packet of the flow, so the conn stays as it was made until a packet of
//! the client comes.

use super::new_conn::is_beside_ftp;
use super::{Director, FlowFamily, Outbox};
use crate::conn::{ConnId, NewConn};
use crate::flow::{Direction, port, protocol};
use crate::forward::icmp_related;
use crate::io::{Packet, Pool};
use crate::parse::{Headers, IcmpHeaders};
use crate::time::TICKS_PER_SECOND;
use crate::verdict::{DropReason, PuntClass, Verdict};

/// How long a conn lives that no packet has followed (`ip_vs_conn_new`, `ip_vs_conn.c`).
const UNFOLLOWED: u32 = 3 * TICKS_PER_SECOND;

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Schedules a conn for an error about a flow that has none and takes the error along it, or
    /// leaves it to Linux. No error is sent about an error (RFC 1122 section 3.2.2).
    #[cold]
    pub(super) fn unrelated<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        icmp: &IcmpHeaders<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let flow = icmp.flow().filter(|_| self.tables.services.settings.schedule_icmp);
        let Some(key) = flow else { return Verdict::Punt(PuntClass::Icmp) };
        if self.tables.owner(&key) != self.worker {
            return Verdict::Drop(DropReason::Strayed);
        }
        let services = &self.tables.services;
        let Some(index) = services.lookup(&key) else { return Verdict::Punt(PuntClass::Icmp) };
        if self.defence.refuses(services.settings.drop_packet) {
            return Verdict::Drop(DropReason::DropPacket);
        }
        if key.sport == port::FTP_DATA {
            return Verdict::Punt(PuntClass::Icmp);
        }
        let headers = Headers { key, ..icmp_related::as_packet(packet, icmp) };
        let beside_ftp = is_beside_ftp(self.tables.services.service(index).key, key.dport);
        let one_packet = self.tables.services.service(index).one_packet;
        let id = match self.conn_for_error(index, packet, &headers) {
            Ok(id) => id,
            Err(DropReason::NoDestination) if beside_ftp => {
                return Verdict::Punt(PuntClass::Icmp);
            }
            Err(reason) => return Verdict::Drop(reason),
        };
        let verdict = self.follow_related(packet, icmp, (id, Direction::Inbound), out);
        if one_packet && key.proto == protocol::UDP {
            self.end(id);
        }
        verdict
    }

    /// A conn that no packet has followed yet.
    fn conn_for_error<A: FlowFamily>(
        &mut self,
        index: usize,
        packet: &P,
        headers: &Headers<A>,
    ) -> Result<ConnId, DropReason> {
        let chosen = self.choose(index, packet, headers)?;
        if !chosen.is_reachable::<A>() {
            self.give_back(&chosen);
            return Err(DropReason::NoDestination);
        }
        let mut new = NewConn { timeout: UNFOLLOWED, ..self.new_conn(headers, &chosen) };
        if !self.give_local_end(index, &mut new) {
            self.give_back(&chosen);
            return Err(DropReason::NoLocalPort);
        }
        self.make(&new, &chosen)
    }
}
