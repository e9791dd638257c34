//! A NIC port: found by name, asked what it is and what it counted, closed when dropped.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::eal::{Eal, c_string};
use crate::error::{Errno, Error};
use crate::mempool::Mempool;

pub mod bits;
mod spread;
mod start;
pub use spread::{HashRule, Hashing, RulePackets, RuleTransport};
pub use start::{PortConfig, Rss, SetUp};

const MAX_PORTS: usize = dpdk_sys::RTE_MAX_ETHPORTS as usize;
static TAKEN: [AtomicBool; MAX_PORTS] = [const { AtomicBool::new(false) }; MAX_PORTS];

/// What a port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    /// The driver, such as `net_ice`.
    pub driver: String,
    /// Receive queues the device has.
    pub max_rx_queues: u16,
    /// Transmit queues the device has.
    pub max_tx_queues: u16,
    /// The largest MTU the driver states.
    pub max_mtu: u16,
    /// The NUMA node it is attached to, if it has one.
    pub node: Option<u32>,
    /// Frames that the driver would have a receive queue hold; 0: not stated.
    pub rx_ring: u16,
    /// The same of a transmit queue.
    pub tx_ring: u16,
    /// What it can hash to spread flows over receive queues ([`bits::hash`]); 0: it cannot.
    pub hash_types: u64,
    /// Bytes of its hash's key; 0: not stated.
    pub hash_key: u8,
    /// Entries of its redirection table, from the hash's lowest bits to queues; 0: it has none.
    pub redirection: u16,
    /// What it can do on receiving ([`bits::rx`]).
    pub rx_offloads: u64,
    /// What it can do on sending ([`bits::tx`]).
    pub tx_offloads: u64,
}

/// What a port counted since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received and handed over.
    pub rx_packets: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames the device lost because the receive queues were full: the program was too slow.
    pub rx_missed: u64,
    /// Frames received broken.
    pub rx_errors: u64,
    /// Frames lost because the pool had no buffer.
    pub rx_no_buffer: u64,
    /// Frames that could not be sent.
    pub tx_errors: u64,
}

/// The state of the cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Whether there is a link.
    pub up: bool,
    /// Its speed in Mbit/s; 0 and 4294967295 are "unknown".
    pub mbps: u32,
}

/// A port, opened: there is one of these for each of the process.
#[derive(Debug)]
pub struct Port {
    open: Arc<Opened>,
    set_up: Option<SetUp>,
}

/// What a port and its queues share; the port stops and closes with the last of them.
#[derive(Debug)]
pub(crate) struct Opened {
    id: u16,
    name: String,
    _eal: Eal,
    /// What `start` was given: drivers take receive buffers from it until the port is closed.
    /// Several only after attempts that failed.
    pools: Mutex<Vec<Mempool>>,
    /// Hash keys that `start` was given: DPDK keeps pointers to them and drivers read them later.
    keys: Mutex<Vec<Vec<u8>>>,
    /// Flow rules are in force.
    has_rules: AtomicBool,
}

impl Port {
    /// Opens the port that DPDK calls `name`: a PCI address (`0000:3b:00.0`, or `3b:00.0`), or a
    /// virtual device's name as in `--vdev` (`net_af_xdp0`).
    ///
    /// # Errors
    /// [`Error::NoSuchPort`], with the names there are; [`Error::PortBusy`] if it is open already.
    pub fn by_name(eal: &Eal, name: &str) -> Result<Port, Error> {
        let id = match find(name)? {
            Some(id) => Some(id),
            None => find(&format!("0000:{name}"))?,
        };
        let id =
            id.ok_or_else(|| Error::NoSuchPort { name: name.into(), there: Self::names(eal) })?;
        if TAKEN[usize::from(id)].swap(true, Ordering::SeqCst) {
            return Err(Error::PortBusy(name.into()));
        }
        let open = Opened {
            id,
            name: name.into(),
            _eal: eal.clone(),
            pools: Mutex::default(),
            keys: Mutex::default(),
            has_rules: AtomicBool::new(false),
        };
        Ok(Port { open: Arc::new(open), set_up: None })
    }

