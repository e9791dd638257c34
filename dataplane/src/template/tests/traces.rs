//! Templates as a real kernel listed them, second by second (`tests/golden/persist_*.json` and
//! others).
//! What the director will do around the store is done here in little: services from ipvsadm's
//! arguments, the destination that the kernel chose, conns with a timeout.

use super::*;
use crate::address::Family;
use crate::app::sip::call_id;
use crate::flow::protocol::{TCP, UDP};
use crate::service::persistence::{
    Arrival, ClientMask, Persistence, Takes, child_port, is_valid, template_key, template_port,
};
use crate::testing::from_hex;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// The service that is persistent or becomes so; its destinations by the last byte of their address: port and weight.
struct Service {
    takes: Takes,
    persistence: Option<Persistence>,
    /// Conns end with their first packet.
    one_packet: bool,
    dests: HashMap<u8, (u16, u32)>,
}

/// A conn, by the client's address and port.
struct Conn {
    template: TemplateId,
    last_seen: Tick,
    timeout: u32,
}

struct Replay {
    store: TemplateStore,
    service: Option<Service>,
    conns: HashMap<(IpAddr, u16), Conn>,
    expire_quiescent: bool,
    established: u32,
    /// Seconds since the recording began.
    clock: f64,
    listings: u32,
}

/// What is read of an Ethernet, IPv4, TCP or UDP frame.
struct Frame {
    proto: u8,
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
    /// Of TCP.
    flags: u8,
    /// Of UDP.
    payload: Vec<u8>,
}

fn frame(step: &Value) -> Frame {
    let bytes = from_hex(step["frame"].as_str().unwrap());
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let addr = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
    Frame {
        proto: bytes[23],
        source: (addr(26), port(34)),
        destination: (addr(30), port(36)),
        flags: bytes.get(47).copied().unwrap_or(0),
        payload: bytes.get(42..).unwrap_or_default().to_vec(),
    }
}

fn last_byte(addr: IpAddr) -> u8 {
    let IpAddr::V4(addr) = addr else { panic!("IPv4 only") };
    addr.octets()[3]
}

fn option<'a>(args: &'a str, flag: &str) -> Option<&'a str> {
    args.split_whitespace().skip_while(|word| *word != flag).nth(1)
}

fn takes(args: &str) -> Option<Takes> {
    let mark = option(args, "-f").map(|mark| Takes::Fwmark(mark.parse().unwrap()));
    mark.or_else(|| {
        let (_, port) = option(args, "-t").or(option(args, "-u"))?.split_once(':')?;
        Some(Takes::Port(port.parse().unwrap()))
    })
}

impl Replay {
    fn now(&self) -> Tick {
        Tick((self.clock * 16.0) as u32)
    }

    fn ipvsadm(&mut self, args: &str) {
        if args.starts_with("-A") && self.service.is_none() {
            let takes = takes(args).unwrap();
            let (one_packet, dests) = (args.contains(" -o "), HashMap::new());
            self.service = Some(Service { takes, persistence: None, one_packet, dests });
        }
        if let Some(tcp) = option(args, "--set") {
            self.established = ticks(tcp.parse().unwrap());
        }
        let Some(service) = &mut self.service else { return };
        if let Some(seconds) = option(args, "-p") {
            let mask = option(args, "-M").map_or(ClientMask::exact(Family::V4), |mask| {
                ClientMask::Netmask(mask.parse::<Ipv4Addr>().unwrap().to_bits())
            });
            let timeout = ticks(seconds.parse().unwrap());
            let engine = option(args, "--pe").map(|_| Engine::Sip);
            service.persistence = Some(Persistence { timeout, mask, engine });
        }
        let Some(server) = option(args, "-r").filter(|_| takes(args) == Some(service.takes)) else {
            return;
        };
        let (addr, port) = server.split_once(':').unwrap();
        let number = last_byte(addr.parse().unwrap());
        let weight = option(args, "-w").map_or(1, |weight| weight.parse().unwrap());
        match args.split_whitespace().next() {
            Some("-d") => drop(service.dests.remove(&number)),
            _ => drop(service.dests.insert(number, (port.parse().unwrap(), weight))),
        }
    }

