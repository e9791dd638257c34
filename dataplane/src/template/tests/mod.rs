//! The store as a whole: against a naive model, by many threads, and against what a kernel did.

mod limits;
mod model;
mod threads;
mod traces;

use super::*;
use crate::conn::ConnFlags;
use crate::ids::DestId;
use crate::time::{Tick, ticks};
use std::net::IpAddr;

const SECRET: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
const VIP: u32 = 0x0a00_0064;

fn store(capacity: usize) -> TemplateStore {
    let secret = SECRET;
    TemplateStore::new(&StoreConfig { capacity, engine_capacity: capacity / 2, dests: 16, secret })
}

fn ip(addr: u32) -> IpAddr {
    IpAddr::from(addr.to_be_bytes())
}

fn key(client: u32) -> TemplateKey<'static> {
    TemplateKey::of_address(6, ip(client), ip(VIP), 80)
}

fn new(dest: u32, seconds: u32) -> NewTemplate {
    let flags = ConnFlags::empty();
    let addr = ip(0xc0a8_0100 | dest);
    NewTemplate { dest: DestId(dest), addr, port: 80, flags, timeout: ticks(seconds) }
}

/// The template of a key, joined by a child that ends at once.
fn peek(store: &TemplateStore, key: &TemplateKey<'_>, now: Tick) -> Option<Template> {
    match store.join(key, now, |_| true) {
        Join::Joined(template) => {
            store.detach(template.id, now, ChildEnd::Expired);
            Some(template)
        }
        Join::Missing => None,
        Join::Busy => panic!("nobody else is there"),
    }
}

/// All templates, in the order of their places.
fn listing(store: &TemplateStore, now: Tick) -> Vec<Template> {
    let (mut all, mut cursor) = (Vec::new(), Cursor::all());
    let copy = |all: &mut Vec<Template>, template: &Template| {
        all.push(*template);
        Fate::Keep
    };
    while store.visit(&mut cursor, 7, now, |template, _| copy(&mut all, template)) != Step::Done {}
    all
}

/// A whole pass over the store.
fn sweep(store: &TemplateStore, now: Tick) {
    let mut sweeper = Sweeper::new(0, 1, Tick(now.0.wrapping_sub(ticks(1))));
    for _ in 0..2 * store.shards() {
        sweeper.sweep(store, now, u32::MAX);
    }
}
