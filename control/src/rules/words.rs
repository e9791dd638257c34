//! The words that JSON and the operator use for the data path's types: the one place where
//! `tcp`, `masq`, `wlc` and dotted addresses become numbers and back.

use dataplane::address::Family;
use dataplane::flow::protocol;
use dataplane::sched::{FlagError, SchedulerKind, Scheduling};
use dataplane::service::persistence::ClientMask;
use dataplane::service::{ClientAddress, ForwardingMethod, ServiceKey};
use dataplane::template::Engine;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const METHODS: [(ForwardingMethod, &str); 4] = [
    (ForwardingMethod::Masq, "masq"),
    (ForwardingMethod::Ipip, "ipip"),
    (ForwardingMethod::Gatewaying, "gatewaying"),
    (ForwardingMethod::Fullnat, "fullnat"),
];

const CLIENT_ADDRESSES: [(ClientAddress, &str); 4] = [
    (ClientAddress::None, "none"),
    (ClientAddress::Toa, "toa"),
    (ClientAddress::ProxyV1, "proxy-v1"),
    (ClientAddress::ProxyV2, "proxy-v2"),
];

const FAMILIES: [(Family, &str); 2] = [(Family::V4, "ipv4"), (Family::V6, "ipv6")];

const PROTOCOLS: [(u8, &str); 3] =
    [(protocol::TCP, "tcp"), (protocol::UDP, "udp"), (protocol::SCTP, "sctp")];

const ENGINES: [(Engine, &str); 1] = [(Engine::Sip, "sip")];

