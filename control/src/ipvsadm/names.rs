//! Names of services and hosts, from `/etc/services` and `/etc/hosts`.
//!
//! ipvsadm asks the resolver for the names of addresses; here only the local files are read, so a
//! listing without `-n` never waits for DNS and shows addresses that the files do not name as they
//! are.

use dataplane::flow::protocol;
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

/// What the files say; empty stands for `-n`.
#[derive(Debug, Default)]
pub struct Names {
    services: Vec<(String, u16, u8)>,
    hosts: HashMap<IpAddr, String>,
}

impl Names {
    /// No names: everything stays a number.
    pub fn none() -> Names {
        Names::default()
    }

    /// The names of this host's files; an unreadable file has none.
    pub fn local() -> Names {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Names::parse(&read("/etc/services"), &read("/etc/hosts"))
    }

    fn parse(services: &str, hosts: &str) -> Names {
        let mut names = Names::none();
        for fields in records(services) {
            let Some((port, proto)) = fields.get(1).and_then(|f| port_and_proto(f)) else {
                continue;
            };
            let aliases = fields.iter().skip(2);
            let all = fields.iter().take(1).chain(aliases);
            names.services.extend(all.map(|name| ((*name).to_owned(), port, proto)));
        }
        for fields in records(hosts) {
            if let [address, name, ..] = fields[..] {
                if let Ok(address) = address.parse::<IpAddr>() {
                    names.hosts.entry(address).or_insert_with(|| name.to_owned());
                }
            }
        }
        names
    }

    /// The port of a service name or alias.
    pub fn port_of(&self, name: &str, proto: u8) -> Option<u16> {
        self.services.iter().find(|row| row.0 == name && row.2 == proto).map(|row| row.1)
    }

    /// `host:port` or `[host]:port`, by name where there is one.
    pub fn endpoint(&self, address: IpAddr, port: u16, proto: u8) -> String {
        let host = self.hosts.get(&address).cloned();
        let host = host.unwrap_or_else(|| number_of(address));
        let host = if address.is_ipv6() { format!("[{host}]") } else { host };
        match self.services.iter().find(|row| row.1 == port && row.2 == proto && port != 0) {
            Some(row) => format!("{host}:{}", row.0),
            None => format!("{host}:{port}"),
        }
    }
}

/// As `inet_ntop` writes it: in an IPv6 address that begins with 96 zeros the rest is dotted.
fn number_of(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) if matches!(v6.segments(), [0, 0, 0, 0, 0, 0, high, _] if high > 0) => {
            format!("::{}", Ipv4Addr::from_bits(v6.to_bits() as u32))
        }
        address => address.to_string(),
    }
}

fn port_and_proto(text: &str) -> Option<(u16, u8)> {
    let (port, proto) = text.split_once('/')?;
    let proto = match proto {
        "tcp" => protocol::TCP,
        "udp" => protocol::UDP,
        "sctp" => protocol::SCTP,
        _ => return None,
    };
    Some((port.parse().ok()?, proto))
}

fn records(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let uncommented = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    uncommented.map(|line| line.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::example::v4;

    #[test]
    fn names_come_from_the_files_and_numbers_stay_where_there_is_none() {
        let names = Names::parse(
            "http 80/tcp www # web\ndomain 53/udp\nm3ua 2905/sctp\nweird 1/dccp\n",
            "# hosts\n10.0.0.100 vip.example.org vip\n::1 localhost\n",
        );
        assert_eq!(names.port_of("www", 6), Some(80));
        assert_eq!(names.port_of("http", 17), None);
        assert_eq!(names.port_of("m3ua", 132), Some(2905));
        assert_eq!(names.port_of("weird", 33), None);
        assert_eq!(names.endpoint(v4(0x0a00_0064), 80, 6), "vip.example.org:http");
        assert_eq!(names.endpoint(v4(0x0a00_0065), 80, 17), "10.0.0.101:80");
        assert_eq!(Names::none().endpoint(v4(0x0a00_0064), 80, 6), "10.0.0.100:80");
        let localhost = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
        assert_eq!(names.endpoint(localhost, 80, 6), "[localhost]:http");
    }

    #[test]
    fn ipv6_addresses_are_written_as_the_c_library_does() {
        for (bits, text) in [
            (1_u128, "[::1]:80"),
            (0x0102_0304, "[::1.2.3.4]:80"),
            (0xffff_0102_0304, "[::ffff:1.2.3.4]:80"),
            (0x2001_0db8 << 96 | 1 << 64 | 1, "[2001:db8:0:1::1]:80"),
            (0x2001 << 112 | 1 << 80 | 1 << 64 | 1 << 48 | 1 << 16 | 1, "[2001:0:1:1:1:0:1:1]:80"),
        ] {
            let address = std::net::Ipv6Addr::from_bits(bits).into();
            assert_eq!(Names::none().endpoint(address, 80, 6), text);
        }
    }
}
