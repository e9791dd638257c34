//! The director's own sockets as real servers. What is delivered to Linux is checked against what was
//! sent; what Linux answers is what came out of the kernel, from the address that was delivered to.

use crate::bench::Bench;
use crate::replay::{tagged, untagged};
use crate::trace::Port;
use dataplane::flow::protocol::{ICMP, TCP, UDP};
use dataplane::ids::PortId;
use dataplane::testing::machine::Punted;
use dataplane::testing::{naive_checksum, verify};
use dataplane::wire::{be16, be32, icmp, ipv4, put16, put32, tcp, udp};
use std::collections::HashMap;

const IP: usize = 14;
const L4: usize = IP + ipv4::MIN_LEN;
const QUOTE: usize = L4 + icmp::HEADER_LEN;

/// Protocol, client's and virtual port of a flow.
type Flow = (u8, u16, u16);

/// Where each flow of one client and one virtual address was delivered to.
#[derive(Debug, Default)]
pub struct Local(HashMap<Flow, (u32, u16)>);

impl Local {
    /// Takes note of where Linux got a client's frame; what is wrong with it.
    pub fn deliver(&mut self, sent: &[u8], vlan: u16, punted: &[Punted]) -> Result<(), String> {
        let [(_, _, got)] = punted else { return Err("not delivered to Linux".into()) };
        let got = untagged(got.clone(), vlan)?;
        let checks = verify(&got).ok_or("no whole frame was delivered")?;
        let translated = |frame: &[u8]| {
            let mut frame = frame.to_vec();
            put32(&mut frame[IP..], ipv4::DST, 0);
            put16(&mut frame[IP..], ipv4::CHECKSUM, 0);
            put16(&mut frame[L4..], tcp::DPORT, 0);
            put16(&mut frame[L4..], checksum_at(sent), 0);
            frame
        };
        if !checks.ip || checks.l4 != Some(true) || translated(sent) != translated(&got) {
            return Err(format!("Linux got {got:02x?}"));
        }
        let flow = (sent[IP + 9], be16(&sent[L4..], tcp::SPORT), be16(&sent[L4..], tcp::DPORT));
        self.0.insert(flow, (be32(&got[IP..], ipv4::DST), be16(&got[L4..], tcp::DPORT)));
        Ok(())
    }

    /// Has Linux send what is to come out, one after the other; what does.
    pub fn answer(
        &self,
        bench: &mut Bench,
        vlan: u16,
        expect: &[(Port, Vec<u8>)],
    ) -> Vec<(PortId, Vec<u8>)> {
        let mut out = Vec::new();
        for (port, frame) in expect {
            bench.feed_from_linux(*port as usize, &tagged(&self.at_linux(frame), vlan));
            out.extend(bench.settle().0);
        }
        out
    }

    /// A frame to the client as Linux makes it, for what is translated then.
    fn at_linux(&self, frame: &[u8]) -> Vec<u8> {
        let (mut frame, proto) = (frame.to_vec(), frame[IP + 9]);
        let ports = if proto == ICMP { &frame[QUOTE + ipv4::MIN_LEN..] } else { &frame[L4..] };
        let (first, second) = (be16(ports, 0), be16(ports, 2));
        let (address, port) = match proto {
            ICMP => self.0[&(frame[QUOTE + 9], first, second)],
            _ => self.0[&(proto, second, first)],
        };
        put32(&mut frame[IP..], ipv4::SRC, address);
        if proto == ICMP {
            put32(&mut frame[QUOTE..], ipv4::DST, address);
            put16(&mut frame[QUOTE + ipv4::MIN_LEN..], tcp::DPORT, port);
            ipv4::write_checksum(&mut frame[QUOTE..QUOTE + ipv4::MIN_LEN]);
        } else {
            put16(&mut frame[L4..], tcp::SPORT, port);
        }
        ipv4::write_checksum(&mut frame[IP..L4]);
        let at = checksum_at(&frame);
        put16(&mut frame[L4..], at, 0);
        let mut summed = frame[L4..].to_vec();
        if proto != ICMP {
            summed.resize(summed.len().next_multiple_of(2), 0);
            summed.extend_from_slice(&frame[IP + ipv4::SRC..L4]);
            summed.extend([0, proto]);
            summed.extend(((frame.len() - L4) as u16).to_be_bytes());
        }
        put16(&mut frame[L4..], at, naive_checksum(&summed));
        frame
    }
}

/// Offset of the checksum in the L4 header.
fn checksum_at(frame: &[u8]) -> usize {
    match frame[IP + 9] {
        TCP => tcp::CHECKSUM,
        UDP => udp::CHECKSUM,
        _ => 2,
    }
}
