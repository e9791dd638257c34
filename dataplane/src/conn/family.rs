//! What the table does otherwise for the two families: an IPv4 conn is one line, an IPv6 conn two.

use super::entry::{Conn, ConnFlags};
use super::hash::{self, KeyHash};
use super::locals::Locals;
use super::second::SecondLine;
use crate::address::Address;
use crate::flow::{Direction, FlowKey};

/// The memory that a conn's addresses are in.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) entries: &'a [Conn],
    pub(super) locals: &'a Locals,
}

impl<'a> Lines<'a> {
    /// The second line of a conn that has one. A zero line for a conn that claims one beyond the
    /// table, which adoption rules out.
    #[inline]
    pub(super) fn second(self, conn: &Conn) -> Option<&'a SecondLine> {
        let entry = conn.second_entry()?;
        self.entries.get(entry as usize).map(bytemuck::cast_ref)
    }
}

/// The family of a conn's client and virtual address.
pub trait ConnFamily: Address {
    /// Hashes a key under a table's secret.
    #[doc(hidden)]
    fn hash_key(key: &FlowKey<Self>, secret: &[u64; 2]) -> KeyHash;

    /// Whether `key` is the conn's, in the given direction.
    #[doc(hidden)]
    fn matches(lines: LinesOf<'_>, conn: &Conn, key: &FlowKey<Self>, direction: Direction) -> bool;

    /// The client's and the virtual address of a conn of this family.
    #[doc(hidden)]
    fn client_and_vip(lines: LinesOf<'_>, conn: &Conn) -> (Self, Self);

    /// The real server's address, if it is of this family too.
    #[doc(hidden)]
    fn rip(lines: LinesOf<'_>, conn: &Conn) -> Self;

    /// The local address of an index.
    #[doc(hidden)]
    fn local(lines: LinesOf<'_>, index: u16) -> Self;
}

/// [`Lines`], which only the table can make.
#[derive(Clone, Copy)]
pub struct LinesOf<'a>(pub(super) Lines<'a>);

impl ConnFamily for u32 {
    #[inline]
    fn hash_key(key: &FlowKey, secret: &[u64; 2]) -> KeyHash {
        hash::hash(key, secret)
    }

    #[inline]
    fn matches(lines: LinesOf<'_>, conn: &Conn, key: &FlowKey, direction: Direction) -> bool {
        conn.matches(key, direction, |index| lines.0.locals.v4(index))
    }

    #[inline]
    fn client_and_vip(_: LinesOf<'_>, conn: &Conn) -> (u32, u32) {
        (conn.cip, conn.vip)
    }

    #[inline]
    fn rip(_: LinesOf<'_>, conn: &Conn) -> u32 {
        conn.rip
    }

    #[inline]
    fn local(lines: LinesOf<'_>, index: u16) -> u32 {
        lines.0.locals.v4(index)
    }
}

impl ConnFamily for u128 {
    #[inline]
    fn hash_key(key: &FlowKey<u128>, secret: &[u64; 2]) -> KeyHash {
        hash::hash_wide(key, secret)
    }

    #[inline]
    fn matches(
        LinesOf(lines): LinesOf<'_>,
        conn: &Conn,
        key: &FlowKey<u128>,
        direction: Direction,
    ) -> bool {
        let inbound = direction == Direction::Inbound;
        if !conn.flags.is_found(direction, ConnFlags::V6) || conn.proto != key.proto {
            return false;
        }
        let Some(second) = lines.second(conn) else { return false };
        let (src, dst) = match inbound {
            true => ((second.cip(), conn.cport), (second.vip(), conn.vport)),
            false if conn.lip_index == 0 => {
                ((second.rip(), conn.rport), (second.cip(), conn.cport))
            }
            false => ((second.rip(), conn.rport), (lines.locals.v6(conn.lip_index), conn.lport)),
        };
        (key.src, key.sport) == src && (key.dst, key.dport) == dst
    }

    #[inline]
    fn client_and_vip(LinesOf(lines): LinesOf<'_>, conn: &Conn) -> (u128, u128) {
        lines.second(conn).map_or((0, 0), |second| (second.cip(), second.vip()))
    }

    #[inline]
    fn rip(LinesOf(lines): LinesOf<'_>, conn: &Conn) -> u128 {
        lines.second(conn).map_or(0, SecondLine::rip)
    }

    #[inline]
    fn local(LinesOf(lines): LinesOf<'_>, index: u16) -> u128 {
        lines.locals.v6(index)
    }
}
