//! One-packet scheduling (`ipvsadm -o`): every packet is scheduled, and no conn is kept of it
//! (`IP_VS_CONN_F_ONE_PACKET`, `ip_vs_conn.c`). Nothing translates the replies of a masq destination.

use super::lane::Flow;
use super::new_conn::Chosen;
use super::onward::Way;
use super::{Director, FlowFamily, Outbox};
use crate::conn::NewConn;
use crate::io::{Packet, Pool};
use crate::verdict::Verdict;

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
        let counters = self.accounts.counters().dest(chosen.dest.id);
        counters.conn_passes();
        counters.inbound(u64::from(flow.headers.ip_len));
        self.give_back(chosen);
        self.forward(packet, flow, &Way::of_new(new), out)
    }
}
