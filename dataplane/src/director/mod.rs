//! The stages in order, and the branches between them.
//!
//! [`Director::process`] takes one window of packets through parse, owner and lookup as loops over
//! the window, each prefetching for the next; then every packet, in order, through the rest:
//! schedule (misses only), track, forward, next hop. Because that last loop verifies what the
//! first ones prefetched, a window changes nothing but speed: a miss looks up again before it
//! inserts, and a conn that ended inside the window is not found.

mod accounts;
mod announced;
mod attached;
mod cut;
mod defence;
mod existing;
mod expected;
mod express;
mod family;
mod flush;
mod fragments;
mod ftp;
mod fullnat;
mod held;
mod icmp_limit;
mod lane;
mod linux_fragments;
mod local_node;
mod new_conn;
mod one_packet;
mod onward;
mod outbox;
mod partial;
mod path_mtu;
mod persistent;
mod related;
mod send;
mod sip_out;
mod sort;
mod strays;
mod tables;
mod tell;
mod tunnel;
mod tunnel_related;
mod unrelated;
mod window;

pub use accounts::Accounts;
pub use family::FlowFamily;
pub use held::Held;
pub use outbox::Outbox;
pub use tables::Tables;

use crate::conn::{Conn, ConnTable, SideRecord};
use crate::counters::{OthersLoad, Tally, WorkerCounters};
use crate::expect::Expectations;
use crate::flow::Direction;
use crate::ids::{InterfaceId, WorkerId};
use crate::interface::Interfaces;
use crate::io::{Packet, Pool};
use crate::limits::{TEMPLATE_BATCH, WINDOW};
use crate::local_ports::LocalPorts;
use crate::nexthop::ResolveRequest;
use crate::owner::SlotMap;
use crate::template::{ChildEnd, Sweeper, TemplateStore};
use crate::time::Tick;
use crate::verdict::{DropReason, PuntClass, Verdict};
use crossbeam::queue::ArrayQueue;
use defence::Defence;
use flush::Flush;
use fragments::Fragments;
use icmp_limit::IcmpLimiter;
use lane::{Flow, Lanes};
use linux_fragments::LinuxFragments;
use path_mtu::PathMtus;
use send::IpIds;
use std::mem;
use std::sync::Arc;

/// What a director is made of at start.
pub struct Setup<L> {
    /// Whose director it is.
    pub worker: WorkerId,
    /// Its connection table, empty or adopted.
    pub conns: ConnTable,
    /// Interfaces of all ports.
    pub interfaces: Arc<Interfaces>,
    /// Its counters.
    pub counters: Arc<WorkerCounters>,
    /// What the other workers carry.
    pub others: Arc<OthersLoad>,
    /// The persistence templates of all workers.
    pub templates: Arc<TemplateStore>,
    /// The announced data connections of all workers.
    pub expect: Arc<Expectations>,
    /// Neighbours it wants resolved; a full queue loses the wish, the next packet repeats it.
    pub wishes: Arc<ArrayQueue<ResolveRequest>>,
    /// Who owns which slot.
    pub slot_map: Arc<SlotMap>,
    /// Buffers for fragments.
    pub pool: L,
    /// Where its identifications of IPv4 headers begin: workers that begin far apart do not give
    /// one to two datagrams of the same addresses at the same time.
    pub ip_id: u16,
}

/// All that one worker knows and decides; owns its conns by value.
pub struct Director<P: Packet, L: Pool<Packet = P>> {
    worker: WorkerId,
    conns: ConnTable,
    tables: Tables,
    accounts: Accounts,
    sweeper: Sweeper,
    interfaces: Arc<Interfaces>,
    wishes: Arc<ArrayQueue<ResolveRequest>>,
    local_ports: LocalPorts,
    held: Held<P>,
    fragments: Fragments<P>,
    linux_fragments: LinuxFragments,
    defence: Defence,
    pool: L,
    now: Tick,
    ip_ids: IpIds,
    flush: Flush,
    /// When this worker last looked for announcements that are over.
    announced_swept: Tick,
    path_mtus: PathMtus,
    icmp_limiter: IcmpLimiter,
    /// Whether plain packets take the short way.
    express: bool,
    /// Whether many packets arrive that are other workers'.
    is_mixed: bool,
}

