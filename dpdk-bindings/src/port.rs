//! A NIC port: found by name, configured and started in one step, closed when dropped.

use std::ffi::{CStr, c_char, c_uint};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::eal::{Eal, c_string};
use crate::error::{Errno, Error};
use crate::mbuf::HEADROOM;
use crate::mempool::{Mempool, promise_single_pool};
use crate::queue::{RxQueue, TxQueue};

/// Ethernet header, two VLAN tags and frame check sequence: what a frame has beyond its MTU.
const FRAME_OVERHEAD: u32 = 14 + 2 * 4 + 4;
const MAX_PORTS: usize = dpdk_sys::RTE_MAX_ETHPORTS as usize;
static TAKEN: [AtomicBool; MAX_PORTS] = [const { AtomicBool::new(false) }; MAX_PORTS];

/// How a port is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortConfig {
    /// Receive queues, at least 1. With several, the device spreads flows over them (RSS over
    /// addresses and ports) if it can: [`PortInfo::rss`].
    pub rx_queues: u16,
    /// Transmit queues, at least 1.
    pub tx_queues: u16,
    /// Frames a receive queue holds; `None`: the driver's choice, or 1024. Rounded to what the
    /// driver can do.
    pub rx_descriptors: Option<u16>,
    /// The same of a transmit queue.
    pub tx_descriptors: Option<u16>,
    /// Bytes of the largest IP packet; `None`: what the device comes with.
    pub mtu: Option<u16>,
    /// Receive frames for any MAC address.
    pub promiscuous: bool,
    /// The MAC address to take on, in wire order; `None`: the device's own.
    pub mac: Option<[u8; 6]>,
    /// The caller will make no second [`Mempool`], ever: lets the device give sent buffers back
    /// the fast way, if it can.
    pub single_pool: bool,
}

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
    /// Whether the device can spread flows over receive queues by hashing addresses and ports.
    pub rss: bool,
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
    started: bool,
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
        let open = Opened { id, name: name.into(), _eal: eal.clone(), pools: Mutex::default() };
        Ok(Port { open: Arc::new(open), started: false })
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

    /// DPDK's number for it, which received frames carry ([`crate::Mbuf::port`]).
    pub fn id(&self) -> u16 {
        self.open.id
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
            rss: rss_fields(&info) != 0,
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

    /// Configures and starts it, receiving into buffers of `pool`; gives out its queues, whose
    /// index is their number. No offloads: checksums are the program's.
    ///
    /// # Errors
    /// [`Error::Queues`], [`Error::Mtu`], [`Error::SmallBuffers`], [`Error::SmallPool`] for what the device or pool
    /// cannot do, [`Error::Port`] for what the driver refuses: all may be tried again otherwise.
    /// [`Error::PortBusy`] if started.
    pub fn start(
        &mut self,
        config: &PortConfig,
        pool: &Mempool,
    ) -> Result<(Vec<RxQueue>, Vec<TxQueue>), Error> {
        if self.started {
            return Err(Error::PortBusy(self.open.name.clone()));
        }
        self.open.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool.clone());
        let info = self.raw_info()?;
        self.check_queues("receive", config.rx_queues, info.max_rx_queues)?;
        self.check_queues("transmit", config.tx_queues, info.max_tx_queues)?;
        let offloads = self.configure(config, &info)?;
        self.settle_mtu(config.mtu, &info, pool)?;
        self.set_up_queues(config, &info, offloads, pool)?;
        self.bring_up(config)?;
        self.started = true;
        let rx = (0..config.rx_queues).map(|queue| RxQueue::new(&self.open, queue));
        let tx = (0..config.tx_queues).map(|queue| TxQueue::new(&self.open, queue));
        Ok((rx.collect(), tx.collect()))
    }

    /// Sets numbers of queues, RSS, MTU and offloads; returns the transmit offloads.
    fn configure(
        &self,
        config: &PortConfig,
        info: &dpdk_sys::rte_eth_dev_info,
    ) -> Result<u64, Error> {
        let fast_free = dpdk_sys::DPDK_TX_MBUF_FAST_FREE & info.tx_offload_capa;
        let offloads = if fast_free != 0 && config.single_pool && promise_single_pool() {
            fast_free
        } else {
            0
        };
        // SAFETY: integers and null pointers, for which all zeroes is DPDK's "default".
        let mut conf: dpdk_sys::rte_eth_conf = unsafe { std::mem::zeroed() };
        conf.txmode.offloads = offloads;
        conf.rxmode.mtu = config.mtu.filter(|&mtu| mtu <= max_mtu(info)).map_or(0, u32::from);
        if config.rx_queues > 1 && rss_fields(info) != 0 {
            conf.rxmode.mq_mode = dpdk_sys::rte_eth_rx_mq_mode_RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = rss_fields(info);
        }
        let (rx, tx) = (config.rx_queues, config.tx_queues);
        // SAFETY: the port is open and not started; DPDK copies the configuration.
        let code = unsafe { dpdk_sys::rte_eth_dev_configure(self.open.id, rx, tx, &conf) };
        self.done("take its configuration", code)?;
        Ok(offloads)
    }

    /// A device that does not do the MTU asked for is good enough if it has that much anyway;
    /// virtual ones often cannot change theirs.
    fn settle_mtu(
        &self,
        asked: Option<u16>,
        info: &dpdk_sys::rte_eth_dev_info,
        pool: &Mempool,
    ) -> Result<(), Error> {
        let has = self.mtu()?;
        if let Some(asked) = asked.filter(|&asked| asked > has) {
            // SAFETY: the port is open and not started.
            let code = unsafe { dpdk_sys::rte_eth_dev_set_mtu(self.open.id, asked) };
            if code < 0 {
                let port = self.open.name.clone();
                return Err(Error::Mtu { port, asked, has, most: max_mtu(info) });
            }
        }
        let mtu = asked.unwrap_or(has);
        let needed = u32::from(mtu) + FRAME_OVERHEAD + HEADROOM as u32;
        if needed > u32::from(pool.data_room()) {
            let (port, data_room) = (self.open.name.clone(), pool.data_room());
            return Err(Error::SmallBuffers { port, mtu, needed, data_room });
        }
        Ok(())
    }

    fn set_up_queues(
        &self,
        config: &PortConfig,
        info: &dpdk_sys::rte_eth_dev_info,
        offloads: u64,
        pool: &Mempool,
    ) -> Result<(), Error> {
        let (rx_depth, tx_depth) = self.depths(config, info)?;
        let (needed, count) = (u32::from(config.rx_queues) * u32::from(rx_depth), pool.count());
        if needed >= count {
            return Err(Error::SmallPool { port: self.open.name.clone(), needed, count });
        }
        let id = self.open.id;
        // -1, "any", is what DPDK wants for a device without a node.
        let socket = self.socket().map_or(c_uint::MAX, |node| node);
        for queue in 0..config.rx_queues {
            // SAFETY: the port is configured; the pool lives until the port is closed, since
            // `Opened` holds it. A null configuration is the driver's own.
            let code = unsafe {
                dpdk_sys::rte_eth_rx_queue_setup(
                    id,
                    queue,
                    rx_depth,
                    socket,
                    std::ptr::null(),
                    pool.raw(),
                )
            };
            self.done("set up a receive queue", code)?;
        }
        let mut tx_conf = info.default_txconf;
        tx_conf.offloads = offloads;
        for queue in 0..config.tx_queues {
            // SAFETY: the port is configured; DPDK copies the queue's configuration.
            let code =
                unsafe { dpdk_sys::rte_eth_tx_queue_setup(id, queue, tx_depth, socket, &tx_conf) };
            self.done("set up a transmit queue", code)?;
        }
        Ok(())
    }

    fn depths(
        &self,
        config: &PortConfig,
        info: &dpdk_sys::rte_eth_dev_info,
    ) -> Result<(u16, u16), Error> {
        let depth = |asked: Option<u16>, default: u16| {
            asked.unwrap_or(if default == 0 { 1024 } else { default })
        };
        let mut rx = depth(config.rx_descriptors, info.default_rxportconf.ring_size);
        let mut tx = depth(config.tx_descriptors, info.default_txportconf.ring_size);
        // SAFETY: the port is open and both numbers are writable.
        let code =
            unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.open.id, &mut rx, &mut tx) };
        self.done("adjust its queue sizes", code)?;
        Ok((rx, tx))
    }

    fn bring_up(&self, config: &PortConfig) -> Result<(), Error> {
        let id = self.open.id;
        if let Some(addr_bytes) = config.mac {
            let mut mac = dpdk_sys::rte_ether_addr { addr_bytes };
            // SAFETY: the port is open; DPDK copies the address.
            let code = unsafe { dpdk_sys::rte_eth_dev_default_mac_addr_set(id, &mut mac) };
            self.done("take the MAC address", code)?;
        }
        // SAFETY: the port is configured with all its queues set up.
        self.done("start", unsafe { dpdk_sys::rte_eth_dev_start(id) })?;
        if config.promiscuous {
            // SAFETY: the port is open.
            let code = unsafe { dpdk_sys::rte_eth_promiscuous_enable(id) };
            self.done_if_supported("become promiscuous", code)?;
        }
        // Neighbour discovery and VRRP come by multicast.
        // SAFETY: the port is open.
        let code = unsafe { dpdk_sys::rte_eth_allmulticast_enable(id) };
        self.done_if_supported("receive all multicast", code)
    }

    fn raw_info(&self) -> Result<dpdk_sys::rte_eth_dev_info, Error> {
        let mut info = MaybeUninit::<dpdk_sys::rte_eth_dev_info>::zeroed();
        // SAFETY: the port is open and the struct writable.
        let code = unsafe { dpdk_sys::rte_eth_dev_info_get(self.open.id, info.as_mut_ptr()) };
        self.done("tell what it is", code)?;
        // SAFETY: integers and pointers, zeroed, then filled in.
        Ok(unsafe { info.assume_init() })
    }

    fn check_queues(&self, direction: &'static str, asked: u16, most: u16) -> Result<(), Error> {
        if (1..=most).contains(&asked) {
            return Ok(());
        }
        Err(Error::Queues { port: self.open.name.clone(), direction, asked, most })
    }

    fn done(&self, step: &'static str, code: i32) -> Result<(), Error> {
        Errno::check(code).map_err(|why| Error::Port { port: self.open.name.clone(), step, why })
    }

    /// A device without address filters has no such switch, and needs none.
    fn done_if_supported(&self, step: &'static str, code: i32) -> Result<(), Error> {
        match Errno::check(code) {
            Err(why) if why.is_unsupported() => Ok(()),
            _ => self.done(step, code),
        }
    }
}

impl Opened {
    pub(crate) fn id(&self) -> u16 {
        self.id
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
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
