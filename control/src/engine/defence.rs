//! `drop_entry`, `drop_packet` and `secure_tcp`: when they act (`update_defense_level`,
//! `ip_vs_ctl.c`).
//!
//! Each is 0 off, 1 ready, 2 acting because memory is low, 3 acting always; 1 and 2 turn into each
//! other as memory goes and comes. Memory is low when less than `amemthresh` pages are available:
//! those that the host has free or in buffers, as in the kernel, or what the fullest connection
//! table has left, whose last sixteenth stands for `amemthresh` pages. The host's does not shrink
//! by a flood here, since tables are taken at start; the table does.

use dataplane::service::{DropPacket, Settings};

/// What is available, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Pages of 4 KiB that the host has free or in buffers.
    pub pages: i64,
    /// Conns that the fullest worker's table has room for still.
    pub free: i64,
    /// Conns it has room for when it is empty.
    pub room: i64,
}

impl Default for Memory {
    fn default() -> Self {
        Memory { pages: i64::MAX, free: 1, room: 1 }
    }
}

/// The part of a table whose use makes memory low.
const LAST: i64 = 16;

impl Memory {
    /// Pages, beside a threshold of so many.
    fn available(self, threshold: i64) -> i64 {
        let of_table = i128::from(threshold) * i128::from(LAST) * i128::from(self.free.max(0));
        let of_table = of_table / i128::from(self.room.max(1));
        self.pages.min(i64::try_from(of_table).unwrap_or(i64::MAX))
    }
}

/// `MemFree` and `Buffers` of `/proc/meminfo`'s text, in pages of 4 KiB.
pub fn free_pages(meminfo: &str) -> Option<i64> {
    let kib = |name| {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        rest.trim().trim_end_matches(" kB").parse::<i64>().ok()
    };
    Some((kib("MemFree:")? + kib("Buffers:")?) / 4)
}

/// The values, and what follows from them.
#[derive(Debug, Clone)]
pub struct Defence {
    drop_entry: u8,
    drop_packet: u8,
    secure_tcp: u8,
    am_droprate: i64,
    amemthresh: i64,
    memory: Memory,
    /// Of every how many new conns one is dropped; 0 for none.
    rate: u32,
}

impl Default for Defence {
    fn default() -> Self {
        Defence {
            drop_entry: 0,
            drop_packet: 0,
            secure_tcp: 0,
            am_droprate: 10,
            amemthresh: 1024,
            memory: Memory::default(),
            rate: 0,
        }
    }
}

impl Defence {
    /// Sets a value; `false` for another name. A mode that changes acts at once, thresholds within
    /// a second.
    pub fn set(&mut self, key: &str, value: i64) -> bool {
        let mode = match key {
            "am_droprate" => {
                self.am_droprate = value;
                return true;
            }
            "amemthresh" => {
                self.amemthresh = value;
                return true;
            }
            "drop_entry" => &mut self.drop_entry,
            "drop_packet" => &mut self.drop_packet,
            "secure_tcp" => &mut self.secure_tcp,
            _ => return false,
        };
        if i64::from(*mode) != value {
            *mode = value as u8;
            self.evaluate();
        }
        true
    }

