//! Data connections that FTP control connections of this worker announced, and what they hold.
//!
//! In the kernel the announcement makes the conn. Here a conn belongs to the worker of its client's
//! end, which is not known before the first packet; until then all workers share an
//! [`Expectation`], which counts for its destination as the conn would: see [`super::expected`].

use super::{Director, FlowFamily, attached};
use crate::app::seq::Record;
use crate::conn::{Conn, ConnFlags, ConnId, SideRecord};
use crate::expect::{Announced, Expectation, Families, FamilyId};
use crate::flow::{Direction, FlowKey, protocol};
use crate::io::{Packet, Pool};
use crate::limits::WINDOW;
use crate::proto::tcp::state;
use crate::time::{Tick, ticks};
use crate::verdict::DropReason;

/// What a control conn gets when its time is over and it has data connections (`ip_vs_conn_expire`).
const HELD: u32 = ticks(60);

/// Between two looks for announcements whose time is over.
const SWEEP: u32 = ticks(1);

/// Keeps a conn whose time is over, if it controls data connections.
pub(super) fn hold(
    conn: &mut Conn,
    side: Option<&SideRecord>,
    families: &Families,
    now: Tick,
) -> bool {
    let helped = conn.flags.contains(ConnFlags::HELPED);
    let family = side.filter(|_| helped).map_or_else(FamilyId::default, attached::family_of);
    let held = families.has_children(family);
    if held {
        (conn.last_seen, conn.timeout) = (now, HELD);
    }
    held
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// The real server of a control conn listens for the client, who connects from any port.
    pub(super) fn announce_passive(
        &mut self,
        control: ConnId,
        port: u16,
    ) -> Result<(), DropReason> {
        self.announce(control, 0, (port, port))
    }

    /// The client of a control conn, whose packets have `key`, listens for the real server, who
    /// connects from the port below that of the control conn. A conn that the two had by these ports
    /// is the announced one.
    pub(super) fn announce_active<A: FlowFamily>(
        &mut self,
        control: ConnId,
        key: &FlowKey<A>,
        port: u16,
    ) -> Result<(), DropReason> {
        let conn = self.conns.get(control);
        let (vport, rport) = (conn.vport.wrapping_sub(1), conn.rport.wrapping_sub(1));
        let key = FlowKey { sport: port, dport: vport, ..*key };
        match self.conns.lookup(&key, self.conns.hash(&key)) {
            Some((data, Direction::Inbound)) if !self.conns.is_expired(data, self.now) => {
                self.listen(data);
                Ok(())
            }
            _ => self.announce(control, port, (vport, rport)),
        }
    }

    /// A conn waits for its first packet again (`ip_vs_tcp_conn_listen`).
    fn listen(&mut self, data: ConnId) {
        let (now, timeout) = (self.now, self.listen_timeout());
        let conn = self.conns.get_mut(data);
        (conn.last_seen, conn.timeout) = (now, timeout);
        self.turn(data, state::LISTEN);
    }

    pub(super) fn listen_timeout(&self) -> u32 {
        self.tables.services.settings.timeouts.timeout(protocol::TCP, state::LISTEN)
    }

    fn announce(
        &mut self,
        control: ConnId,
        cport: u16,
        (vport, rport): (u16, u16),
    ) -> Result<(), DropReason> {
        let family = self.family(control)?;
        let conn = self.conns.get(control);
        let (ends, dest) = (self.conns.addresses(conn), conn.dest);
        self.share(&Expectation {
            proto: protocol::TCP,
            client: ends.client,
            cport,
            vip: ends.vip,
            vport,
            rip: ends.real,
            rport,
            dest,
            flags: (conn.flags & ConnFlags::FWD_MASK).bits(),
            family,
            home: self.worker,
            deadline: self.now.after(self.listen_timeout()),
        })
    }

    /// Lets all workers know of an announcement, and counts it.
    fn share(&mut self, expectation: &Expectation) -> Result<(), DropReason> {
        let dest = expectation.dest;
        let Some(known) = self.tables.services.dest(dest) else { return Ok(()) };
        let expect = self.accounts.expect();
        // A member of the family before anybody can take it.
        expect.families().join(expectation.family);
        let announced = expect.announce(*expectation, self.now);
        if announced == Announced::New {
            self.accounts.announced(known);
            self.tables.load_changed(dest);
            return Ok(());
        }
        expect.families().leave(expectation.family);
        match announced {
            Announced::New | Announced::Renewed => Ok(()),
            Announced::Full => Err(DropReason::ExpectFull),
            Announced::Busy => Err(DropReason::ExpectBusy),
        }
    }

    /// The family of a control conn, begun if it has none.
    fn family(&mut self, control: ConnId) -> Result<FamilyId, DropReason> {
        let record = attached::record_of(&self.conns, control);
        if record.family != 0 {
            return Ok(FamilyId(record.family));
        }
        let hint = u64::from(control.0) << 6 | self.worker.index() as u64;
        let family = self.accounts.expect().families().begin(hint);
        let kept = self.keep(control, Record { family: family.0, ..record });
        if kept.is_err() {
            self.accounts.expect().families().leave(family);
        }
        kept.map(|()| family)
    }

    /// Counts no longer what others took of this worker's announcements, nor what is over; looks for
    /// that now and then.
    pub(super) fn review_announced(&mut self) {
        for _ in 0..2 * WINDOW {
            let Some(settled) = self.accounts.expect().settled(self.worker) else { break };
            self.accounts.settled(settled, &self.tables.services);
            self.tables.load_changed(settled.dest);
        }
        if self.now.since(self.announced_swept) >= SWEEP {
            self.announced_swept = self.now;
            self.accounts.expect().expire(self.now);
        }
    }
}
