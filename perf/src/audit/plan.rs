//! What the appliance was told to do, as the auditor knows it: read from text, a line a thing.

use std::net::IpAddr;
use std::str::FromStr;

/// A forwarding method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Network address translation.
    Masq,
    /// Another MAC address, nothing else.
    Gatewaying,
    /// IP in IP.
    Ipip,
    /// Translation of both ends.
    Fullnat,
}

impl Method {
    /// Whether a real server's answers pass the appliance.
    pub fn has_replies(self) -> bool {
        matches!(self, Method::Masq | Method::Fullnat)
    }
}

/// A real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// The MAC address of the next hop on the way to it.
    pub mac: [u8; 6],
    /// It is taken away and brought back: its flows of UDP may move.
    pub passing: bool,
}

/// A virtual service and the clients that use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// As results call it.
    pub name: String,
    /// Of all its servers.
    pub method: Method,
    /// TCP, or else UDP.
    pub tcp: bool,
    /// The virtual address.
    pub vip: IpAddr,
    /// The virtual port.
    pub vport: u16,
    /// Its servers' port.
    pub rport: u16,
    /// How many clients it has.
    pub flows: u32,
    /// The first client's address.
    pub clients: IpAddr,
    /// Local addresses, of fullnat.
    pub locals: Vec<IpAddr>,
    /// Its servers.
    pub servers: Vec<Server>,
}

/// Ports of one client address.
const PORTS: u32 = 4;

impl Service {
    /// The ends of a client: each has another.
    pub fn client(&self, flow: u32) -> (IpAddr, u16) {
        let (address, place) = (flow / PORTS, flow % PORTS);
        let port = 1024 + place * 16_000 + address % 16_000;
        let address = match self.clients {
            IpAddr::V4(first) => IpAddr::V4((u32::from(first) + address).into()),
            IpAddr::V6(first) => IpAddr::V6((u128::from(first) + u128::from(address)).into()),
        };
        (address, port as u16)
    }

    /// The length of an IP header of its family, without options.
    pub fn ip_len(&self) -> usize {
        if self.vip.is_ipv4() { 20 } else { 40 }
    }
}

/// All services, and what the appliance is to both its wires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The appliance's MAC addresses on the clients' and the servers' wire.
    pub own: [[u8; 6]; 2],
    /// The MAC address of the gateway to all clients.
    pub gateway: [u8; 6],
    /// Where its tunnels begin, of IPv4 and IPv6.
    pub tunnels: [IpAddr; 2],
    /// The services.
    pub services: Vec<Service>,
}

impl Plan {
    /// Reads `own MAC MAC GATEWAY TUNNEL4 TUNNEL6`, then `service NAME METHOD tcp|udp VIP PORT RPORT FLOWS CLIENTS
    /// LOCAL,LOCAL|-` lines, each with the lines `server ADDRESS MAC stays|passes` of its servers behind it.
    ///
    /// # Errors
    /// The first line that is none of these.
    pub fn parse(text: &str) -> Result<Plan, String> {
        let mut lines = text.lines();
        let own: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
        let ["own", clients, servers, gateway, four, six] = own[..] else {
            return Err("the plan does not begin with a line `own`".into());
        };
        let mut plan = Plan {
            own: [mac(clients)?, mac(servers)?],
            gateway: mac(gateway)?,
            tunnels: [parsed(four)?, parsed(six)?],
            services: Vec::new(),
        };
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            match (&words[..], plan.services.last_mut()) {
                (["service", rest @ ..], _) => plan.services.push(service(rest, line)?),
                (["server", address, hop, passes], Some(service)) => service.servers.push(Server {
                    address: parsed(address)?,
                    mac: mac(hop)?,
                    passing: *passes == "passes",
                }),
                _ => return Err(format!("the plan's line `{line}` says nothing")),
            }
        }
        Ok(plan)
    }
}

fn service(words: &[&str], line: &str) -> Result<Service, String> {
    let [name, method, protocol, vip, vport, rport, flows, clients, locals] = words else {
        return Err(format!("`{line}` has not nine words after `service`"));
    };
    let method = match *method {
        "masq" => Method::Masq,
        "gatewaying" => Method::Gatewaying,
        "ipip" => Method::Ipip,
        "fullnat" => Method::Fullnat,
        other => return Err(format!("there is no method {other}")),
    };
    let locals = locals.split(',').filter(|&local| local != "-").map(parsed);
    Ok(Service {
        name: (*name).to_owned(),
        method,
        tcp: *protocol == "tcp",
        vip: parsed(vip)?,
        vport: parsed(vport)?,
        rport: parsed(rport)?,
        flows: parsed(flows)?,
        clients: parsed(clients)?,
        locals: locals.collect::<Result<_, _>>()?,
        servers: Vec::new(),
    })
}

fn parsed<T: FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("the plan's word `{word}` is no number or address"))
}

fn mac(word: &str) -> Result<[u8; 6], String> {
    let bytes: Vec<u8> =
        word.split(':').filter_map(|part| u8::from_str_radix(part, 16).ok()).collect();
    bytes.try_into().map_err(|_| format!("`{word}` is no MAC address"))
}