    /// The names of all ports, in DPDK's order.
    pub fn names(_eal: &Eal) -> Vec<String> {
        // SAFETY: EAL runs; any number may be asked for, also the one after the last.
        let next = |id: u16| unsafe { dpdk_sys::rte_eth_find_next(id) };
        std::iter::successors(Some(next(0)), |&id| Some(next(id + 1)))
            .take_while(|&id| usize::from(id) < MAX_PORTS)
            .filter_map(name_of)
            .collect()
    }

    /// The name it was opened by.
    pub fn name(&self) -> &str {
        &self.open.name
    }

    /// DPDK's number for it, in the order of probing.
    pub fn id(&self) -> u16 {
        self.open.id
    }

    /// What it runs with, once started.
    pub fn set_up(&self) -> Option<&SetUp> {
        self.set_up.as_ref()
    }

    /// The NUMA node it is attached to, if it has one.
    pub fn socket(&self) -> Option<u32> {
        // SAFETY: the port is open.
        u32::try_from(unsafe { dpdk_sys::rte_eth_dev_socket_id(self.open.id) }).ok()
    }

    /// What it is.
    ///
    /// # Errors
    /// [`Error::Port`] if the device is gone.
    pub fn info(&self) -> Result<PortInfo, Error> {
        let info = self.raw_info()?;
        // SAFETY: the driver's name is a static C string in the driver.
        let driver = unsafe { CStr::from_ptr(info.driver_name) };
        Ok(PortInfo {
            driver: driver.to_string_lossy().into_owned(),
            max_rx_queues: info.max_rx_queues,
            max_tx_queues: info.max_tx_queues,
            max_mtu: max_mtu(&info),
            node: self.socket(),
            rx_ring: info.default_rxportconf.ring_size,
            tx_ring: info.default_txportconf.ring_size,
            hash_types: info.flow_type_rss_offloads,
            hash_key: info.hash_key_size,
            redirection: info.reta_size,
            rx_offloads: info.rx_offload_capa,
            tx_offloads: info.tx_offload_capa,
        })
    }

    /// Its MAC address, in wire order.
    ///
    /// # Errors
    /// [`Error::Port`] if the device is gone.
    pub fn mac(&self) -> Result<[u8; 6], Error> {
        let mut mac = dpdk_sys::rte_ether_addr { addr_bytes: [0; 6] };
        // SAFETY: the port is open and the address writable.
        let code = unsafe { dpdk_sys::rte_eth_macaddr_get(self.open.id, &mut mac) };
        self.done("tell its MAC address", code)?;
        Ok(mac.addr_bytes)
    }

    /// Its MTU.
    ///
    /// # Errors
    /// [`Error::Port`] if the device is gone.
    pub fn mtu(&self) -> Result<u16, Error> {
        let mut mtu = 0;
        // SAFETY: the port is open and the number writable.
        let code = unsafe { dpdk_sys::rte_eth_dev_get_mtu(self.open.id, &mut mtu) };
        self.done("tell its MTU", code)?;
        Ok(mtu)
    }

    /// The state of its link, without waiting for one.
    ///
    /// # Errors
    /// [`Error::Port`] if the device cannot tell.
    pub fn link(&self) -> Result<Link, Error> {
        let mut link = Link { up: false, mbps: 0 };
        // SAFETY: the port is open and both places are writable.
        let code = unsafe { dpdk_sys::dpdk_link(self.open.id, &mut link.mbps, &mut link.up) };
        self.done("tell its link state", code)?;
        Ok(link)
    }

