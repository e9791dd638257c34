//! The thread that runs the shuttle: waits for frames, never for long, until it is told to stop.

use super::counters::TwinCounters;
use super::idle::Idle;
use super::schedule::{Limits, Schedule};
use super::shuttle::Shuttle;
use super::tap::KernelTap;
use super::{TwinError, TwinSpec};
use dataplane::io::Pool;
use dataplane::twin_ring::{PuntReceiver, ToWorker};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The kernel twins of a director.
pub struct Twin;

/// The running thread. Dropping it stops the thread and removes the TAPs.
#[derive(Debug)]
pub struct TwinHandle {
    counters: Arc<TwinCounters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Twin {
    /// Makes a TAP for each of `specs` in the calling thread's network namespace, up and with no
    /// address, and starts the thread `twin`. `punted` has one receiver a worker, `to_workers` one
    /// sender a worker, at the worker's id; `pool` is for the frames that Linux sends.
    ///
    /// # Errors
    /// See [`TwinError`]. No TAP and no thread are left behind.
    pub fn start<L>(
        specs: Vec<TwinSpec>,
        pool: L,
        punted: Vec<PuntReceiver<L::Packet>>,
        to_workers: Vec<ToWorker<L::Packet>>,
        limits: Limits,
    ) -> Result<TwinHandle, TwinError>
    where
        L: Pool + Send + 'static,
        L::Packet: 'static,
    {
        let twins = specs
            .into_iter()
            .map(|spec| KernelTap::create(&spec).map(|tap| (spec, tap)))
            .collect::<Result<Vec<_>, _>>()?;
        let shuttle = Shuttle::new(twins, pool, Schedule::new(punted, limits), to_workers)?;
        let ready = readiness(&shuttle).map_err(TwinError::Thread)?;
        let counters = Arc::clone(shuttle.counters());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("twin".into())
            .spawn(move || run(shuttle, &ready, &stopped))
            .map_err(TwinError::Thread)?;
        Ok(TwinHandle { counters, stop, thread: Some(thread) })
    }
}

impl TwinHandle {
    /// What the thread did so far, and its heartbeat.
    pub fn counters(&self) -> &Arc<TwinCounters> {
        &self.counters
    }

    /// Whether the thread has ended without being told to, which only a panic does.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Stops the thread, waits for its end and removes the TAPs. Frames in the rings go back to
    /// their pools. `false` if the thread had panicked.
    pub fn stop(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        self.stop.store(true, Relaxed);
        self.thread.take().is_none_or(|thread| thread.join().is_ok())
    }
}

impl Drop for TwinHandle {
    fn drop(&mut self) {
        self.end();
    }
}

/// An epoll instance that names ready TAPs by their number in the shuttle.
fn readiness<L: Pool>(shuttle: &Shuttle<L, KernelTap>) -> std::io::Result<OwnedFd> {
    let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for (number, tap) in shuttle.taps() {
        let name = epoll::EventData::new_u64(number as u64);
        epoll::add(&ready, tap, name, epoll::EventFlags::IN)?;
    }
    Ok(ready)
}

fn run<L: Pool>(mut shuttle: Shuttle<L, KernelTap>, ready: &OwnedFd, stop: &AtomicBool) {
    let start = Instant::now();
    let mut events = Vec::with_capacity(shuttle.taps().count().max(1));
    let mut idle = Idle::default();
    let mut moved = 0;
    while !stop.load(Relaxed) {
        shuttle.counters().beat();
        wait(ready, &mut events, idle.after(moved > 0));
        moved = shuttle.write_punted(start.elapsed());
        for event in &events {
            moved += shuttle.read_tap(event.data.u64() as usize);
        }
    }
}

/// Waits until a TAP is readable, at most `patience`.
fn wait(ready: &OwnedFd, events: &mut Vec<epoll::Event>, patience: Duration) {
    let timeout = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
    events.clear();
    // The one error that a valid epoll instance gives is an interrupted wait: then nothing is ready.
    let _ = epoll::wait(ready, spare_capacity(events), Some(&timeout));
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
