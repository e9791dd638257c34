//! Control's messages: taken between windows, a few at a time.

use super::{Next, Worker};
use crate::io::{Pool, Queue};
use crate::mailbox::{Message, Retired};
use std::mem;
use std::sync::atomic::Ordering::Release;

impl<Q: Queue, L: Pool<Packet = Q::Packet>> Worker<Q, L> {
    pub(super) fn read_mail(&mut self) -> Next {
        while let Some(message) = self.wiring.mailbox.take() {
            match self.obey(message) {
                Some(retired) => self.wiring.mailbox.retire(retired),
                None => return Next::Stop,
            }
        }
        Next::Go
    }

    /// Carries a message out and returns what it replaced; `None` is the end.
    fn obey(&mut self, message: Message) -> Option<Retired> {
        let tables = self.director.tables_mut();
        Some(match message {
            Message::Services(new) => {
                let generation = new.generation;
                let old = self.director.swap_services(new);
                self.counters.generation.store(generation.0, Release);
                Retired::Services(old)
            }
            Message::Routes(new) => Retired::Routes(mem::replace(&mut tables.routes, new)),
            Message::NextHops(new) => Retired::NextHops(mem::replace(&mut tables.next_hops, new)),
            Message::SlotMap(new) => Retired::SlotMap(mem::replace(&mut tables.slot_map, new)),
            Message::Dump(queue) => Retired::Dump(self.begin_dump(queue)),
            Message::Stop => return None,
        })
    }
}
