//! Weighted round robin (`ip_vs_wrr.c`): rounds over the list at falling levels of weight. A
//! destination has a turn in each round whose level its weight reaches; the levels are the
//! multiples of the weights' greatest common divisor, less one below the lowest
//! (`1 + k * gcd`), as the kernel counts them.

use super::is_available;
use crate::ids::WorkerId;
use crate::service::{Dest, Service};

#[derive(Debug, Clone)]
pub struct Cursor {
    /// Place of the last choice; `None` is the head of the list, before the first.
    last: Option<usize>,
    /// Weight that this round asks for; 0 before there was any.
    level: u32,
}

impl Cursor {
    pub fn new(service: &Service, worker: WorkerId) -> Self {
        let mut cursor = Cursor { last: None, level: top_level(service) };
        cursor.skip_ahead(service, worker);
        cursor
    }

    pub fn choose(&mut self, service: &Service) -> Option<usize> {
        let after = self.last.map_or(0, |last| last + 1);
        if let Some(chosen) = first_at_level(&service.dests, after, self.level) {
            self.last = Some(chosen);
            return Some(chosen);
        }
        let Some(level) = self.next_level(service) else {
            self.give_up(service);
            return None;
        };
        self.level = level;
        self.last = first_at_level(&service.dests, 0, level);
        self.last
    }

    /// Any change to the list or a weight begins again at its head, at the same level or the
    /// nearest there is (`ip_vs_wrr_dest_changed`).
    pub fn rebase(&mut self, old: &Service, new: &Service, worker: WorkerId) {
        if old.dests.iter().map(Dest::edits).eq(new.dests.iter().map(Dest::edits)) {
            return;
        }
        let top = top_level(new);
        self.last = None;
        if self.level > top || self.level == 0 {
            self.level = top;
        } else if new.weight_gcd > 1 {
            self.level = self.level / new.weight_gcd * new.weight_gcd + 1;
        }
        self.skip_ahead(new, worker);
    }

    /// The level of the next round in which anyone has a turn: the kernel walks the rounds between,
    /// which with weights like 1 and 65535 would cost a conn 65,534 walks.
    fn next_level(&self, service: &Service) -> Option<u32> {
        let available = service.dests.iter().filter(|dest| is_available(dest));
        let heaviest = available.map(|dest| dest.weight).max()?;
        let highest = heaviest - (service.weight_gcd - 1);
        match self.level.saturating_sub(service.weight_gcd) {
            0 => Some(highest),
            below => Some(below.min(highest)),
        }
    }

    /// Where the kernel's walk ends when all are overloaded: where it was in the lowest round, else
    /// at the beginning.
    fn give_up(&mut self, service: &Service) {
        if self.last.is_none() || self.level > service.weight_gcd {
            *self = Cursor { last: None, level: top_level(service) };
        }
    }

    fn skip_ahead(&mut self, service: &Service, worker: WorkerId) {
        for _ in 0..worker.index() {
            self.choose(service);
        }
    }
}

/// Level of a cycle's first round; 0 if no destination has a weight.
fn top_level(service: &Service) -> u32 {
    service.max_weight.saturating_sub(service.weight_gcd - 1)
}

fn first_at_level(dests: &[Dest], from: usize, level: u32) -> Option<usize> {
    (from..dests.len()).find(|&at| dests[at].weight >= level && is_available(&dests[at]))
}
