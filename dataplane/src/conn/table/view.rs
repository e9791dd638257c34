//! What a table says of itself and its conns, without changing them.

use super::super::entry::{Conn, ConnFlags};
use super::super::family::ConnFamily;
use super::super::{Addresses, ConnId, Listed};
use super::ConnTable;
use crate::address::Address;
use crate::service::ForwardingMethod;
use std::ops::Range;

impl ConnTable {
    /// Conns in the table.
    #[inline]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Conns that it may have at once; one of IPv6 counts twice.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Numbers of entries, live or not: the range that [`ConnTable::live_in`] is asked about piece by
    /// piece for a bounded dump.
    pub fn ids(&self) -> Range<u32> {
        0..self.entries.len() as u32
    }

    /// The conns among the entries of `range`, which may reach beyond the last.
    pub fn live_in(&self, range: Range<u32>) -> impl Iterator<Item = (ConnId, &Conn)> {
        let end = (range.end as usize).min(self.entries.len());
        let start = (range.start as usize).min(end);
        (range.start..)
            .zip(&self.entries[start..end])
            .filter_map(|(entry, conn)| conn.is_live().then_some((ConnId(entry), conn)))
    }

    /// The first conn at or after entry `from`.
    pub fn next_live(&self, from: u32) -> Option<(ConnId, &Conn)> {
        self.live_in(from..u32::MAX).next()
    }

    /// Client's and virtual address of a conn of the family.
    #[inline]
    pub fn client_and_vip<A: ConnFamily>(&self, conn: &Conn) -> (A, A) {
        A::client_and_vip(self.lines(), conn)
    }

    /// Real server's address of a conn whose addresses are all of the family.
    #[inline]
    pub fn rip<A: ConnFamily>(&self, conn: &Conn) -> A {
        A::rip(self.lines(), conn)
    }

    /// The local address that a conn of fullnat names.
    #[inline]
    pub fn local<A: ConnFamily>(&self, conn: &Conn) -> A {
        self.local_address(conn.lip_index)
    }

    /// The local address of an index; 0 if it has none of the family.
    #[inline]
    pub fn local_address<A: ConnFamily>(&self, index: u16) -> A {
        A::local(self.lines(), index)
    }

    /// A conn for a listing.
    pub fn listed(&self, conn: &Conn) -> Listed {
        let fullnat = conn.flags.method() == Some(ForwardingMethod::Fullnat);
        let local = match conn.is_v6() {
            false => self.local::<u32>(conn).ip(),
            true => self.local::<u128>(conn).ip(),
        };
        let local = fullnat.then_some(local);
        Listed { conn: *conn, addresses: self.addresses(conn), local }
    }

    /// The addresses of a conn of any family.
    pub fn addresses(&self, conn: &Conn) -> Addresses {
        let lines = self.lines();
        let (client, vip) = match conn.is_v6() {
            false => (conn.cip.ip(), conn.vip.ip()),
            true => {
                let (client, vip) = u128::client_and_vip(lines, conn);
                (client.ip(), vip.ip())
            }
        };
        let real = match conn.flags.contains(ConnFlags::RIP_V6) {
            false => conn.rip.ip(),
            true => u128::rip(lines, conn).ip(),
        };
        Addresses { client, vip, real }
    }

    /// A copy of the bytes of the region that survive this process, as they are at this moment.
    pub fn image(&self) -> Vec<u8> {
        let mut image = bytemuck::cast_slice(self.header).to_vec();
        self.locals.bytes().iter().for_each(|part| image.extend_from_slice(part));
        image.extend_from_slice(bytemuck::cast_slice(self.entries));
        image.extend_from_slice(bytemuck::cast_slice(self.side.records()));
        image
    }
}
