//! A template, as it is stored and as it is shown.

use super::TemplateId;
use super::key::{Engine, Name, TemplateKey, addr, family, octets};
use super::timer::Timer;
use super::users::Usage;
use crate::conn::ConnFlags;
use crate::ids::DestId;
use crate::time::Tick;
use bytemuck::{Pod, Zeroable};
use std::net::IpAddr;

/// Port of an invalid template: its virtual one and its destination's (`ip_vs_check_template`).
const INVALID_PORT: u16 = 0xffff;

/// What a template is made of besides its key.
#[derive(Debug, Clone, Copy)]
pub struct NewTemplate {
    /// Destination that a scheduler chose.
    pub dest: DestId,
    /// Its address.
    pub addr: IpAddr,
    /// Its port, 0 in the wild-card forms.
    pub port: u16,
    /// Forwarding method, and what else the sync protocol tells; [`ConnFlags::TEMPLATE`] is added.
    pub flags: ConnFlags,
    /// The service's persistence timeout, in ticks.
    pub timeout: u32,
}

/// A template at one moment. Ports and protocol in host order, times in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// What its children keep.
    pub id: TemplateId,
    /// IP protocol number; 0 if `vaddr` is a mark.
    pub proto: u8,
    /// The clients' address, masked.
    pub client: IpAddr,
    /// Virtual address, or a mark written as one.
    pub vaddr: IpAddr,
    /// Virtual port, 0 in the wild-card forms, 65535 once invalid.
    pub vport: u16,
    /// The persistence engine that is part of its key.
    pub engine: Option<Engine>,
    /// Destination of its children.
    pub dest: DestId,
    /// Its address.
    pub addr: IpAddr,
    /// Its port, 0 in the wild-card forms, 65535 once invalid.
    pub port: u16,
    /// Forwarding method and sync protocol's bits.
    pub flags: ConnFlags,
    /// What the next child restarts its timer with.
    pub timeout: u32,
    /// Left until its timer fires, which ends it if it has no children then.
    pub remaining: u32,
    /// Conns that it controls.
    pub children: u32,
    /// Whether one of them was ever established.
    pub assured: bool,
}

impl Template {
    /// The state column of `ipvsadm -Lnc` (`ip_vs_state_name` in `ip_vs_proto.c`).
    pub fn state_name(&self) -> &'static str {
        if self.assured { "ASSURED" } else { "NONE" }
    }
}

/// A template as it is stored, without what [`super::users`] know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Record {
    pub name: Name,
    addr: [u8; 16],
    port: u16,
    family: u8,
    /// 1 while a look-up by key finds it.
    indexed: u8,
    pub dest: DestId,
    flags: ConnFlags,
    pub timer: Timer,
    /// The half of its hash that chooses the bucket.
    pub hash: u32,
    /// Where its key's data is, plus one; 0 for none.
    pub data: u32,
    /// Next of its bucket, plus one; 0 for none.
    pub next: u32,
}

impl Record {
    /// A record that no bucket has yet.
    pub fn new(key: &TemplateKey<'_>, new: &NewTemplate, now: Tick) -> Record {
        Record {
            name: *key.name(),
            addr: octets(new.addr),
            port: new.port,
            family: family(new.addr),
            dest: new.dest,
            flags: new.flags | ConnFlags::TEMPLATE,
            timer: Timer::start(now, new.timeout),
            ..Record::zeroed()
        }
    }

    /// The record as its bucket's first, before `next`.
    pub fn indexed(self, hash: u32, data: u32, next: u32) -> Record {
        Record { hash, data, next, indexed: 1, ..self }
    }

    pub fn is_indexed(&self) -> bool {
        self.indexed == 1
    }

    /// No bucket has it any more.
    pub fn unindexed(&mut self) {
        self.indexed = 0;
    }

    /// Gives it the ports by which listings tell it from its successor.
    pub fn invalidate(&mut self) {
        self.name.vport = INVALID_PORT;
        self.port = INVALID_PORT;
    }

    /// What it is at `now`, under the timer that applies then.
    pub fn view(&self, index: u32, usage: Usage, timer: Timer, now: Tick) -> Template {
        Template {
            id: TemplateId { index, generation: usage.generation() },
            proto: self.name.proto,
            client: self.name.client(),
            vaddr: self.name.target(),
            vport: self.name.vport,
            engine: self.name.engine(),
            dest: self.dest,
            addr: addr(self.addr, self.family),
            port: self.port,
            flags: self.flags,
            timeout: timer.timeout,
            remaining: timer.remaining(now),
            children: usage.children(),
            assured: usage.is_assured(),
        }
    }
}
