//! A packet buffer: one frame, owned.

use std::mem::offset_of;
use std::ptr::NonNull;

/// Bytes in front of a frame, for headers to come, in a fresh or received buffer.
pub const HEADROOM: usize = dpdk_sys::RTE_PKTMBUF_HEADROOM as usize;

/// `struct rte_mbuf` begins a line of the cache and takes two.
const CACHE_LINE: usize = 64;

/// One frame in one DPDK packet buffer (`struct rte_mbuf`), owned: nobody else can reach its
/// bytes. Dropping it gives the buffer back to its pool. One pointer wide, so that a slice of
/// these is the array of pointers that DPDK's bursts take.
///
/// A driver may chain several buffers for a frame longer than one ([`Mbuf::is_multi_segment`]);
/// everything here then concerns the first of them only.
#[derive(Debug)]
#[repr(transparent)]
pub struct Mbuf(NonNull<dpdk_sys::rte_mbuf>);

// SAFETY: the buffer has one owner, and pools take buffers back from any thread.
unsafe impl Send for Mbuf {}
// SAFETY: `&Mbuf` only reads.
unsafe impl Sync for Mbuf {}

/// The fields used here of `struct rte_mbuf`, where DPDK 22.11 to 25.11 have them.
#[repr(C)]
struct Head {
    buf_addr: *mut u8,
    buf_iova: u64,
    data_off: u16,
    refcnt: u16,
    nb_segs: u16,
    port: u16,
    ol_flags: u64,
    packet_type: u32,
    pkt_len: u32,
    data_len: u16,
    vlan_tci: u16,
    hash: [u32; 2],
    vlan_tci_outer: u16,
    buf_len: u16,
}

/// A DPDK that lays its buffers out otherwise fails to compile here.
const _: () = {
    assert!(offset_of!(Head, buf_addr) == dpdk_sys::DPDK_MBUF_BUF_ADDR as usize);
    assert!(offset_of!(Head, data_off) == dpdk_sys::DPDK_MBUF_DATA_OFF as usize);
    assert!(offset_of!(Head, nb_segs) == dpdk_sys::DPDK_MBUF_NB_SEGS as usize);
    assert!(offset_of!(Head, port) == dpdk_sys::DPDK_MBUF_PORT as usize);
    assert!(offset_of!(Head, pkt_len) == dpdk_sys::DPDK_MBUF_PKT_LEN as usize);
    assert!(offset_of!(Head, data_len) == dpdk_sys::DPDK_MBUF_DATA_LEN as usize);
    assert!(offset_of!(Head, buf_len) == dpdk_sys::DPDK_MBUF_BUF_LEN as usize);
    assert!(size_of::<Head>() <= dpdk_sys::DPDK_MBUF_SIZE as usize);
};

