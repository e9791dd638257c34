//! Persistence templates: which destination a client's next conns go to.
//!
//! One store for all workers, because a client's flows go to several and its template must be one.
//! It is asked when a conn begins, is first established, or ends, never per packet.
//!
//! [`key`] is what a template is found by, [`record`] the template, [`timer`] when it is over,
//! [`users`] who holds it. [`slots`] and [`shard`] keep and find them, [`locked`] is what happens
//! under a shard's lock. [`store`] is what workers call; [`sweep`] ends what is over and goes
//! through all templates.
//!
//! A template's life is the kernel's (`ip_vs_sched_persist` in `ip_vs_core.c`, `ip_vs_check_template`
//! and `ip_vs_conn_expire` in `ip_vs_conn.c`, Linux 6.1): each new conn restarts its timer; while it
//! has children its end is put off by 60 s at a time, and 60 s is its timeout from then on; the end
//! of a child restarts nothing.

mod key;
mod locked;
mod record;
mod shard;
mod slots;
mod store;
mod sweep;
mod timer;
mod users;

#[cfg(test)]
mod tests;

pub use key::{Engine, MAX_ENGINE_DATA, TemplateKey};
pub use record::{NewTemplate, Template};
pub use store::{ChildEnd, Join, Refusal, StoreConfig, TemplateStore};
pub use sweep::{Cursor, Fate, Step, Sweeper};

use bytemuck::{Pod, Zeroable};

/// What a child keeps of its template. Zero names none. Once a template ended, its id names none
/// either: its place is given out again under another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable)]
#[repr(C)]
pub struct TemplateId {
    /// Slot and shard.
    index: u32,
    /// Which template of that slot; never 0 for one that was.
    generation: u32,
}
