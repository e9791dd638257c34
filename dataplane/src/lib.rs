//! Everything a packet meets, as a library without threads, globals or system calls.
//!
//! A packet's way, in the order of the modules below: [`io`] gathers a window of frames, [`parse`]
//! finds headers and flow key, [`owner`] says whose flow it is ([`fragments`] which flow a fragment
//! is of), [`conn`] looks the connection up, [`service`] and [`sched`] choose a destination for a
//! new one, [`template`] remembers the choice for a persistent client, [`proto`] tracks its state,
//! [`forward`] rewrites the headers, [`nexthop`] gives the MAC addresses. [`director`] names these
//! stages in order and holds the branches; the others are its leaves. [`worker`] runs the director
//! on one pinned thread.

// The packet's way, in its order.
pub mod io;

pub mod parse;
pub mod plain;

pub mod owner;

pub mod fragments;

pub mod conn;

pub mod service;

pub mod sched;

pub mod template;

pub mod proto;

pub mod forward;

// Payload that is read: FTP's control connection, SIP's Call-ID.
pub mod app;
pub mod expect;

pub mod punt;

pub mod nexthop;
pub mod route;

pub mod director;

pub mod worker;

// What the stages share.
pub mod address;
pub mod by_family;
pub mod counters;
pub mod flow;
pub mod handover;
pub mod ids;
pub mod interface;
pub mod limits;
pub mod local_ports;
pub mod mailbox;
pub mod prefetch;
pub mod siphash;
pub mod time;
pub mod twin_ring;
pub mod verdict;
pub mod wire;

pub mod testing;
