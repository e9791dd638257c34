//! What the invariants need to know of a family.

use super::{edits, tunnel};
use dataplane::forward::icmp_error::ErrorForm;
use dataplane::parse::{Content, Headers, Parsed};

/// Names of the variants of a family's contents.
pub struct Names {
    pub flow: &'static str,
    pub cut_flow: &'static str,
    pub icmp: &'static str,
    pub quoting: &'static str,
    pub riding: &'static str,
    pub fragment: &'static str,
}

pub trait Family: ErrorForm {
    const NAMES: Names;
    /// The end that rewriting puts in: any address and port that occur in no corpus frame.
    const OTHER_END: (Self, u16);
    /// Offsets in the IP header that a hop changes.
    const HOP_FIELDS: &[usize];

    /// What a parsed frame of this family holds.
    fn content(parsed: Parsed) -> Option<Content<Self>>;

    /// What holds when a TCP payload is edited.
    fn check_edits(frame: &[u8], headers: &Headers<Self>);

    /// What holds for the packet in a tunnel.
    fn check_tunnel(frame: &[u8], headers: &Headers<Self>);
}

impl Family for u32 {
    const NAMES: Names = Names {
        flow: "flow",
        cut_flow: "cut flow",
        icmp: "icmp",
        quoting: "quoting icmp",
        riding: "riding",
        fragment: "fragment",
    };
    const OTHER_END: (u32, u16) = (0xc633_6407, 51966);
    const HOP_FIELDS: &[usize] = &[8, 10, 11];

    fn content(parsed: Parsed) -> Option<Content<u32>> {
        match parsed {
            Parsed::V4(content) => Some(content),
            _ => None,
        }
    }

    fn check_edits(frame: &[u8], headers: &Headers) {
        edits::check(frame, headers);
    }

    fn check_tunnel(frame: &[u8], headers: &Headers) {
        tunnel::check(frame, headers);
    }
}

impl Family for u128 {
    const NAMES: Names = Names {
        flow: "flow6",
        cut_flow: "cut flow6",
        icmp: "icmp6",
        quoting: "quoting icmp6",
        riding: "riding6",
        fragment: "fragment6",
    };
    const OTHER_END: (u128, u16) = (0x2001_0db8_cafe << 80 | 0xd00d_0007, 51966);
    const HOP_FIELDS: &[usize] = &[7];

    fn content(parsed: Parsed) -> Option<Content<u128>> {
        match parsed {
            Parsed::V6(content) => Some(content),
            _ => None,
        }
    }

    fn check_edits(_: &[u8], _: &Headers<u128>) {}

    fn check_tunnel(_: &[u8], _: &Headers<u128>) {}
}