    /// Ends conns whose time is over.
    fn end_conns(&mut self) {
        let now = self.now();
        let over = |conn: &Conn| now.since(conn.last_seen) >= conn.timeout;
        for conn in self.conns.values().filter(|conn| over(conn)) {
            let end = conn.last_seen.after(conn.timeout);
            self.store.detach(conn.template, end, ChildEnd::Expired);
        }
        self.conns.retain(|_, conn| !over(conn));
    }

    /// A client's packet that the kernel sent to `server`.
    fn client_packet(&mut self, packet: &Frame, server: (IpAddr, u16)) {
        let template = match self.conns.get(&packet.source) {
            Some(conn) => conn.template,
            None => match self.conn_begins(packet, server) {
                Some(template) => template,
                None => return,
            },
        };
        let timeout = match (packet.proto, packet.flags) {
            (UDP, _) if self.service.as_ref().is_some_and(|service| service.one_packet) => 0,
            (UDP, _) => ticks(300),
            (_, 0x02) => ticks(60),
            (_, 0x10) => {
                self.store.assure(template);
                self.established
            }
            (_, 0x04) => ticks(10),
            other => panic!("{other:?} is in no trace"),
        };
        self.conns.insert(packet.source, Conn { template, last_seen: self.now(), timeout });
    }

    /// Joins the client's template, which must say what the kernel did, or makes one that does.
    fn conn_begins(&mut self, packet: &Frame, server: (IpAddr, u16)) -> Option<TemplateId> {
        let (now, (vip, vport)) = (self.now(), packet.destination);
        let service = self.service.as_ref()?;
        let persistence = service.persistence.as_ref()?;
        let at_mark = vip.to_string().starts_with("10.1.");
        let taken = match service.takes {
            Takes::Fwmark(_) => at_mark,
            Takes::Port(port) => !at_mark && (port == vport || port == 0 && vport != 8080),
        };
        if !taken {
            return None;
        }
        let number = last_byte(server.0);
        let (rport, _) = service.dests[&number];
        assert_eq!(child_port(service.takes, vport, rport), server.1);
        let arrival = Arrival { proto: packet.proto, client: packet.source.0, vip, vport };
        let data = call_id(&packet.payload);
        let key = template_key(service.takes, &arrival, persistence, data).unwrap();
        let joined = self.store.join(&key, now, |template| {
            let weight = service.dests.get(&(template.dest.0 as u8 + 10)).map(|dest| dest.1);
            is_valid(weight, self.expire_quiescent)
        });
        if let Join::Joined(template) = joined {
            assert_eq!(template.addr, server.0, "the server of {:?}", packet.source);
            return Some(template.id);
        }
        let new = NewTemplate {
            dest: DestId(u32::from(number) - 10),
            addr: server.0,
            port: template_port(service.takes, vport, rport),
            flags: ConnFlags::empty(),
            timeout: persistence.timeout,
        };
        Some(self.store.create(&key, &new, now).unwrap().id)
    }

    /// The lines of `ipvsadm -Lnc`, with `--persistent-conn` or not, that templates make.
    fn lines(&self, with_data: bool) -> Vec<String> {
        let (mut lines, mut cursor) = (Vec::new(), Cursor::all());
        let mut copy = |template: &Template, data: &[u8]| {
            let mut line = line(template);
            if with_data && template.engine == Some(Engine::Sip) {
                line += &format!(" {:<18} {}", "sip", String::from_utf8_lossy(data));
            }
            lines.push(line);
            Fate::Keep
        };
        while self.store.visit(&mut cursor, 5, self.now(), &mut copy) != Step::Done {}
        lines.sort();
        lines
    }