impl<P: Packet, L: Pool<Packet = P>> Director<P, L> {
    /// A director without services. Conns of an adopted table are counted for their destinations.
    pub fn new(setup: Setup<L>) -> Self {
        let mut conns = setup.conns;
        attached::forget_links(&mut conns);
        let accounts = Accounts::new(setup.counters, setup.others, setup.templates, setup.expect);
        accounts.adopt(&conns);
        let workers = setup.slot_map.workers();
        let fragments = Fragments::new(conns.secret());
        let icmp_limiter = IcmpLimiter::new(workers, conns.secret());
        Director {
            worker: setup.worker,
            conns,
            sweeper: Sweeper::new(setup.worker.index(), workers, Tick::default()),
            tables: Tables::new(setup.worker, setup.slot_map),
            accounts,
            interfaces: setup.interfaces,
            wishes: setup.wishes,
            local_ports: LocalPorts::new(),
            held: Held::new(),
            fragments,
            linux_fragments: LinuxFragments::new(),
            defence: Defence::new(setup.worker),
            pool: setup.pool,
            now: Tick::default(),
            flush: Flush::default(),
            announced_swept: Tick::default(),
            ip_ids: IpIds::new(setup.ip_id),
            path_mtus: PathMtus::new(),
            icmp_limiter,
            express: true,
            is_mixed: false,
        }
    }

    /// Whether plain packets may take the short way, as they do; without it all go the whole one, which
    /// changes nothing but speed.
    pub fn set_express(&mut self, express: bool) {
        self.express = express;
    }

    /// Takes a window through all stages and leaves it empty. The first `handed_in` packets came
    /// from other workers and are this worker's, whatever its own snapshots say: two workers whose
    /// snapshots differ for a moment must not play ball with a packet. But they begin no conn here
    /// that would be another's.
    ///
    /// # Panics
    /// If the window is longer than [`WINDOW`].
    pub fn process(
        &mut self,
        window: &mut Vec<P>,
        handed_in: usize,
        now: Tick,
        out: &mut Outbox<P>,
    ) {
        self.now = now;
        out.fragments_left = WINDOW;
        let handed_in = if self.is_mixed { self.sort(window, handed_in, out) } else { handed_in };
        let mut lanes = Lanes::default();
        self.parse(window, &mut lanes, handed_in);
        self.owner(window, &mut lanes, handed_in);
        self.lookup(&mut lanes, window.len());
        self.forward_all(window, &lanes, handed_in, out);
        self.conns.end_window();
        self.is_mixed = self.is_mixed(out);
    }

    /// Stages 4 to 7 of one packet: find or schedule, track, forward, next hop.
    #[inline(never)]
    fn flow<A: FlowFamily>(
        &mut self,
        packet: &mut P,
        flow: &Flow<A>,
        out: &mut Outbox<P>,
    ) -> Verdict {
        let found = self.conns.find(&flow.headers.key, flow.hash, flow.candidate);
        let found = found.filter(|&(id, _)| !self.end_if_expired(id));
        match found {
            Some((id, Direction::Inbound)) => self.inbound(packet, flow, id, out),
            Some((id, Direction::Outbound)) => self.outbound(packet, flow, id, out),
            None => self.first_packet(packet, flow, out),
        }
    }

    /// Puts a packet where its verdict says, and with it the fragments that it was cut into.
    #[inline(always)]
    fn finish(
        &mut self,
        verdict: Verdict,
        packet: P,
        interface: Option<InterfaceId>,
        out: &mut Outbox<P>,
    ) {
        self.carry_out(verdict, packet, interface, out);
        if !out.followers.is_empty() {
            self.carry_out_followers(verdict, interface, out);
        }
    }

    /// Puts a packet where its verdict says, or counts its drop.
    #[inline(always)]
    fn carry_out(
        &mut self,
        verdict: Verdict,
        packet: P,
        interface: Option<InterfaceId>,
        out: &mut Outbox<P>,
    ) {
        match verdict {
            Verdict::Transmit(port) => out.transmit(port, packet),
            other => self.carry_out_other(other, packet, interface, out),
        }
    }