    /// The names and values.
    pub fn list(&self) -> [(&'static str, i64); 5] {
        [
            ("am_droprate", self.am_droprate),
            ("amemthresh", self.amemthresh),
            ("drop_entry", self.drop_entry.into()),
            ("drop_packet", self.drop_packet.into()),
            ("secure_tcp", self.secure_tcp.into()),
        ]
    }

    /// Takes note of what is available.
    pub fn note(&mut self, memory: Memory) {
        self.memory = memory;
    }

    /// What is to be done each second: `true` if workers are to be told of it.
    pub fn second(&mut self, memory: Memory) -> bool {
        let before = (self.acting(), self.modes());
        self.note(memory);
        self.evaluate();
        before != (self.acting(), self.modes())
    }

    fn evaluate(&mut self) {
        let available = self.memory.available(self.amemthresh);
        let is_low = available < self.amemthresh;
        for mode in [&mut self.drop_entry, &mut self.drop_packet, &mut self.secure_tcp] {
            *mode = match *mode {
                1 | 2 => 1 + u8::from(is_low),
                always => always,
            };
        }
        let rate = match self.drop_packet {
            2 => self.amemthresh / (self.amemthresh - available),
            3 => self.am_droprate,
            _ => 0,
        };
        self.rate = u32::try_from(rate).unwrap_or(u32::MAX);
    }

    fn modes(&self) -> [u8; 3] {
        [self.drop_entry, self.drop_packet, self.secure_tcp]
    }

    fn acting(&self) -> (bool, bool, DropPacket) {
        let drop_packet = DropPacket { rate: self.rate, anew: self.drop_packet == 2 };
        (self.drop_entry > 1, self.secure_tcp > 1, drop_packet)
    }

    /// Tells workers what acts.
    pub fn apply(&self, settings: &mut Settings) {
        (settings.drop_entry, settings.secure_tcp, settings.drop_packet) = self.acting();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recording of a kernel with some 10,000 pages free: every write, every reading, every
    /// second.
    #[test]
    fn modes_read_as_the_kernels_after_every_write_and_second() {
        let text = include_str!("../../tests/golden/defence_levels.json");
        let trace: serde_json::Value = serde_json::from_str(text).unwrap();
        let (mut defence, mut read) = (Defence::default(), 0);
        let memory = Memory { pages: 10_000, ..Memory::default() };
        defence.note(memory);
        for step in trace["steps"].as_array().unwrap() {
            let name = |text: &str| text.rsplit('/').next().unwrap().to_owned();
            match step["op"].as_str().unwrap() {
                "sysctl" => {
                    let key = name(step["key"].as_str().unwrap());
                    assert!(defence.set(&key, step["value"].as_i64().unwrap()), "{key}");
                }
                "wait" => drop(defence.second(memory)),
                "cmd" => {
                    let key = name(step["cmd"].as_str().unwrap());
                    let ours = defence.list().into_iter().find(|row| row.0 == key).unwrap().1;
                    assert_eq!(Some(&*ours.to_string()), step["out"][0].as_str(), "{read}: {key}");
                    read += 1;
                }
                _ => {}
            }
        }
        assert_eq!(read, 63);
    }

    #[test]
    fn a_table_in_its_last_sixteenth_makes_memory_low_and_refuses_more_the_fuller_it_is() {
        let mut defence = Defence::default();
        assert!(defence.set("drop_packet", 1) && defence.set("secure_tcp", 1));
        let mut rate = |free| {
            defence.second(Memory { free, room: 16_000, ..Memory::default() });
            let mut settings = Settings::default();
            defence.apply(&mut settings);
            assert_eq!(settings.secure_tcp, settings.drop_packet.rate > 0);
            settings.drop_packet.rate
        };
        assert_eq!([16_000, 1000, 999, 750, 500, 1, 0].map(&mut rate), [0, 0, 512, 4, 2, 1, 1]);
        assert_eq!(rate(1000), 0);
    }

    #[test]
    fn workers_are_told_when_something_changes_and_only_then() {
        let mut defence = Defence::default();
        let low = Memory { pages: 512, ..Memory::default() };
        assert!(!defence.second(low), "all is off");
        assert!(defence.set("drop_entry", 1) && !defence.second(low));
        assert!(defence.second(Memory::default()) && defence.second(low) && !defence.second(low));
        assert!(defence.set("drop_packet", 3) && defence.set("am_droprate", 7));
        assert!(defence.second(low), "a new rate");
    }

    #[test]
    fn a_threshold_of_nothing_is_never_undershot() {
        let mut defence = Defence::default();
        assert!(defence.set("amemthresh", 0) && defence.set("drop_packet", 2));
        defence.second(Memory { pages: 0, free: 0, room: 1 });
        assert_eq!(defence.modes(), [0, 1, 0]);
    }

    #[test]
    fn free_pages_are_those_free_and_in_buffers() {
        let meminfo = "MemTotal:  999 kB\nMemFree:   4000 kB\nBuffers:      8 kB\nCached: 5 kB\n";
        assert_eq!(free_pages(meminfo), Some(1002));
        assert_eq!(free_pages("MemFree: 1 kB\n"), None);
    }
}