fn name_of<T: PartialEq + Copy>(table: &[(T, &'static str)], value: T) -> Option<&'static str> {
    table.iter().find(|row| row.0 == value).map(|row| row.1)
}

fn value_of<T: Copy>(table: &[(T, &'static str)], name: &str) -> Option<T> {
    table.iter().find(|row| row.1 == name).map(|row| row.0)
}

/// The API's name of a forwarding method.
pub fn method_name(method: ForwardingMethod) -> &'static str {
    name_of(&METHODS, method).unwrap_or("unknown")
}

/// The forwarding method of that name.
pub fn method_of(name: &str) -> Option<ForwardingMethod> {
    value_of(&METHODS, name)
}

/// `tcp`, `udp`, `sctp`, or the number.
pub fn proto_name(proto: u8) -> String {
    name_of(&PROTOCOLS, proto).map_or_else(|| proto.to_string(), str::to_owned)
}

/// The protocol number that `tcp`, `udp` or `sctp` stands for.
pub fn proto_of(name: &str) -> Option<u8> {
    value_of(&PROTOCOLS, name)
}

/// The same of what conns are listed with: `ip` is the protocol of a fwmark service's template.
pub fn conn_proto_name(proto: u8) -> String {
    if proto == 0 { "ip".to_owned() } else { proto_name(proto) }
}

fn conn_proto_of(name: &str) -> Option<u8> {
    if name == "ip" { Some(0) } else { proto_of(name) }
}

/// The name of a way to pass the client's address.
pub fn client_address_name(passed: ClientAddress) -> &'static str {
    name_of(&CLIENT_ADDRESSES, passed).unwrap_or("unknown")
}

/// The way to pass the client's address of that name.
pub fn client_address_of(name: &str) -> Option<ClientAddress> {
    value_of(&CLIENT_ADDRESSES, name)
}

/// The name of a persistence engine.
pub fn engine_name(engine: Engine) -> &'static str {
    name_of(&ENGINES, engine).unwrap_or("unknown")
}

/// The persistence engine of that name.
pub fn engine_of(name: &str) -> Option<Engine> {
    value_of(&ENGINES, name)
}

/// Which clients count as one: `255.255.255.0`, or for IPv6 `64`.
pub fn mask_text(mask: ClientMask) -> String {
    match mask {
        ClientMask::Netmask(mask) => Ipv4Addr::from_bits(mask).to_string(),
        ClientMask::Prefix(len) => len.to_string(),
    }
}

/// The clients that a text of [`mask_text`] names.
pub fn mask_of(text: &str) -> Option<ClientMask> {
    match text.parse::<Ipv4Addr>() {
        Ok(mask) => Some(ClientMask::Netmask(mask.to_bits())),
        Err(_) => text.parse().ok().map(ClientMask::Prefix),
    }
}

fn family_name(family: Family) -> &'static str {
    name_of(&FAMILIES, family).unwrap_or("unknown")
}

fn family_of(name: &str) -> Option<Family> {
    value_of(&FAMILIES, name)
}

/// `10.1.0.0/16` or `2001:db8::/32` as network and length; a bare address is a network of one.
pub fn prefix_of(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = Family::of(address).bits();
    let length = length.map_or(Some(bits), |length| length.parse().ok())?;
    (length <= bits).then_some((address, length))
}

/// A scheduler with the flags of these names.
///
/// # Errors
/// The first that cannot be, in ipvsadm's words.
pub fn with_flags<'a>(
    kind: SchedulerKind,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Scheduling, String> {
    names.into_iter().try_fold(kind.into(), |scheduling: Scheduling, name| {
        scheduling.with_flag(name).map_err(|error| match error {
            FlagError::Invalid => format!("invalid scheduler flag `{name}'"),
            FlagError::Incompatible => format!("incompatible scheduler flag `{name}'"),
        })
    })
}

/// A service key in messages: `tcp 10.0.0.100:80`, `tcp [fd00::1]:80`, `fwmark 7`, `fwmark 7 IPv6`.
pub fn key_text(key: ServiceKey) -> String {
    match key {
        ServiceKey::Address { proto, vip, vport } => {
            format!("{} {}", proto_name(proto), SocketAddr::new(vip, vport))
        }
        ServiceKey::Fwmark { mark, family: Family::V4 } => format!("fwmark {mark}"),
        ServiceKey::Fwmark { mark, family: Family::V6 } => format!("fwmark {mark} IPv6"),
    }
}

/// `serde(with)` of a value that stands in JSON as one of a table's names.
macro_rules! by_name {
    ($(#[$doc:meta])* $module:ident: $type:ty, $what:literal, $to:expr, $from:expr) => {
        $(#[$doc])*
        pub mod $module {
            use super::*;
            /// Its name.
            pub fn serialize<S: Serializer>(value: &$type, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str($to(*value).as_ref())
            }
            /// The value of a name.
            pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                let name = String::deserialize(from)?;
                $from(&name).ok_or_else(|| D::Error::custom(format!(concat!($what, " `{}'"), name)))
            }
        }
    };
}

by_name! {
    /// Schedulers, by ipvsadm's name.
    scheduler: SchedulerKind, "unknown scheduler", SchedulerKind::name, SchedulerKind::from_name
}
by_name! {
    /// Forwarding methods: `masq`, `ipip`, `gatewaying`, `fullnat`.
    method: ForwardingMethod, "unknown forwarding method", method_name, method_of
}
by_name! {
    /// Ways to pass the client's address: `none`, `toa`, `proxy-v1`, `proxy-v2`.
    client_address: ClientAddress, "unknown way to pass the client's address",
    client_address_name, client_address_of
}
by_name! {
    /// Protocols: `tcp`, `udp`, `sctp`.
    proto: u8, "unknown protocol", proto_name, proto_of
}
by_name! {
    /// Protocols of conns and templates: `tcp`, `udp`, `sctp`, `ip`.
    conn_proto: u8, "unknown protocol", conn_proto_name, conn_proto_of
}
by_name! {
    /// Networks, `10.1.0.0/16`, `2001:db8::/32`.
    prefix: (IpAddr, u8), "no network",
    |(address, length): (IpAddr, u8)| format!("{address}/{length}"), prefix_of
}

by_name! {
    /// Persistence engines: `sip`.
    engine_by_name: Engine, "unknown persistence engine", engine_name, engine_of
}
by_name! {
    /// Masks of clients.
    mask_by_text: ClientMask, "no mask of clients", mask_text, mask_of
}
by_name! {
    /// Address families: `ipv4`, `ipv6`.
    family: Family, "unknown address family", family_name, family_of
}

/// Schedulers and their flags, as two fields of what has them: `"scheduler":"sh"`, and unless there
/// are none `"flags":["sh-port"]`.
pub mod scheduling {
    use super::*;
    #[derive(Serialize, Deserialize)]
    struct Form {
        #[serde(with = "super::scheduler")]
        scheduler: SchedulerKind,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        flags: Vec<String>,
    }
    /// Its fields.
    pub fn serialize<S: Serializer>(value: &Scheduling, to: S) -> Result<S::Ok, S::Error> {
        let flags = value.flag_names().map(str::to_owned).collect();
        Form { scheduler: value.kind, flags }.serialize(to)
    }
    /// The value of the fields.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scheduling, D::Error> {
        let Form { scheduler, flags } = Form::deserialize(from)?;
        with_flags(scheduler, flags.iter().map(String::as_str)).map_err(D::Error::custom)
    }
}

/// `serde(with)` of a value that may be absent, by that of the value.
macro_rules! optional {
    ($(#[$doc:meta])* $module:ident: $type:ty, $with:literal) => {
        $(#[$doc])*
        pub mod $module {
            use super::*;
            #[derive(Serialize, Deserialize)]
            struct Form(#[serde(with = $with)] $type);
            /// Its form or null.
            pub fn serialize<S: Serializer>(
                value: &Option<$type>,
                to: S,
            ) -> Result<S::Ok, S::Error> {
                value.map(Form).serialize(to)
            }
            /// The value of a form or null.
            pub fn deserialize<'de, D: Deserializer<'de>>(
                from: D,
            ) -> Result<Option<$type>, D::Error> {
                Ok(Option::<Form>::deserialize(from)?.map(|form| form.0))
            }
        }
    };
}

optional! {
    /// A protocol that may be absent.
    optional_proto: u8, "super::proto"
}
optional! {
    /// A persistence engine that may be absent.
    engine: Engine, "super::engine_by_name"
}
optional! {
    /// A mask of clients that may be absent.
    client_mask: ClientMask, "super::mask_by_text"
}
optional! {
    /// A service key that may be absent.
    optional_key: ServiceKey, "super::key"
}

/// What a service key is in JSON: `{"proto":"tcp","vip":"10.0.0.100","vport":80}`,
/// `{"fwmark":7}` or `{"fwmark":7,"family":"ipv6"}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KeyForm {
    Address {
        #[serde(with = "proto")]
        proto: u8,
        vip: IpAddr,
        vport: u16,
    },
    Fwmark {
        fwmark: u32,
        #[serde(with = "family", default = "v4", skip_serializing_if = "is_v4")]
        family: Family,
    },
}

fn v4() -> Family {
    Family::V4
}

fn is_v4(family: &Family) -> bool {
    *family == Family::V4
}

impl From<ServiceKey> for KeyForm {
    fn from(key: ServiceKey) -> Self {
        match key {
            ServiceKey::Address { proto, vip, vport } => KeyForm::Address { proto, vip, vport },
            ServiceKey::Fwmark { mark: fwmark, family } => KeyForm::Fwmark { fwmark, family },
        }
    }
}

impl From<KeyForm> for ServiceKey {
    fn from(form: KeyForm) -> Self {
        match form {
            KeyForm::Address { proto, vip, vport } => ServiceKey::Address { proto, vip, vport },
            KeyForm::Fwmark { fwmark: mark, family } => ServiceKey::Fwmark { mark, family },
        }
    }
}

/// Service keys.
pub mod key {
    use super::*;
    /// Its form.
    pub fn serialize<S: Serializer>(value: &ServiceKey, to: S) -> Result<S::Ok, S::Error> {
        KeyForm::from(*value).serialize(to)
    }
    /// The key of a form.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ServiceKey, D::Error> {
        KeyForm::deserialize(from).map(Into::into).map_err(|_| {
            D::Error::custom(
                "a service is {\"proto\":\"tcp|udp|sctp\",\"vip\":…,\"vport\":…} or {\"fwmark\":…}",
            )
        })
    }
}
