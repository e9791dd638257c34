//! Moves frames between TAPs and rings, and counts what became of each. Knows neither threads nor
//! clocks.

use super::counters::{FromKernel, ToKernel, TwinCounters};
use super::schedule::{Schedule, Turn};
use super::tap::Tap;
use super::{TwinError, TwinSpec, vlan};
use dataplane::ids::InterfaceId;
use dataplane::io::{Packet, Pool};
use dataplane::twin_ring::{Punted, ToWorker};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

/// Punted frames of one turn.
const WRITES: usize = 64;
/// Frames of one TAP in one turn.
const READS: usize = 64;
const ETHERNET_HEADER: usize = 14;

/// A kernel twin: its TAP, as long as nobody has deleted it.
struct Twin<T> {
    spec: TwinSpec,
    tap: Option<T>,
}

impl<T> Twin<T> {
    /// Bytes of its largest frame, without a tag.
    fn largest_frame(&self) -> usize {
        usize::from(self.spec.mtu) + ETHERNET_HEADER
    }
}

/// All twins and the rings that they share.
pub struct Shuttle<L: Pool, T> {
    twins: Vec<Twin<T>>,
    /// Position in `twins` by interface.
    by_interface: Vec<Option<usize>>,
    schedule: Schedule<L::Packet>,
    outlet: Outlet<L>,
    /// One byte longer than the largest frame, so that a cut frame shows.
    scratch: Vec<u8>,
    counters: Arc<TwinCounters>,
}

/// What turns bytes from Linux into packets for the workers.
struct Outlet<L: Pool> {
    pool: L,
    to_workers: Vec<ToWorker<L::Packet>>,
}

impl<L: Pool, T: Tap> Shuttle<L, T> {
    /// Joins twins, each with its TAP, with the workers' rings.
    pub fn new(
        twins: Vec<(TwinSpec, T)>,
        pool: L,
        schedule: Schedule<L::Packet>,
        to_workers: Vec<ToWorker<L::Packet>>,
    ) -> Result<Self, TwinError> {
        let twins: Vec<_> =
            twins.into_iter().map(|(spec, tap)| Twin { spec, tap: Some(tap) }).collect();
        let specs = twins.iter().map(|twin| &twin.spec);
        if let Some(lost) = specs.clone().find(|s| s.tx_worker.index() >= to_workers.len()) {
            return Err(TwinError::NoWorker(lost.name.clone(), lost.tx_worker));
        }
        let largest = twins.iter().map(Twin::largest_frame).max().unwrap_or(0);
        Ok(Shuttle {
            by_interface: positions(specs)?,
            twins,
            schedule,
            outlet: Outlet { pool, to_workers },
            scratch: vec![0; largest + 1],
            counters: Arc::default(),
        })
    }

    /// What became of the frames.
    pub fn counters(&self) -> &Arc<TwinCounters> {
        &self.counters
    }

    /// The TAPs that exist, each with the number that [`Shuttle::read_tap`] knows it by.
    pub fn taps(&self) -> impl Iterator<Item = (usize, &T)> {
        self.twins.iter().enumerate().filter_map(|(i, twin)| Some((i, twin.tap.as_ref()?)))
    }

    /// Writes a bounded number of punted frames; how many it took from the rings.
    pub fn write_punted(&mut self, now: Duration) -> usize {
        let Shuttle { schedule, twins, by_interface, counters, .. } = self;
        schedule.drain(now, WRITES, |class, turn, punted| {
            let outcome = match turn {
                Turn::Limit => ToKernel::RateLimited,
                Turn::Pass => {
                    let position = by_interface.get(punted.interface.index()).copied().flatten();
                    position.map_or(ToKernel::NoTwin, |i| write(&twins[i], punted))
                }
            };
            counters.count_to_kernel(class, outcome);
        })
    }

    /// Takes a bounded number of frames that Linux sent on one TAP; how many it took.
    pub fn read_tap(&mut self, twin: usize) -> usize {
        let Shuttle { twins, outlet, scratch, counters, .. } = self;
        let twin = &mut twins[twin];
        let Some(tap) = &twin.tap else { return 0 };
        for taken in 0..READS {
            match tap.recv(scratch) {
                Ok(length) => {
                    let frame = &scratch[..length.min(scratch.len())];
                    counters.count_from_kernel(outlet.forward(frame, twin));
                }
                Err(e) if is_transient(&e) => return taken,
                Err(e) => {
                    log::error!(
                        "the kernel twin {} is gone: {e}; restart to get it back",
                        twin.spec.name
                    );
                    twin.tap = None;
                    counters.count_tap_lost();
                    return taken;
                }
            }
        }
        READS
    }
}

impl<L: Pool> Outlet<L> {
    /// Makes a packet of what Linux sent and hands it to the worker that transmits it.
    fn forward<T>(&mut self, frame: &[u8], twin: &Twin<T>) -> FromKernel {
        if frame.len() > twin.largest_frame() {
            return FromKernel::Oversized;
        }
        let Some(mut packet) = self.pool.alloc() else { return FromKernel::NoBuffer };
        if !packet.grow_back(frame.len()) {
            return FromKernel::Oversized;
        }
        packet.bytes_mut().copy_from_slice(frame);
        if !vlan::tag(&mut packet, twin.spec.vlan) {
            return FromKernel::NoHeadroom;
        }
        packet.set_port(twin.spec.port);
        match self.to_workers[twin.spec.tx_worker.index()].send(packet) {
            Ok(()) => FromKernel::Handed,
            Err(_refused) => FromKernel::RingFull,
        }
    }
}

/// Gives Linux a punted frame, without its tag.
fn write<P: Packet, T: Tap>(twin: &Twin<T>, punted: Punted<P>) -> ToKernel {
    let Some(tap) = &twin.tap else { return ToKernel::NoTwin };
    let mut packet = punted.packet;
    vlan::untag(&mut packet, twin.spec.vlan);
    match tap.send(packet.bytes()) {
        Ok(_) => ToKernel::Written,
        Err(e) if is_transient(&e) => ToKernel::KernelFull,
        Err(_) => ToKernel::WriteError,
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Each interface's position among the specs.
fn positions<'a>(
    specs: impl Iterator<Item = &'a TwinSpec>,
) -> Result<Vec<Option<usize>>, TwinError> {
    let mut positions: Vec<Option<usize>> = vec![];
    for (i, spec) in specs.enumerate() {
        let InterfaceId(interface) = spec.interface;
        let place = usize::from(interface);
        if positions.len() <= place {
            positions.resize(place + 1, None);
        }
        if positions[place].replace(i).is_some() {
            return Err(TwinError::Duplicate(spec.name.clone()));
        }
    }
    Ok(positions)
}

#[cfg(test)]
#[path = "shuttle_tests.rs"]
mod tests;
