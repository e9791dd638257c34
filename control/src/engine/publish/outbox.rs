//! What is on its way to one worker: nothing is lost when its mailbox is full, and nothing piles
//! up, because a table replaces an older one of its kind.

use dataplane::mailbox::{Mailbox, Message};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One worker's mailbox and what waits for room in it.
#[derive(Debug)]
pub(super) struct Outbox {
    mailbox: Arc<Mailbox>,
    /// At most one of a kind, in the order of [`rank`].
    waiting: Mutex<Vec<Message>>,
}

impl Outbox {
    pub(super) fn new(mailbox: Arc<Mailbox>) -> Self {
        Outbox { mailbox, waiting: Mutex::default() }
    }

    /// Posts a table, behind what waits already.
    pub(super) fn send(&self, message: Message) {
        let mut waiting = self.waiting();
        waiting.retain(|other| rank(other) != rank(&message));
        waiting.push(message);
        waiting.sort_by_key(rank);
        self.flush_some(&mut waiting);
    }

    /// Posts a message at once or gives it back.
    pub(super) fn post(&self, message: Message) -> Result<(), Message> {
        self.mailbox.post(message)
    }

    /// Posts what waits; whether nothing does any more.
    pub(super) fn flush(&self) -> bool {
        self.flush_some(&mut self.waiting())
    }

    /// Drops what the worker gave back, and posts what waits.
    pub(super) fn collect(&self) {
        while self.mailbox.collect().is_some() {}
        self.flush();
    }

    fn flush_some(&self, waiting: &mut Vec<Message>) -> bool {
        while let Some(first) = waiting.first() {
            if self.mailbox.post(first.clone()).is_err() {
                return false;
            }
            waiting.remove(0);
        }
        true
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Message>> {
        // Whatever panicked under the lock, the list is whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A table comes after those it refers to: routes and services name next hops.
fn rank(message: &Message) -> u8 {
    match message {
        Message::NextHops(_) => 0,
        Message::Routes(_) => 1,
        Message::SlotMap(_) => 2,
        Message::Services(_) => 3,
        Message::Dump(_) => 4,
        Message::Stop => 5,
    }
}
