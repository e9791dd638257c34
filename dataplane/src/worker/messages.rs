//! Control's messages: taken between windows, a few at a time.

use super::{Next, Worker};
use crate::io::{Pool, Queue};
use crate::limits::CATCH_UP_BATCH;
use crate::mailbox::{Message, Retired};
use std::mem;
use std::sync::atomic::Ordering::Release;

impl<Q: Queue, L: Pool<Packet = Q::Packet>> Worker<Q, L> {
    /// Obeys what is there. What comes after a table of services waits until every scheduler goes by
    /// that one.
    pub(super) fn read_mail(&mut self) -> Next {
        while self.catch_up(CATCH_UP_BATCH) {
            let Some(message) = self.wiring.mailbox.take() else { break };
            if self.obey(message) == Next::Stop {
                return Next::Stop;
            }
        }
        Next::Go
    }

    /// Lets some schedulers go on with the services in use, and gives the table back that no
    /// scheduler goes by any more. Whether none is behind.
    #[inline]
    pub(super) fn catch_up(&mut self, budget: usize) -> bool {
        if !self.director.tables_mut().schedulers.are_behind() {
            return true;
        }
        let old = self.director.tables_mut().catch_up(budget);
        let caught_up = old.is_some();
        old.into_iter().for_each(|old| self.wiring.mailbox.retire(Retired::Services(old)));
        caught_up
    }

    /// Carries a message out, and gives back what it replaced.
    fn obey(&mut self, message: Message) -> Next {
        let tables = self.director.tables_mut();
        let retired = match message {
            Message::Services(new) => {
                let generation = new.generation;
                // What it replaces goes back when the schedulers have caught up.
                self.director.swap_services(new);
                self.counters.generation.store(generation.0, Release);
                return Next::Go;
            }
            Message::Routes(new) => Retired::Routes(mem::replace(&mut tables.routes, new)),
            Message::NextHops(new) => Retired::NextHops(mem::replace(&mut tables.next_hops, new)),
            Message::SlotMap(new) => Retired::SlotMap(mem::replace(&mut tables.slot_map, new)),
            Message::Dump(queue) => Retired::Dump(self.begin_dump(queue)),
            Message::Stop => return Next::Stop,
        };
        self.wiring.mailbox.retire(retired);
        Next::Go
    }
}
