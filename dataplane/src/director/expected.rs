//! First packets of data connections that an FTP control connection announced: they are scheduled
//! nowhere, but go to the control connection's real server, or come from it.

use super::lane::Flow;
use super::{Director, FlowFamily, Outbox, attached};
use crate::app::seq::Record;
use crate::conn::{ConnFlags, ConnId, NewConn};
use crate::expect::{Announced, Ends, Expectation, Taken};
use crate::flow::{Direction, FlowKey, protocol};
use crate::forward::masq;
use crate::ids::NextHopId;
use crate::io::{Packet, Pool};
use crate::proto::tcp::state;
use crate::verdict::{DropReason, Verdict};

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// What becomes of a packet without a conn, if a control connection announced it.
    #[inline]
    pub(super) fn expected<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        out: &mut Outbox<P>,
    ) -> Option<Verdict> {
        match self.expected_conn(&flow.headers.key)? {
            Ok((id, Direction::Inbound)) => Some(self.follow(packet, flow, id, out)),
            Ok((id, Direction::Outbound)) => Some(self.outbound(packet, flow, id, out)),
            Err(reason) => Some(Verdict::Drop(reason)),
        }
    }

    /// The conn that an announced packet begins, and which way that goes.
    #[inline]
    pub(super) fn expected_conn<A: FlowFamily>(
        &mut self,
        key: &FlowKey<A>,
    ) -> Option<Result<(ConnId, Direction), DropReason>> {
        let none = self.accounts.expect().is_empty();
        if none || key.proto != protocol::TCP {
            return None;
        }
        self.search_expected(key)
    }

    #[inline(never)]
    fn search_expected<A: FlowFamily>(
        &mut self,
        key: &FlowKey<A>,
    ) -> Option<Result<(ConnId, Direction), DropReason>> {
        let (src, dst) = ((key.src.ip(), key.sport), (key.dst.ip(), key.dport));
        let (ends, direction) = match self.tables.services.is_from_client(key) {
            true => (Ends::Inbound { client: src, virtual_end: dst }, Direction::Inbound),
            false => (Ends::Outbound { real: src, client: dst }, Direction::Outbound),
        };
        let expected = match self.accounts.expect().take(key.proto, &ends, self.now) {
            Taken::None => return None,
            Taken::Busy => return Some(Err(DropReason::ExpectBusy)),
            Taken::Expected(expected) => expected,
        };
        let begun = self.begin_expected(&expected, key, direction)?;
        Some(begun.map(|id| (id, direction)))
    }

    /// Makes an announced connection a conn, as it is in the kernel from its announcement on. `None`
    /// if that would have ended with its destination's removal, and what follows is another's.
    fn begin_expected<A: FlowFamily>(
        &mut self,
        expected: &Expectation,
        key: &FlowKey<A>,
        direction: Direction,
    ) -> Option<Result<ConnId, DropReason>> {
        let services = &self.tables.services;
        let begun = match services.dest(expected.dest).map(|dest| dest.next_hop) {
            Some(next_hop) => self.insert_expected(expected, key, direction, next_hop),
            None if services.settings.expire_nodest_conn => {
                self.end_expected(expected);
                return None;
            }
            None => {
                self.expect_again(expected);
                return Some(Err(DropReason::DestinationRemoved));
            }
        };
        if begun.is_err() {
            self.end_expected(expected);
        }
        Some(begun)
    }

    fn insert_expected<A: FlowFamily>(
        &mut self,
        expected: &Expectation,
        key: &FlowKey<A>,
        direction: Direction,
        next_hop: NextHopId,
    ) -> Result<ConnId, DropReason> {
        let ends = A::of(expected.vip).zip(A::of(expected.rip));
        let (vip, rip) = ends.ok_or(DropReason::DestinationRemoved)?;
        let from = if direction == Direction::Inbound { *key } else { key.reversed() };
        let key = FlowKey { dst: vip, dport: expected.vport, ..from };
        let (l3_delta, l4_delta) = masq::deltas(vip, expected.vport, rip, expected.rport);
        let id = self.insert(&NewConn {
            key,
            rip: expected.rip,
            rport: expected.rport,
            lport: 0,
            lip_index: 0,
            flags: ConnFlags::from_bits_retain(expected.flags),
            state: state::LISTEN,
            dest: expected.dest,
            timeout: self.listen_timeout(),
            next_hop,
            l3_delta,
            l4_delta,
        })?;
        let record = Record { family: expected.family.0, ..Record::default() };
        if !attached::set_record(&mut self.conns, id, record) {
            // The control conn may end before it, which changes nothing for it.
            self.accounts.expect().families().leave(expected.family);
        }
        self.accounts.conn_arrives(expected.dest);
        self.tables.load_changed(expected.dest);
        Ok(id)
    }

    /// An announced connection that was taken waits on, for its destination to come back.
    fn expect_again(&mut self, expected: &Expectation) {
        let again = Expectation { home: self.worker, ..*expected };
        match self.accounts.expect().announce(again, self.now) {
            Announced::New => self.accounts.conn_arrives(expected.dest),
            _ => self.end_expected(expected),
        }
    }

    /// An announced connection that was taken is not to be, after all.
    fn end_expected(&mut self, expected: &Expectation) {
        self.accounts.expect().families().leave(expected.family);
        self.accounts.place_is_free(expected.dest, &self.tables.services);
    }
}
