//! Data connections that control connections announced and that have not begun, known to all
//! workers: a data connection has another client port than its control connection, so likely another
//! owner.
//!
//! The kernel keeps them among its conns, in state LISTEN and for that state's time, those of
//! passive mode with client port 0 (`IP_VS_CONN_F_NO_CPORT`). Here a worker asks once, when a TCP
//! packet is of no conn, and whoever takes an expectation is the only one who gets it.
//!
//! The store is a number of shards, chosen by a keyed hash of the client's address, each behind a
//! lock that workers try a bounded number of times. What costs a flood of new connections nothing:
//! while nothing is expected a question is one load, and one more tells most clients for whom
//! nothing is. The loads are relaxed: a data connection's first packet has crossed the network twice
//! since its announcement was stored.
//!
//! An expectation counts as a conn of its destination, as the kernel's entry does, on the worker that
//! announced it: its home. Whoever removes it tells the home so ([`Settled`]), because a worker's
//! counts are written by that worker alone. [`Families`] say which control connections have data
//! connections, announced or under way.

mod families;
mod shard;

pub use families::{Families, FamilyId};

use crate::conn::{Addresses, Conn, Listed};
use crate::ids::{DestId, WorkerId};
use crate::limits::{EXPECT_PER_SHARD, EXPECT_SHARDS, WINDOW};
use crate::proto::tcp;
use crate::siphash::siphash;
use crate::time::Tick;
use bytemuck::Zeroable;
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use shard::{Room, Shard};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Times a worker tries a lock: some microseconds, in which a holder that runs is done.
const LOCK_TRIES: usize = 128;
/// Counters of clients for whom something is expected, for each shard.
const CELLS: usize = 64;

/// A data connection to come. Addresses and ports are host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation {
    /// IP protocol.
    pub proto: u8,
    /// The client's address.
    pub client: IpAddr,
    /// The client's port where it listens (active); 0 if it connects, from any port (passive).
    pub cport: u16,
    /// What the client knows as the server.
    pub vip: IpAddr,
    /// See [`Self::vip`].
    pub vport: u16,
    /// The real server.
    pub rip: IpAddr,
    /// See [`Self::rip`].
    pub rport: u16,
    /// The destination that the conn is to be bound to.
    pub dest: DestId,
    /// The conn's flags, forwarding method among them, in the form of the conn table.
    pub flags: u32,
    /// The control conn's, which counts this one among its children.
    pub family: FamilyId,
    /// The worker that counts it for its destination.
    pub home: WorkerId,
    /// When it is over.
    pub deadline: Tick,
}

/// The ends of a TCP packet that is of no conn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// From a client to a virtual service.
    Inbound {
        /// Source.
        client: (IpAddr, u16),
        /// Destination.
        virtual_end: (IpAddr, u16),
    },
    /// From a real server to a client.
    Outbound {
        /// Source.
        real: (IpAddr, u16),
        /// Destination.
        client: (IpAddr, u16),
    },
}

impl Ends {
    fn client(&self) -> IpAddr {
        match self {
            Ends::Inbound { client, .. } | Ends::Outbound { client, .. } => client.0,
        }
    }
}

/// What became of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// It is expected.
    New,
    /// It was expected already and is for longer; all else stays as first announced.
    Renewed,
    /// No room, and none of this client's that could give way.
    Full,
    /// Another worker had the lock for long: drop the packet, it will come again.
    Busy,
}

/// The answer to whether a packet was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was not.
    None,
    /// It was; nobody else gets this answer.
    Expected(Expectation),
    /// Another worker had the lock for long: drop the packet, it will come again.
    Busy,
}

/// An expectation that its home no longer counts for its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The destination.
    pub dest: DestId,
    /// Its family, which it leaves, if its time was over; a conn that came of it stays in it.
    pub left: Option<FamilyId>,
}

/// The store. All its memory is taken when it is made.
#[derive(Debug)]
pub struct Expectations {
    /// How many there are, those that are over but not removed among them.
    count: CachePadded<AtomicU32>,
    shards: Box<[CachePadded<Locked>]>,
    /// By worker.
    settled: Box<[ArrayQueue<Settled>]>,
    families: Families,
    secret: [u64; 2],
}

/// What a home has not read yet: all expectations may be its, and one turn's more.
const SETTLED: usize = EXPECT_SHARDS * EXPECT_PER_SHARD + 2 * WINDOW;

#[derive(Debug)]
struct Locked {
    /// Expectations of the clients whose hash leads here.
    cells: [AtomicU32; CELLS],
    shard: Mutex<Shard>,
}

impl Expectations {
    /// An empty store for so many workers; `secret` is random.
    pub fn new(secret: [u64; 2], workers: usize) -> Expectations {
        let locked = || Locked {
            cells: [const { AtomicU32::new(0) }; CELLS],
            shard: Mutex::new(Shard::new(EXPECT_PER_SHARD)),
        };
        let shards = (0..EXPECT_SHARDS).map(|_| CachePadded::new(locked())).collect();
        let settled = (0..workers).map(|_| ArrayQueue::new(SETTLED)).collect();
        let (count, families) = (CachePadded::default(), Families::new());
        Expectations { count, shards, settled, families, secret }
    }