impl Mbuf {
    /// # Safety
    /// `raw` is a valid buffer (chain) that nobody else uses, with data that nobody else shares.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<dpdk_sys::rte_mbuf>) -> Self {
        Mbuf(raw)
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: `Head` is a prefix of the buffer's struct (checked above), which lives as long
        // as this owner; C writes to it only while C owns it.
        unsafe { self.0.cast::<Head>().as_ref() }
    }

    #[inline]
    fn head_mut(&mut self) -> &mut Head {
        // SAFETY: as in `head`; `&mut self` makes the access exclusive.
        unsafe { self.0.cast::<Head>().as_mut() }
    }

    /// Bytes of the (first segment of the) frame.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        usize::from(self.head().data_len)
    }

    /// The (first segment of the) frame.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let head = self.head();
        // SAFETY: data_off + data_len ≤ buf_len is DPDK's invariant, which the functions below
        // keep; pool memory is zeroed when it is made, so its bytes are initialised.
        unsafe {
            let start = head.buf_addr.add(usize::from(head.data_off));
            std::slice::from_raw_parts(start, usize::from(head.data_len))
        }
    }

    /// The same, to be rewritten in place.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let head = self.head_mut();
        // SAFETY: as in `bytes`; the data has one owner, and `&mut self` borrows it exclusively.
        unsafe {
            let start = head.buf_addr.add(usize::from(head.data_off));
            std::slice::from_raw_parts_mut(start, usize::from(head.data_len))
        }
    }

    /// Bytes free in front of the frame.
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.head().data_off)
    }

    /// Bytes free behind the (first segment of the) frame.
    #[inline]
    pub fn tailroom(&self) -> usize {
        let head = self.head();
        usize::from(head.buf_len) - usize::from(head.data_off) - usize::from(head.data_len)
    }

    /// Grows the frame by `count` bytes in front, whose content is undefined. `false`, and
    /// nothing changed, if the headroom does not suffice.
    #[inline]
    #[must_use]
    pub fn grow_front(&mut self, count: usize) -> bool {
        let fits = count <= self.headroom();
        if fits {
            self.head_mut().data_off -= count as u16;
            self.lengthen(count as u16);
        }
        fits
    }

    /// Grows the frame by `count` bytes at the end, whose content is undefined. `false`, and
    /// nothing changed, if the tailroom does not suffice or the frame has several segments.
    #[inline]
    #[must_use]
    pub fn grow_back(&mut self, count: usize) -> bool {
        let fits = count <= self.tailroom() && !self.is_multi_segment();
        if fits {
            self.lengthen(count as u16);
        }
        fits
    }

    /// Removes `count` bytes in front.
    ///
    /// # Panics
    /// If `count` is more than the frame has.
    #[inline]
    pub fn shrink_front(&mut self, count: usize) {
        assert!(count <= self.len(), "more bytes to remove than the frame has");
        self.head_mut().data_off += count as u16;
        self.shorten(count as u16);
    }

    /// Cuts the frame to `len` bytes.
    ///
    /// # Panics
    /// If `len` is more than the frame has.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len(), "a frame cannot be cut to more than it has");
        self.shorten((self.len() - len) as u16);
    }

    #[inline]
    fn lengthen(&mut self, count: u16) {
        let head = self.head_mut();
        head.data_len += count;
        head.pkt_len += u32::from(count);
    }

    #[inline]
    fn shorten(&mut self, count: u16) {
        let head = self.head_mut();
        head.data_len -= count;
        head.pkt_len -= u32::from(count);
    }

    /// Whether the frame goes on in further buffers, out of reach here.
    #[inline]
    pub fn is_multi_segment(&self) -> bool {
        self.head().nb_segs > 1
    }

    /// The number it carries as its port: what [`Mbuf::set_port`] set, 65535 when fresh. After
    /// receiving it is DPDK's for the port, but not every driver sets it (`net_ring`, 23.11's
    /// `net_af_xdp`): the receiver knows better. Transmitting ignores it.
    #[inline]
    pub fn port(&self) -> u16 {
        self.head().port
    }

    /// Sets [`Mbuf::port`].
    #[inline]
    pub fn set_port(&mut self, port: u16) {
        self.head_mut().port = port;
    }

    /// Starts loading the first cache line of the frame, to be written.
    #[inline]
    pub fn prefetch(&self) {
        prefetch_to_write(self.bytes().as_ptr());
    }

    /// Starts loading what the buffer says of the frame and of itself, to be written. Another core had
    /// it last: here it is read to find the frame and to give it back, then written when it is used again.
    #[inline]
    pub fn prefetch_head(&self) {
        let head: *const u8 = self.0.as_ptr().cast_const().cast();
        prefetch_to_write(head);
        prefetch_to_write(head.wrapping_add(CACHE_LINE));
    }
}

/// Starts loading the cache line of `place` and takes it from all other cores. One that is loaded to be
/// read stays with its last writer too, and the first write waits for that one a second time.
#[inline(always)]
fn prefetch_to_write(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect that a program can see, whatever the address; every processor
    // with 64 bits takes the instruction, if only for no operation.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: owned, so it is valid, and nobody else frees it. Its pool is still there: pools
        // stay while buffers are out.
        unsafe { dpdk_sys::rte_pktmbuf_free(self.0.as_ptr()) };
    }
}
