//! The extension headers of a packet, RFC 8200 section 4, as IPVS walks them (`ipv6_find_hdr`): hop by
//! hop, routing, fragment, AH and destination options. All else is what the packet carries.

use super::fragment_header::{
    ID, LEN as FRAGMENT_LEN, MF, OFFSET, OFFSET_MASK, PROTOCOL as FRAGMENT,
};
use super::{HEADER_LEN, NEXT_HEADER};
use crate::flow::protocol::AH;
use crate::limits::{EXT_HEADERS, EXT_HEADERS_LEN};
use crate::wire::{be16, be32};

/// Next-header values (IANA) of extension headers. AH is also a protocol.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION_OPTIONS: u8 = 60;

/// What the extension headers lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// Protocol of what follows them.
    pub proto: u8,
    /// Length of all headers, the IPv6 header included: the offset of what follows.
    pub len: usize,
    /// Of a fragment: where it belongs. The walk ends behind its header.
    pub fragment: Option<Fragment>,
}

/// What a fragment header says of a fragment. One that is the whole datagram (RFC 6946) is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Identification.
    pub id: u32,
    /// Place in the datagram, bytes.
    pub offset: u16,
    /// Whether others follow.
    pub more: bool,
}

/// Why what the packet carries is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainError {
    /// The packet ends within the chain.
    Cut,
    /// More headers, or more bytes of them, than [`EXT_HEADERS`] and [`EXT_HEADERS_LEN`].
    TooLong,
}

/// Walks the extension headers of the packet in `ip`, given from its IPv6 header on.
#[inline]
pub fn chain(ip: &[u8]) -> Result<Chain, ChainError> {
    let proto = ip[NEXT_HEADER];
    if !is_extension(proto) {
        return Ok(Chain { proto, len: HEADER_LEN, fragment: None });
    }
    walk(ip, proto)
}

fn is_extension(proto: u8) -> bool {
    matches!(proto, HOP_BY_HOP | ROUTING | FRAGMENT | AH | DESTINATION_OPTIONS)
}

#[cold]
fn walk(ip: &[u8], mut proto: u8) -> Result<Chain, ChainError> {
    let mut len = HEADER_LEN;
    for _ in 0..EXT_HEADERS {
        if !is_extension(proto) {
            return Ok(Chain { proto, len, fragment: None });
        }
        // Every extension header has eight bytes at least.
        let head = ip.get(len..).and_then(<[u8]>::first_chunk::<8>).ok_or(ChainError::Cut)?;
        len += match proto {
            FRAGMENT => FRAGMENT_LEN,
            AH => (usize::from(head[1]) + 2) * 4,
            _ => (usize::from(head[1]) + 1) * 8,
        };
        let is_fragment = proto == FRAGMENT;
        proto = head[0];
        if len > HEADER_LEN + EXT_HEADERS_LEN {
            return Err(ChainError::TooLong);
        }
        if len > ip.len() {
            return Err(ChainError::Cut);
        }
        if let Some(fragment) = fragment(head).filter(|_| is_fragment) {
            return Ok(Chain { proto, len, fragment: Some(fragment) });
        }
    }
    match is_extension(proto) {
        true => Err(ChainError::TooLong),
        false => Ok(Chain { proto, len, fragment: None }),
    }
}

/// What a fragment header says; `None` for that of a whole datagram.
fn fragment(head: &[u8; FRAGMENT_LEN]) -> Option<Fragment> {
    let field = be16(head, OFFSET);
    let fragment =
        Fragment { id: be32(head, ID), offset: field & OFFSET_MASK, more: field & MF != 0 };
    (fragment.more || fragment.offset != 0).then_some(fragment)
}

#[cfg(test)]
mod tests;