    /// Its counters. Drivers read registers for them: once a second is often enough.
    ///
    /// # Errors
    /// [`Error::Port`] if the device cannot tell.
    pub fn stats(&self) -> Result<PortStats, Error> {
        let mut raw = MaybeUninit::<dpdk_sys::rte_eth_stats>::zeroed();
        // SAFETY: the port is open and the struct writable.
        let code = unsafe { dpdk_sys::rte_eth_stats_get(self.open.id, raw.as_mut_ptr()) };
        self.done("tell its counters", code)?;
        // SAFETY: integers only, zeroed, then filled in.
        let raw = unsafe { raw.assume_init() };
        Ok(PortStats {
            rx_packets: raw.ipackets,
            rx_bytes: raw.ibytes,
            tx_packets: raw.opackets,
            tx_bytes: raw.obytes,
            rx_missed: raw.imissed,
            rx_errors: raw.ierrors,
            rx_no_buffer: raw.rx_nombuf,
            tx_errors: raw.oerrors,
        })
    }

    fn raw_info(&self) -> Result<dpdk_sys::rte_eth_dev_info, Error> {
        let mut info = MaybeUninit::<dpdk_sys::rte_eth_dev_info>::zeroed();
        // SAFETY: the port is open and the struct writable.
        let code = unsafe { dpdk_sys::rte_eth_dev_info_get(self.open.id, info.as_mut_ptr()) };
        self.done("tell what it is", code)?;
        // SAFETY: integers and pointers, zeroed, then filled in.
        Ok(unsafe { info.assume_init() })
    }

    /// Bytes of a hash key. A driver that states none has one of 40
    /// (`rte_eth_dev_rss_hash_update`).
    fn key_length(info: &dpdk_sys::rte_eth_dev_info) -> usize {
        match info.hash_key_size {
            0 => 40,
            stated => usize::from(stated),
        }
    }

    fn done(&self, step: &'static str, code: i32) -> Result<(), Error> {
        Errno::check(code).map_err(|why| Error::Port { port: self.open.name.clone(), step, why })
    }
}

impl Opened {
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    fn flush_rules(&self) -> i32 {
        // SAFETY: the port is open; the driver may leave the error as it is.
        unsafe { dpdk_sys::rte_flow_flush(self.id, std::ptr::null_mut()) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.has_rules.load(Ordering::SeqCst) {
            self.flush_rules();
        }
        // SAFETY: the port is open and no queue of it is left; stopping a stopped port is allowed.
        unsafe {
            dpdk_sys::rte_eth_dev_stop(self.id);
            dpdk_sys::rte_eth_dev_close(self.id);
        }
        TAKEN[usize::from(self.id)].store(false, Ordering::SeqCst);
    }
}

fn find(name: &str) -> Result<Option<u16>, Error> {
    let name = c_string(name)?;
    let mut id = 0;
    // SAFETY: the callers hold an `Eal`; the name is a C string and the number writable.
    let code = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut id) };
    Ok((code == 0).then_some(id))
}

fn name_of(id: u16) -> Option<String> {
    let mut name = [0 as c_char; 256];
    // SAFETY: DPDK's names have at most RTE_ETH_NAME_MAX_LEN = 64 bytes, the zero included.
    let code = unsafe { dpdk_sys::rte_eth_dev_get_name_by_port(id, name.as_mut_ptr()) };
    // SAFETY: zeroed beyond what DPDK wrote, so a zero byte ends it.
    (code == 0).then(|| unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
}

fn rss_fields(info: &dpdk_sys::rte_eth_dev_info) -> u64 {
    info.flow_type_rss_offloads & dpdk_sys::DPDK_RSS_FIELDS
}

/// Drivers that state no MTU state a frame length, from which `rte_ethdev` takes the 18 bytes of
/// Ethernet header and check sequence (`eth_dev_get_overhead_len`).
fn max_mtu(info: &dpdk_sys::rte_eth_dev_info) -> u16 {
    let by_length = info.max_rx_pktlen.saturating_sub(18).min(u32::from(u16::MAX)) as u16;
    if info.max_mtu == u16::MAX { by_length } else { info.max_mtu }
}
