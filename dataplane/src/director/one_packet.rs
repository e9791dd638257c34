//! One-packet scheduling (`ipvsadm -o`): every packet is scheduled, and no conn is kept of it
//! (`IP_VS_CONN_F_ONE_PACKET`, `ip_vs_conn.c`). Nothing translates the replies of a masq destination.

use super::lane::Flow;
use super::new_conn::Chosen;
use super::onward::Way;
use super::{Director, FlowFamily, Outbox};
use crate::conn::NewConn;
use crate::flow::Direction;
use crate::ids::DestId;
use crate::io::{Packet, Pool};
use crate::verdict::{DropReason, Verdict};

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// Forwards a packet as the first of `new`, and forgets that there was one. It counts as a conn
    /// until here only: what its end may change, of thresholds or its template, changes now.
    pub(super) fn one_packet<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        new: &NewConn<A>,
        chosen: &Chosen,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let counters = self.accounts.counters().dest(chosen.dest);
        counters.conn_passes();
        counters.inbound(flow.counted_len());
        self.give_back(chosen);
        self.fragments.one_packet = Some(chosen.dest);
        self.forward(packet, flow, &Way::of_new(new), out)
    }

    /// A later fragment of such a packet: to the same destination, unless the first was refused.
    pub(super) fn rest_of_one_packet<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        dest: DestId,
        refused: Option<DropReason>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let Some(dest) = self.tables.services.dest(dest) else {
            return Verdict::Drop(DropReason::DestinationRemoved);
        };
        let chosen = Chosen::new(dest, dest.rport, None);
        self.count_later(chosen.dest, Direction::Inbound, &flow.headers);
        if let Some(reason) = refused {
            return Verdict::Drop(reason);
        }
        let way = Way::of_new(&self.new_conn(&flow.headers, &chosen));
        self.forward(packet, flow, &way, out)
    }
}
