//! What is under way, and what is known of each flow.

use super::check::{Seen, check};
use super::frame::{Sent, number_of};
use super::plan::{Method, Plan};
use super::{Fault, Wire, Wrong};
use std::collections::HashMap;
use std::sync::Arc;

/// Frames that are remembered: what is later than so many others is taken for lost.
const REMEMBERED: usize = 1 << 16;

/// What is wrong in one phase and right in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// One frame of so many is compared whole; so is every flow's first.
    pub sample: u64,
    /// Flows of UDP may move to another server: all servers are taken away for a moment.
    pub udp_may_move: bool,
    /// ICMP errors may come: services are without servers for a moment.
    pub may_refuse: bool,
}

/// What became of a frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is one of ours that was under way, and was not compared.
    Unchecked(Sent),
    /// It was compared, and is right.
    Right(Sent),
    /// It is right, and its flow has another server by a rule.
    Moved(Sent),
    /// An ICMP error where there may be one.
    Refusal,
    /// It is wrong; of this frame, if that is known.
    Wrong(Option<Sent>, Wrong),
}

/// A client's flow.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flow {
    /// What its frames say of it.
    pub seen: Option<Seen>,
    /// Whether its server has answered.
    pub answered: bool,
}

/// The book.
pub struct Ledger {
    plan: Arc<Plan>,
    under_way: Vec<Sent>,
    next: u64,
    /// What was overwritten, by service.
    lost: Vec<u64>,
    flows: Vec<Vec<Flow>>,
    /// Which flow has a local end towards a server.
    local_ends: HashMap<(u16, Seen), u32>,
}

impl Ledger {
    /// Nothing under way, nothing known.
    pub fn new(plan: Arc<Plan>) -> Ledger {
        let flows = |service: &super::Service| vec![Flow::default(); service.flows as usize];
        Ledger {
            under_way: vec![Sent::default(); REMEMBERED],
            next: 1,
            lost: vec![0; plan.services.len()],
            flows: plan.services.iter().map(flows).collect(),
            local_ends: HashMap::new(),
            plan,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is known of a flow.
    pub fn flow(&mut self, service: u16, flow: u32) -> &mut Flow {
        &mut self.flows[usize::from(service)][flow as usize]
    }

    /// Takes down that a frame is sent, and gives it its number.
    pub fn send(&mut self, sent: Sent) -> Sent {
        let sent = Sent { number: self.next, ..sent };
        let entry = &mut self.under_way[self.next as usize % REMEMBERED];
        let before = std::mem::replace(entry, sent);
        self.next += 1;
        if before.number != 0 {
            self.lost[usize::from(before.service)] += 1;
        }
        sent
    }

    /// Whether all that was sent has come, or is given up.
    pub fn is_empty(&self) -> bool {
        self.under_way.iter().all(|sent| sent.number == 0)
    }

    /// It was not sent after all.
    pub fn take_back(&mut self, sent: &Sent) {
        self.under_way[sent.number as usize % REMEMBERED] = Sent::default();
    }

    /// Forgets all that has not come; returns how many frames that were, by service.
    pub fn give_up(&mut self) -> Vec<u64> {
        for sent in self.under_way.iter_mut().filter(|sent| sent.number != 0) {
            self.lost[usize::from(sent.service)] += 1;
            *sent = Sent::default();
        }
        std::mem::replace(&mut self.lost, vec![0; self.plan.services.len()])
    }

    /// Takes down a frame that came on `wire`.
    pub fn receive(&mut self, wire: Wire, frame: &[u8], rules: Rules) -> Outcome {
        if is_icmp(frame) {
            return match rules.may_refuse {
                true => Outcome::Refusal,
                false => Outcome::Wrong(None, Wrong::new(Fault::Refused, format!("on {wire:?}"))),
            };
        }
        let number = number_of(frame);
        let entry = &mut self.under_way[number as usize % REMEMBERED];
        if number == 0 || entry.number != number {
            let was_sent = (1..self.next).contains(&number);
            let fault = if was_sent { Fault::Duplicate } else { Fault::Unknown };
            return Outcome::Wrong(None, Wrong::new(fault, format!("number {number}")));
        }
        let sent = std::mem::take(entry);
        let known = self.flow(sent.service, sent.flow).seen;
        // What is to be sent to a flow follows from where it is.
        let free =
            sent.from.is_none() && known.is_none_or(|seen| self.may_move(&sent, seen, rules));
        if !free && !is_sampled(number, rules.sample) {
            return Outcome::Unchecked(sent);
        }
        self.judge(sent, known, free, wire, frame)
    }

    /// A frame that is compared; `free`: its flow may have a new server.
    fn judge(
        &mut self,
        sent: Sent,
        known: Option<Seen>,
        free: bool,
        wire: Wire,
        frame: &[u8],
    ) -> Outcome {
        let plan = self.plan.clone();
        let stuck = known.filter(|_| !free);
        let seen = match check(&plan, &sent, wire, frame, stuck) {
            Ok(seen) => seen,
            Err(wrong) => return Outcome::Wrong(Some(sent), wrong),
        };
        if sent.from.is_some() || known == Some(seen) {
            return Outcome::Right(sent);
        }
        if let Err(wrong) = self.take_local_end(&sent, known, seen) {
            return Outcome::Wrong(Some(sent), wrong);
        }
        *self.flow(sent.service, sent.flow) = Flow { seen: Some(seen), answered: false };
        if known.is_none() { Outcome::Right(sent) } else { Outcome::Moved(sent) }
    }

    /// UDP leaves a server that was removed (`ip_vs_in_hook`); nothing else moves.
    fn may_move(&self, sent: &Sent, seen: Seen, rules: Rules) -> bool {
        let service = &self.plan.services[usize::from(sent.service)];
        let passing = service.servers[usize::from(seen.server)].passing;
        !service.tcp && (rules.udp_may_move || passing)
    }

    /// In fullnat no two flows have the same end towards a server.
    fn take_local_end(
        &mut self,
        sent: &Sent,
        before: Option<Seen>,
        seen: Seen,
    ) -> Result<(), Wrong> {
        if self.plan.services[usize::from(sent.service)].method != Method::Fullnat {
            return Ok(());
        }
        if let Some(before) = before {
            self.local_ends.remove(&(sent.service, before));
        }
        match self.local_ends.insert((sent.service, seen), sent.flow) {
            Some(other) if other != sent.flow => {
                let text = format!("port {} is flow {other}'s, too", seen.local.1);
                Err(Wrong::new(Fault::LocalEnd, text))
            }
            _ => Ok(()),
        }
    }
}

/// The same frame is sampled however often it comes.
fn is_sampled(number: u64, one_of: u64) -> bool {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32) % one_of.max(1) == 0
}

/// Of either family, without extension headers.
fn is_icmp(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.get(23) == Some(&1),
        Some([0x86, 0xdd]) => frame.get(20) == Some(&58),
        _ => false,
    }
}