    /// The lines of a listing that are templates'.
    fn compare(&mut self, out: &[Value], with_data: bool) {
        let lines = out.iter().map(|line| line.as_str().unwrap());
        let is_template = |line: &&str| line.contains(" NONE ") || line.contains(" ASSURED ");
        let mut expected: Vec<_> = lines.filter(is_template).map(str::to_string).collect();
        expected.sort();
        let shown = self.lines(with_data);
        // The kernel's timer wheel is coarse: what is due may be listed some seconds longer.
        expected.retain(|line| !line.contains(" 00:00 ") || shown.contains(line));
        assert_eq!(shown, expected, "at {} s", self.clock);
        self.listings += 1;
    }

    fn compare_counts(&self, out: &[Value]) {
        for line in out.iter().map(|line| line.as_str().unwrap()) {
            let words: Vec<_> = line.split_whitespace().collect();
            if let ["->", server, _, count, ..] = words[..]
                && let Some((addr, _)) = server.split_once(':')
                && let Ok(addr) = addr.parse()
            {
                let dest = DestId(u32::from(last_byte(addr)) - 10);
                let count: u32 = count.parse().unwrap();
                assert_eq!(self.store.persistent_conns(dest), count, "{line}");
            }
        }
    }

    fn step(&mut self, step: &Value, next: Option<&Value>) {
        let out = step["out"].as_array().map_or(&[][..], Vec::as_slice);
        match step["op"].as_str().unwrap() {
            "wait" => self.clock += step["s"].as_f64().unwrap(),
            "sysctl" => self.expire_quiescent = step["value"] == 1,
            "send" if step["port"] == "c" && matches!(frame(step).proto, TCP | UDP) => {
                self.end_conns();
                let forwarded = next.filter(|next| next["port"] == "s").expect("all are forwarded");
                self.client_packet(&frame(step), frame(forwarded).destination);
            }
            "ipvsadm" if step["rc"] == 0 && step["where"] != "backup" => {
                self.clock = step["t"].as_f64().unwrap();
                self.end_conns();
                match step["args"].as_str().unwrap() {
                    "-Lnc" => self.compare(out, false),
                    "-Lnc --persistent-conn" => self.compare(out, true),
                    "-Ln --persistent-conn" => self.compare_counts(out),
                    args => self.ipvsadm(args),
                }
            }
            _ => {}
        }
    }
}

/// A line of `ipvsadm -Lnc`.
fn line(template: &Template) -> String {
    let seconds = template.remaining / crate::time::TICKS_PER_SECOND;
    let proto = [(0, "IP"), (TCP, "TCP"), (UDP, "UDP")].iter().find(|p| p.0 == template.proto);
    format!(
        "{:<3} {:02}:{:02}  {:<11} {:<18} {:<18} {}",
        proto.unwrap().1,
        seconds / 60,
        seconds % 60,
        template.state_name(),
        format!("{}:0", template.client),
        format!("{}:{}", template.vaddr, template.vport),
        format_args!("{}:{}", template.addr, template.port),
    )
}

/// Replays a trace; how many listings it had.
fn replay(name: &str) -> u32 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    let trace: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let steps = trace["steps"].as_array().unwrap();
    let mut replay = Replay {
        store: store(64),
        service: None,
        conns: HashMap::new(),
        expire_quiescent: false,
        established: ticks(900),
        clock: 0.0,
        listings: 0,
    };
    for (at, step) in steps.iter().enumerate() {
        replay.step(step, steps.get(at + 1));
    }
    replay.listings
}

#[test]
#[cfg_attr(miri, ignore)]
fn templates_are_as_the_kernel_listed_them() {
    for (name, listings) in [
        ("persist_basic", 3),
        ("persist_control", 12),
        ("persist_expiry", 11),
        ("persist_netmask", 1),
        ("persist_port0", 1),
        ("persist_retry", 7),
        ("persist_same_end", 8),
        ("fwmark_basic", 2),
        ("leaf/sync_sip_pe", 2),
    ] {
        assert_eq!(replay(name), listings, "{name}");
    }
}
