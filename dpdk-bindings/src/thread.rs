//! Ordinary threads, known to DPDK.

use std::marker::PhantomData;

use crate::eal::Eal;
use crate::error::{Errno, Error};

/// The calling thread's lcore number, kept until this is dropped. It gives the thread its own
/// cache in every [`crate::Mempool`]; without it buffers go through the pool's shared ring.
/// Pin the thread first: DPDK notes its NUMA node when it registers.
#[derive(Debug)]
pub struct LcoreThread {
    _eal: Eal,
    _this_thread_only: PhantomData<*const ()>,
}

impl LcoreThread {
    /// Registers the calling thread.
    ///
    /// # Errors
    /// [`Error::Thread`] if all of DPDK's lcore numbers (128 as a rule) are taken, or the thread
    /// has one already.
    pub fn register(eal: &Eal) -> Result<Self, Error> {
        let taken = Self::number().is_some();
        // SAFETY: EAL runs, and stays while the handle is held.
        if taken || unsafe { dpdk_sys::rte_thread_register() } < 0 {
            let why = if taken { Errno(libc::EEXIST) } else { Errno::last() };
            return Err(Error::Thread(why));
        }
        Ok(LcoreThread { _eal: eal.clone(), _this_thread_only: PhantomData })
    }

    /// The calling thread's lcore number, if it has one.
    pub fn number() -> Option<u32> {
        // SAFETY: reads a thread-local integer.
        let number = unsafe { dpdk_sys::rte_lcore_id() };
        (number != u32::MAX).then_some(number)
    }
}

impl Drop for LcoreThread {
    fn drop(&mut self) {
        // SAFETY: not Send, so this is the thread that registered; it uses no DPDK call after
        // this that needs the number, since those look the number up again.
        unsafe { dpdk_sys::rte_thread_unregister() };
    }
}
