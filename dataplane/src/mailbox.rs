//! Snapshots from control to a worker, and the replaced ones back: a worker never frees a table.

use crate::conn::Listed;
use crate::nexthop::NextHops;
use crate::owner::SlotMap;
use crate::route::Routes;
use crate::service::ServiceTable;
use crate::template::{MAX_ENGINE_DATA, Template};
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// Messages under way at once to one worker.
const ROOM: usize = 64;

/// What control tells a worker.
#[derive(Debug, Clone)]
pub enum Message {
    /// A new generation of services.
    Services(Arc<ServiceTable>),
    /// New routes.
    Routes(Arc<Routes>),
    /// New next hops.
    NextHops(Arc<NextHops>),
    /// Who owns which slot.
    SlotMap(Arc<SlotMap>),
    /// List the conns, and this worker's share of the templates, into a queue, in bounded batches
    /// between windows.
    Dump(Arc<DumpQueue>),
    /// Leave the loop.
    Stop,
}

/// What a worker gives back to be dropped in control's time.
#[derive(Debug)]
pub enum Retired {
    /// See [`Message::Services`].
    Services(Arc<ServiceTable>),
    /// See [`Message::Routes`].
    Routes(Arc<Routes>),
    /// See [`Message::NextHops`].
    NextHops(Arc<NextHops>),
    /// See [`Message::SlotMap`].
    SlotMap(Arc<SlotMap>),
    /// See [`Message::Dump`].
    Dump(Arc<DumpQueue>),
}

/// A listing of conns and templates under way from one worker to control.
#[derive(Debug)]
pub struct DumpQueue(ArrayQueue<DumpItem>);

/// One step of a listing.
#[derive(Debug, Clone, Copy)]
pub enum DumpItem {
    /// A conn as it was when the scan passed it.
    Conn(Listed),
    /// A persistence template of this worker's share of them. If it has an engine, what that found
    /// comes next.
    Template(Template),
    /// What a persistence engine found.
    EngineData(EngineData),
    /// The scan is over.
    Done,
}

/// What a persistence engine found in a client's packet: part of its template's key.
#[derive(Debug, Clone, Copy)]
pub struct EngineData {
    len: u8,
    bytes: [u8; MAX_ENGINE_DATA],
}

impl EngineData {
    /// A copy, cut to [`MAX_ENGINE_DATA`] bytes.
    pub fn new(data: &[u8]) -> Self {
        let len = data.len().min(MAX_ENGINE_DATA);
        let mut bytes = [0; MAX_ENGINE_DATA];
        bytes[..len].copy_from_slice(&data[..len]);
        EngineData { len: len as u8, bytes }
    }

    /// As it was found.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl DumpQueue {
    /// A queue of bounded room; the worker waits (without blocking) while it is full.
    pub fn new(room: usize) -> Self {
        DumpQueue(ArrayQueue::new(room.max(1)))
    }

    /// The next item, if the worker has put one there.
    pub fn pop(&self) -> Option<DumpItem> {
        self.0.pop()
    }

    /// Free places.
    pub fn room(&self) -> usize {
        self.0.capacity() - self.0.len()
    }

    /// Appends; the caller has asked for [`DumpQueue::room`].
    pub fn push(&self, item: DumpItem) {
        let refused = self.0.push(item);
        debug_assert!(refused.is_ok(), "the only writer has looked for room");
    }
}

/// The two bounded queues between control and one worker.
#[derive(Debug)]
pub struct Mailbox {
    inbox: ArrayQueue<Message>,
    retired: ArrayQueue<Retired>,
}

impl Mailbox {
    /// Empty queues.
    pub fn new() -> Self {
        Mailbox { inbox: ArrayQueue::new(ROOM), retired: ArrayQueue::new(ROOM) }
    }

    /// Posts a message; gives it back when the worker has not kept up. Control only.
    ///
    /// # Errors
    /// The message, when the inbox is full.
    pub fn post(&self, message: Message) -> Result<(), Message> {
        self.inbox.push(message)
    }

    /// The next message; none while the retired queue is full, so that [`Mailbox::retire`] always
    /// has room. Worker only.
    pub fn take(&self) -> Option<Message> {
        if self.retired.is_full() {
            return None;
        }
        self.inbox.pop()
    }

    /// Gives a replaced table back. Worker only, at most once for each message taken.
    ///
    /// # Panics
    /// If it is called more often.
    pub fn retire(&self, old: Retired) {
        let refused = self.retired.push(old);
        assert!(refused.is_ok(), "take() leaves room for what it replaces");
    }

    /// The next table to be dropped. Control only.
    pub fn collect(&self) -> Option<Retired> {
        self.retired.pop()
    }
}

impl Default for Mailbox {
    fn default() -> Self {
        Mailbox::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_retired_queue_stops_the_inbox_and_loses_nothing() {
        let mailbox = Mailbox::new();
        for _ in 0..ROOM {
            mailbox.retire(Retired::NextHops(Arc::default()));
        }
        assert!(mailbox.post(Message::Stop).is_ok());

        assert!(mailbox.take().is_none());
        assert!(mailbox.collect().is_some());
        assert!(matches!(mailbox.take(), Some(Message::Stop)));
    }

    #[test]
    fn a_full_inbox_gives_the_message_back() {
        let mailbox = Mailbox::new();
        for _ in 0..ROOM {
            assert!(mailbox.post(Message::Stop).is_ok());
        }
        assert!(matches!(mailbox.post(Message::Stop), Err(Message::Stop)));
    }
}
