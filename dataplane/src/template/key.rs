//! What a template is found by.

use crate::siphash::siphash;
use bytemuck::{Pod, Zeroable};
use std::net::IpAddr;

/// Longest data that a persistence engine may find (`IP_VS_PEDATA_MAXLEN`).
pub const MAX_ENGINE_DATA: usize = 255;

/// A persistence engine (`ipvsadm --pe`): what tells clients apart besides their address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Engine {
    /// The Call-ID of SIP over UDP.
    Sip = 1,
}

/// The key of a template: IP protocol (0 for a fwmark service), the client's address after its mask,
/// virtual address or mark, virtual port (0 in the wild-card forms), and what an engine found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateKey<'a> {
    name: Name,
    data: &'a [u8],
}

/// A key without its data, as it is stored. Addresses in network order, IPv4 in the first four
/// bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Name {
    client: [u8; 16],
    /// Virtual address; for protocol 0 the mark in the first four bytes, as the kernel has it.
    target: [u8; 16],
    pub vport: u16,
    pub proto: u8,
    /// 4 or 6.
    family: u8,
    /// [`Engine`], 0 for none.
    engine: u8,
    data_len: u8,
    zero: [u8; 2],
}

impl TemplateKey<'_> {
    /// Of a service by protocol, address and port; port 0 for all ports.
    pub fn of_address(proto: u8, client: IpAddr, vip: IpAddr, vport: u16) -> TemplateKey<'static> {
        Self::of(Name { vport, proto, ..Name::of(client, octets(vip)) })
    }

    /// Of a service by firewall mark.
    pub fn of_mark(client: IpAddr, mark: u32) -> TemplateKey<'static> {
        let mut target = [0; 16];
        target[..4].copy_from_slice(&mark.to_be_bytes());
        Self::of(Name::of(client, target))
    }

    fn of(name: Name) -> TemplateKey<'static> {
        TemplateKey { name, data: &[] }
    }

    /// The same with what an engine found; `None` if that is nothing or more than
    /// [`MAX_ENGINE_DATA`] bytes.
    pub fn with_engine(self, engine: Engine, data: &[u8]) -> Option<TemplateKey<'_>> {
        let data_len = u8::try_from(data.len()).ok().filter(|&len| len > 0)?;
        let name = Name { engine: engine as u8, data_len, ..self.name };
        Some(TemplateKey { name, data })
    }

    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    pub(super) fn data(&self) -> &[u8] {
        self.data
    }

    /// Hash under a secret of 128 bits, without which nobody finds addresses or Call-IDs that meet.
    pub(super) fn hash(&self, secret: &[u64; 2]) -> u64 {
        const NAME: usize = size_of::<Name>();
        let mut bytes = [0; NAME + MAX_ENGINE_DATA];
        bytes[..NAME].copy_from_slice(bytemuck::bytes_of(&self.name));
        bytes[NAME..][..self.data.len()].copy_from_slice(self.data);
        siphash(&bytes[..NAME + self.data.len()], secret)
    }
}

impl Name {
    fn of(client: IpAddr, target: [u8; 16]) -> Name {
        let family = family(client);
        Name { client: octets(client), target, family, ..Name::zeroed() }
    }

    /// The client's address, masked.
    pub fn client(&self) -> IpAddr {
        addr(self.client, self.family)
    }

    /// The virtual address, or the mark written as one.
    pub fn target(&self) -> IpAddr {
        addr(self.target, self.family)
    }

    pub fn engine(&self) -> Option<Engine> {
        (self.engine == Engine::Sip as u8).then_some(Engine::Sip)
    }

    pub fn data_len(&self) -> usize {
        self.data_len.into()
    }
}

/// 4 or 6.
pub(super) fn family(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 4 } else { 6 }
}

/// Network order, IPv4 in the first four bytes.
pub(super) fn octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V6(addr) => addr.octets(),
        IpAddr::V4(addr) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&addr.octets());
            octets
        }
    }
}

/// The address that [`octets`] were made of.
pub(super) fn addr(octets: [u8; 16], family: u8) -> IpAddr {
    let [a, b, c, d, ..] = octets;
    if family == 4 { IpAddr::from([a, b, c, d]) } else { IpAddr::from(octets) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const SECRET: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Keys that differ in one thing each, and that plain bytes could confuse.
    fn near_keys() -> Vec<TemplateKey<'static>> {
        let (client, vip) = (ip("10.0.0.1"), ip("10.0.0.100"));
        let base = TemplateKey::of_address(17, client, vip, 80);
        let sip = |data| base.with_engine(Engine::Sip, data).unwrap();
        vec![
            base,
            TemplateKey::of_address(6, client, vip, 80),
            TemplateKey::of_address(17, client, vip, 0),
            TemplateKey::of_address(17, vip, client, 80),
            TemplateKey::of_address(0, client, vip, 0),
            TemplateKey::of_address(17, ip("a00:1::"), ip("a00:64::"), 80),
            TemplateKey::of_address(17, ip("::ffff:10.0.0.1"), ip("::ffff:10.0.0.100"), 80),
            TemplateKey::of_mark(client, 1),
            TemplateKey::of_mark(ip("a00:1::"), 1),
            sip(b"a"),
            sip(b"a\0"),
            sip(b"call-0@1"),
            sip(b"call-0@1\0\0"),
        ]
    }

    #[test]
    fn keys_that_differ_in_anything_are_other_keys_with_other_hashes() {
        let keys = near_keys();
        for (at, key) in keys.iter().enumerate() {
            assert_eq!(keys.iter().position(|other| other == key), Some(at));
        }
        let hashes: HashSet<u64> = keys.iter().map(|key| key.hash(&SECRET)).collect();
        assert_eq!(hashes.len(), keys.len());
    }

    #[test]
    fn engine_data_is_1_to_255_bytes() {
        let key = TemplateKey::of_mark(ip("10.0.0.1"), 1);
        assert_eq!(key.with_engine(Engine::Sip, b""), None);
        assert_eq!(key.with_engine(Engine::Sip, &[7; 256]), None);
        assert!(key.with_engine(Engine::Sip, &[7; MAX_ENGINE_DATA]).is_some());
    }

    #[test]
    fn a_mark_reads_as_an_address_of_the_clients_family() {
        let target = |client| TemplateKey::of_mark(ip(client), 0x0102_0304).name.target();
        assert_eq!(target("10.0.0.1"), ip("1.2.3.4"));
        assert_eq!(target("2001:db8::1"), ip("102:304::"));
    }
}
