//! What a service says to its fullnat destinations.

/// How a real server behind fullnat learns the client's address, of TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClientAddress {
    /// Not at all.
    #[default]
    None,
    /// In a TCP option ([`crate::forward::toa`]).
    Toa,
    /// In a line of text before the first byte ([`crate::app::proxy`]).
    ProxyV1,
    /// In a binary header before the first byte.
    ProxyV2,
}

/// A service's fullnat settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fullnat {
    /// Its local addresses, by their indices in [`crate::conn::Locals`].
    pub locals: Vec<u16>,
    /// What tells real servers who the client is.
    pub client_address: ClientAddress,
}
