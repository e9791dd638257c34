//! Pools of packet buffers, shared by all threads.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use crate::eal::{Eal, c_string};
use crate::error::{Errno, Error};
use crate::mbuf::Mbuf;

/// A pool of packet buffers. A handle: clones share the pool, which goes with the last of them.
/// Threads that are not registered ([`crate::LcoreThread`]) may use it too, only slower, past the cache.
#[derive(Debug, Clone)]
pub struct Mempool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    raw: NonNull<dpdk_sys::rte_mempool>,
    count: u32,
    eal: ManuallyDrop<Eal>,
}

// SAFETY: a DPDK mempool is made for many threads: a multi-producer, multi-consumer ring, and a
// cache per lcore that only the thread with that lcore number touches.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Mempool {
    /// Takes memory for `count` buffers on NUMA node `socket` (`None`: any). Each has `data_room`
    /// bytes, [`crate::HEADROOM`] of them in front of a received frame. Each registered thread
    /// keeps up to 1.5 × `cache` buffers to itself (0: none; at most 512 and `count` / 1.5).
    /// `count` = 2ⁿ − 1 uses the memory best.
    ///
    /// # Errors
    /// [`Error::Pool`] if there is not enough memory, `cache` is too large or the name is taken;
    /// [`Error::SecondPool`] if a port was started with [`crate::PortConfig::single_pool`].
    pub fn new(
        eal: &Eal,
        name: &str,
        count: u32,
        cache: u32,
        data_room: u16,
        socket: Option<u32>,
    ) -> Result<Mempool, Error> {
        let c_name = c_string(name)?;
        let socket = socket.map_or(-1, |node| node as i32);
        let mut census = CENSUS.lock().unwrap_or_else(PoisonError::into_inner);
        if census.fast_free {
            return Err(Error::SecondPool(name.into()));
        }
        // SAFETY: EAL runs; the name is a C string, which DPDK copies.
        let raw = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(c_name.as_ptr(), count, cache, 0, data_room, socket)
        };
        let raw = NonNull::new(raw).ok_or_else(|| Error::Pool {
            name: name.into(),
            count,
            data_room,
            why: Errno::last(),
        })?;
        census.live += 1;
        Ok(Mempool { shared: Arc::new(Shared { raw, count, eal: ManuallyDrop::new(eal.clone()) }) })
    }

    /// An empty buffer with [`crate::HEADROOM`] bytes in front, or `None` when the pool is exhausted.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives as long as `self`.
        let raw = unsafe { dpdk_sys::rte_pktmbuf_alloc(self.raw()) };
        // SAFETY: a buffer just allocated has no other owner, one segment and one reference.
        NonNull::new(raw).map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    /// Buffers in the pool, the threads' caches included. Walks all caches: not per packet.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool lives as long as `self`; the count is read without locks, so it is an
        // estimate while other threads work.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.raw()) }
    }

    /// Buffers that are out: in NIC queues, rings and programs. The cost of [`Mempool::available`].
    pub fn in_use(&self) -> u32 {
        self.shared.count.saturating_sub(self.available())
    }

    /// Buffers it was made with.
    pub fn count(&self) -> u32 {
        self.shared.count
    }

    /// Bytes of each buffer, headroom included.
    pub fn data_room(&self) -> u16 {
        // SAFETY: the pool lives as long as `self`.
        unsafe { dpdk_sys::rte_pktmbuf_data_room_size(self.raw()) }
    }

    /// Bytes of the memory pages that it lies on, such as 2 MiB or 1 GiB; `None` if unknown.
    pub fn page_size(&self) -> Option<u64> {
        // SAFETY: the pool lives as long as `self`; its list of memory does not change any more.
        let bytes = unsafe { dpdk_sys::dpdk_pool_page_size(self.raw()) };
        (bytes > 0).then_some(bytes)
    }

    pub(crate) fn raw(&self) -> *mut dpdk_sys::rte_mempool {
        self.shared.raw.as_ptr()
    }
}

impl Drop for Shared {
    /// Frees the pool if all its buffers are home. If not, it stays (and EAL with it): somebody
    /// holds an [`Mbuf`] of it, or a driver lost some, and memory in use must not go away.
    fn drop(&mut self) {
        let mut census = CENSUS.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the pool has not been freed yet.
        if unsafe { dpdk_sys::rte_mempool_avail_count(self.raw.as_ptr()) } != self.count {
            return;
        }
        // SAFETY: no handle and no buffer is left, so nobody can reach the pool.
        unsafe { dpdk_sys::rte_mempool_free(self.raw.as_ptr()) };
        census.live -= 1;
        // SAFETY: dropped once, here, and not used again.
        unsafe { ManuallyDrop::drop(&mut self.eal) };
    }
}

/// How many pools there are, and whether a port relies on there being one.
struct Census {
    live: u32,
    fast_free: bool,
}

static CENSUS: Mutex<Census> = Mutex::new(Census { live: 0, fast_free: false });

/// Whether a port may give sent buffers back without looking at whose they are
/// (`MBUF_FAST_FREE`): if there is one pool. From a yes on there can be no second.
pub(crate) fn promise_single_pool() -> bool {
    let mut census = CENSUS.lock().unwrap_or_else(PoisonError::into_inner);
    census.fast_free |= census.live == 1;
    census.fast_free
}
