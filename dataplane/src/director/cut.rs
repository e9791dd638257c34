//! Packets of a conn that end within their L4 header, behind the ports.
//!
//! IPVS asks for the header where it needs it: to know the state, which then stays, and to rewrite,
//! without which the packet is dropped. What needs neither goes on like any other.

use super::lane::Flow;
use super::{Director, FlowFamily, Outbox};
use crate::conn::ConnId;
use crate::forward;
use crate::io::{Packet, Pool};
use crate::service::ForwardingMethod;
use crate::verdict::{DropReason, Verdict};

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// A client's packet of a good conn: counted, and forwarded where nothing is rewritten.
    #[cold]
    pub(super) fn inbound_cut<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        id: ConnId,
        out: &mut Outbox<P>,
    ) -> Verdict {
        self.count_inbound(flow, id);
        self.conns.get_mut(id).last_seen = self.now;
        let way = self.any_way_of(id);
        use ForwardingMethod::{Fullnat, Masq};
        let rewritten = matches!(way.method, Some(Masq | Fullnat));
        // One whose time to live ends here is answered before anybody wants to rewrite it.
        match rewritten && !forward::expires(&flow.headers) {
            true => Verdict::Drop(DropReason::BadL4Header),
            false => self.forward(packet, flow, &way, out),
        }
    }

    /// A real server's packet of a masq conn, which Linux would have forwarded: dropped, uncounted.
    #[cold]
    pub(super) fn outbound_cut(&mut self, id: ConnId) -> Verdict {
        self.conns.get_mut(id).last_seen = self.now;
        Verdict::Drop(DropReason::BadL4Header)
    }
}