    /// Stores an announcement.
    pub fn announce(&self, expectation: Expectation, now: Tick) -> Announced {
        let (locked, cell) = self.place(expectation.client);
        let Some(mut shard) = locked.try_lock() else { return Announced::Busy };
        if shard.renew(&expectation, now) {
            return Announced::Renewed;
        }
        if let Room::None =
            shard.make_room(expectation.client, now, |old| self.is_over(locked, old))
        {
            return Announced::Full;
        }
        shard.push(expectation);
        locked.cells[cell].fetch_add(1, Relaxed);
        self.count.fetch_add(1, Relaxed);
        Announced::New
    }

    /// Takes what was announced about a packet of `proto` between `ends`. Of several for any port of
    /// the client the one announced last is taken, as from the kernel.
    #[inline]
    pub fn take(&self, proto: u8, ends: &Ends, now: Tick) -> Taken {
        if self.count.load(Relaxed) == 0 { Taken::None } else { self.search(proto, ends, now) }
    }

    fn search(&self, proto: u8, ends: &Ends, now: Tick) -> Taken {
        let (locked, cell) = self.place(ends.client());
        if locked.cells[cell].load(Relaxed) == 0 {
            return Taken::None;
        }
        let Some(mut shard) = locked.try_lock() else { return Taken::Busy };
        match shard.take(proto, ends, now) {
            Some(expectation) => {
                self.settle(locked, &expectation, None);
                Taken::Expected(expectation)
            }
            None => Taken::None,
        }
    }

    /// Removes those that are over; passes over shards that are in use. To be called now and then,
    /// so that a store in which nothing is expected is empty.
    pub fn expire(&self, now: Tick) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        for locked in &self.shards {
            if let Some(mut shard) = locked.try_lock() {
                shard.expire(now, |old| self.is_over(locked, old));
            }
        }
    }

    /// Appends all that are not over, for a listing. Waits for locks and may allocate: not for
    /// workers.
    pub fn list(&self, now: Tick, into: &mut Vec<Expectation>) {
        for locked in &self.shards {
            into.reserve(EXPECT_PER_SHARD);
            let shard = locked.shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            into.extend(shard.iter().filter(|expectation| !expectation.is_over(now)));
        }
    }

    /// How many there are, those that are over but not removed among them.
    pub fn len(&self) -> usize {
        self.count.load(Relaxed) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A client's shard and its counter there.
    fn place(&self, client: IpAddr) -> (&Locked, usize) {
        let hash = match client {
            IpAddr::V4(address) => siphash(&address.octets(), &self.secret),
            IpAddr::V6(address) => siphash(&address.octets(), &self.secret),
        };
        let shard = hash as usize % self.shards.len();
        (&self.shards[shard], (hash >> 32) as usize % CELLS)
    }

    /// The next expectation that `home` is to count no longer.
    pub fn settled(&self, home: WorkerId) -> Option<Settled> {
        self.settled[home.index()].pop()
    }

    /// The families of control connections.
    pub fn families(&self) -> &Families {
        &self.families
    }

    fn is_over(&self, locked: &Locked, old: &Expectation) {
        self.settle(locked, old, Some(old.family));
    }

    fn settle(&self, locked: &Locked, old: &Expectation, left: Option<FamilyId>) {
        let (_, cell) = self.place(old.client);
        locked.cells[cell].fetch_sub(1, Relaxed);
        self.count.fetch_sub(1, Relaxed);
        let told = self.settled[old.home.index()].push(Settled { dest: old.dest, left });
        debug_assert!(told.is_ok(), "a home that announces reads what was settled");
    }
}

impl Locked {
    /// The shard, if no other thread holds it for long. That one died with it does no harm: each
    /// change of a shard is whole.
    fn try_lock(&self) -> Option<MutexGuard<'_, Shard>> {
        for _ in 0..LOCK_TRIES {
            match self.shard.try_lock() {
                Ok(shard) => return Some(shard),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }
}

impl Expectation {
    /// Whether its time has passed.
    pub fn is_over(&self, now: Tick) -> bool {
        now.since(self.deadline) as i32 >= 0
    }

    /// The conn that it is in the kernel, for a listing.
    pub fn listed(&self, now: Tick) -> Listed {
        let mut conn = Conn::zeroed();
        (conn.proto, conn.state) = (self.proto, tcp::state::LISTEN);
        (conn.cport, conn.vport, conn.rport) = (self.cport, self.vport, self.rport);
        (conn.last_seen, conn.timeout) = (now, self.deadline.since(now));
        let addresses = Addresses { client: self.client, vip: self.vip, real: self.rip };
        Listed { conn, addresses, local: None }
    }

    /// Whether a packet of `proto` between `ends` is its first one. A client may also answer before
    /// its server has spoken: the kernel finds the entry of active mode from either side.
    fn is_about(&self, proto: u8, ends: &Ends) -> bool {
        let ends_match = match *ends {
            Ends::Inbound { client, virtual_end } => {
                self.client == client.0
                    && (self.cport == 0 || self.cport == client.1)
                    && (self.vip, self.vport) == virtual_end
            }
            Ends::Outbound { real, client } => {
                (self.rip, self.rport) == real && (self.client, self.cport) == client
            }
        };
        self.proto == proto && ends_match
    }

    /// Whether the kernel would find this entry when asked to make `other`: that of passive mode by
    /// the real server's end, that of active mode by the virtual one, whoever the server is.
    fn is_again(&self, other: &Expectation) -> bool {
        let same_real = self.cport != 0 || (self.rip, self.rport) == (other.rip, other.rport);
        let key = |e: &Expectation| (e.proto, e.client, e.cport, e.vip, e.vport);
        key(self) == key(other) && same_real
    }
}

#[cfg(test)]
mod tests;