    #[inline(never)]
    fn carry_out_other(
        &mut self,
        verdict: Verdict,
        packet: P,
        interface: Option<InterfaceId>,
        out: &mut Outbox<P>,
    ) {
        match verdict {
            Verdict::Transmit(port) => out.transmit(port, packet),
            Verdict::Punt(class) => self.punt(class, packet, interface, out),
            Verdict::Deliver => self.deliver(packet, interface, out),
            Verdict::HandOver(worker) => out.hand_over(worker, packet),
            Verdict::Hold => self.hold(packet, out),
            Verdict::Drop(reason) => out.tally.drop_one(reason),
        }
    }

    /// Fragments share the verdict of the packet they were cut from.
    #[cold]
    fn carry_out_followers(
        &mut self,
        verdict: Verdict,
        interface: Option<InterfaceId>,
        out: &mut Outbox<P>,
    ) {
        let mut followers = mem::take(&mut out.followers);
        for part in followers.drain(..) {
            self.carry_out(verdict, part, interface, out);
        }
        out.followers = followers;
    }

    fn punt(
        &self,
        class: PuntClass,
        packet: P,
        interface: Option<InterfaceId>,
        out: &mut Outbox<P>,
    ) {
        match interface {
            Some(interface) if self.interfaces.get(interface).twin => {
                out.punt(class, interface, packet);
            }
            _ => out.tally.drop_one(DropReason::NoTwin),
        }
    }

    /// Ends conns whose time has come, and the wait of fragments; looks at `budget` of those that are
    /// due for a look. To be called every turn: a worker that is busy making conns must not fall behind
    /// ending them.
    pub fn expire(&mut self, now: Tick, budget: usize) {
        let (accounts, tables) = (&self.accounts, &mut self.tables);
        let families = accounts.expect().families();
        let keep =
            |conn: &mut Conn, side: Option<&SideRecord>| announced::hold(conn, side, families, now);
        self.conns.expire(now, budget, keep, &mut |conn| {
            accounts.conn_ends(conn, &tables.services, now, ChildEnd::Expired);
            tables.load_changed(conn.dest);
        });
        self.conns.end_window();
        // A window's fragments may be of as many datagrams.
        self.fragments.cache.expire(now, 2 * WINDOW);
    }

    /// Lets held packets go, or drops them when they have waited too long, defends against floods and
    /// ends templates.
    pub fn housekeep(&mut self, now: Tick, out: &mut Outbox<P>) {
        self.now = now;
        self.defend();
        self.release_held(out);
        self.flush_removed();
        self.review_announced();
        self.sweeper.sweep(self.accounts.templates(), now, TEMPLATE_BATCH);
        self.accounts.counters().conns.store(self.conns.len() as u64, RELAXED);
    }

    /// The tables in use; control's messages replace them between windows.
    pub fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Whose director it is.
    pub fn id(&self) -> WorkerId {
        self.worker
    }

    /// The conns, for listings.
    pub fn conns(&self) -> &ConnTable {
        &self.conns
    }

    /// The templates, for listings.
    pub fn templates(&self) -> &TemplateStore {
        self.accounts.templates()
    }

    /// Adds a window's tally to the worker's counters.
    pub fn gather(&mut self, tally: &mut Tally) {
        self.fragments.cache.settle(tally);
        let held = self.held.len() + self.fragments.cache.held();
        self.accounts.counters().gather(tally, held);
        *tally = Tally::default();
    }

    /// Drops what is held, when the worker stops.
    pub fn drop_held(&mut self, tally: &mut Tally) {
        let held = self.held.clear() + self.fragments.cache.clear();
        tally.dropped[DropReason::Stopping.index()] += held as u64;
    }

    /// The table itself, its region to be adopted by the next director.
    pub fn into_conns(self) -> ConnTable {
        self.conns
    }
}

const RELAXED: std::sync::atomic::Ordering = std::sync::atomic::Ordering::Relaxed;
