//! Which frame is sent next: of any open flow by chance, either way, and now and then a new one's first.

use super::frame::Sent;
use super::ledger::Ledger;
use dataplane::testing::Rng;
use dataplane::wire::tcp::flags;

/// While there are flows to open, one frame of so many opens one.
const OPENING: usize = 4;

/// Chooses frames.
pub struct Load {
    random: Rng,
    /// The services in use, by their places.
    services: Vec<u16>,
    /// How many flows of each service were begun.
    begun: Vec<u32>,
    /// How many of a hundred may be.
    share: u64,
}

impl Load {
    /// No flow begun yet, of so many services.
    pub fn new(seed: u64, services: usize) -> Load {
        let (services, begun) = (Vec::new(), vec![0; services]);
        Load { random: Rng::new(seed), services, begun, share: 0 }
    }

    /// From here on frames of these services, at least one, and flows up to `share` of a hundred.
    pub fn turn_to(&mut self, services: &[u16], share: u64) {
        (self.services, self.share) = (services.to_vec(), share);
    }

    /// The next frame.
    pub fn next(&mut self, ledger: &mut Ledger) -> Sent {
        let service = self.services[self.random.below(self.services.len())];
        let known = &ledger.plan().services[usize::from(service)];
        let (tcp, replies) = (known.tcp, known.method.has_replies());
        let most = u64::from(known.flows) * self.share / 100;
        let flow = self.flow(service, most.max(1) as u32);
        let about = ledger.flow(service, flow);
        let mut sent = Sent { service, flow, ..Sent::default() };
        match about.seen {
            // The first may be lost: then it is sent again.
            None => sent.flags = flags::SYN,
            Some(seen) if replies && self.random.below(2) == 0 => {
                (sent.from, sent.local) = (Some(seen.server), seen.local);
                sent.flags = if about.answered { flags::ACK } else { flags::SYN | flags::ACK };
                about.answered = true;
            }
            Some(_) => sent.flags = flags::ACK | [0, flags::PSH][self.random.below(2)],
        }
        if !tcp {
            sent.flags = 0;
        }
        ledger.send(sent)
    }

    fn flow(&mut self, service: u16, most: u32) -> u32 {
        let begun = &mut self.begun[usize::from(service)];
        if *begun < most && (*begun == 0 || self.random.below(OPENING) == 0) {
            *begun += 1;
            return *begun - 1;
        }
        self.random.below(*begun as usize) as u32
    }
}
