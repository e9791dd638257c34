//! What the director asks of an address family: it is written once for both.

use crate::conn::ConnFamily;
use crate::forward::icmp_error::ErrorForm;
use crate::plain::PlainForm;

/// IPv4's `u32` or IPv6's `u128`.
pub trait FlowFamily: ConnFamily + ErrorForm + PlainForm {}

impl<A: ConnFamily + ErrorForm + PlainForm> FlowFamily for A {}
