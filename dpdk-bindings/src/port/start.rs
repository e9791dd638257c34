//! Configuring and starting a port, in one step that gives out its queues.

use std::ffi::c_uint;
use std::sync::PoisonError;

use super::{Port, bits, max_mtu, rss_fields};
use crate::error::{Errno, Error};
use crate::mbuf::HEADROOM;
use crate::mempool::{Mempool, promise_single_pool};
use crate::queue::{RxQueue, TxQueue};

/// Ethernet header, two VLAN tags and frame check sequence: what a frame has beyond its MTU.
const FRAME_OVERHEAD: u32 = 14 + 2 * 4 + 4;

/// How a port is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortConfig {
    /// Receive queues, at least 1. With several, the device spreads flows over them (RSS over
    /// addresses and ports) if it can: [`super::PortInfo::hash_types`].
    pub rx_queues: u16,
    /// Transmit queues, at least 1.
    pub tx_queues: u16,
    /// Frames a receive queue holds; `None`: the driver's choice, or 1024. Rounded to what the
    /// driver can do.
    pub rx_descriptors: Option<u16>,
    /// The same of a transmit queue.
    pub tx_descriptors: Option<u16>,
    /// Bytes of the largest IP packet; `None`: 1500. A virtual device over a
    /// kernel interface carries what that interface does, whatever is asked for here.
    pub mtu: Option<u16>,
    /// Receive frames for any MAC address.
    pub promiscuous: bool,
    /// The MAC address to take on, in wire order; `None`: the device's own.
    pub mac: Option<[u8; 6]>,
    /// How flows are spread over several receive queues; `None`: by all that the device can hash of
    /// addresses and ports, with its own key.
    pub rss: Option<Rss>,
    /// Have the device tell each packet's hash, if it can. Some take a redirection table only then.
    pub tell_hash: bool,
    /// The caller will make no second [`Mempool`], ever: lets the device give sent buffers back
    /// the fast way, if it can.
    pub single_pool: bool,
}

/// What a device hashes, and with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rss {
    /// Kinds of packets and fields ([`super::bits::hash`]), of those that the device can.
    pub types: u64,
    /// The key, as long as the device states; `None`: its own.
    pub key: Option<Vec<u8>>,
}

/// What a port runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetUp {
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// Frames a receive queue holds.
    pub rx_descriptors: u16,
    /// Frames a transmit queue holds.
    pub tx_descriptors: u16,
    /// Bytes of the largest IP packet.
    pub mtu: u16,
    /// The device tells each packet's hash.
    pub tell_hash: bool,
    /// Sent buffers go back to their pool without a look at each.
    pub fast_free: bool,
}

impl Port {
    /// Configures and starts it, receiving into buffers of `pool`; gives out its queues, whose
    /// index is their number. Checksums, VLAN tags and frames longer than a buffer are the program's.
    ///
    /// # Errors
    /// [`Error::Queues`], [`Error::Mtu`], [`Error::Key`], [`Error::SmallBuffers`], [`Error::SmallPool`]
    /// for what the device or pool cannot do, [`Error::Port`] for what the driver refuses: all may be tried
    /// again otherwise.
    /// [`Error::PortBusy`] if started.
    pub fn start(
        &mut self,
        config: &PortConfig,
        pool: &Mempool,
    ) -> Result<(Vec<RxQueue>, Vec<TxQueue>), Error> {
        if self.set_up.is_some() {
            return Err(Error::PortBusy(self.open.name.clone()));
        }
        self.open.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool.clone());
        let info = self.raw_info()?;
        self.check_queues("receive", config.rx_queues, info.max_rx_queues)?;
        self.check_queues("transmit", config.tx_queues, info.max_tx_queues)?;
        let offloads = self.configure(config, &info)?;
        let mtu = self.settle_mtu(config.mtu, &info, pool)?;
        let depths = self.set_up_queues(config, &info, &offloads, pool)?;
        self.bring_up(config)?;
        self.set_up = Some(SetUp {
            rx_queues: config.rx_queues,
            tx_queues: config.tx_queues,
            rx_descriptors: depths.0,
            tx_descriptors: depths.1,
            mtu,
            tell_hash: offloads.rx & bits::rx::HASH != 0,
            fast_free: offloads.tx & bits::tx::FAST_FREE != 0,
        });
        let rx = (0..config.rx_queues).map(|queue| RxQueue::new(&self.open, queue));
        let tx = (0..config.tx_queues).map(|queue| TxQueue::new(&self.open, queue));
        Ok((rx.collect(), tx.collect()))
    }

    /// Sets numbers of queues, RSS, MTU and offloads; returns the offloads.
    fn configure(
        &self,
        config: &PortConfig,
        info: &dpdk_sys::rte_eth_dev_info,
    ) -> Result<Offloads, Error> {
        let rss = rss_of(config, info);
        let offloads = offloads_of(config, info, rss.is_some());
        // SAFETY: integers and null pointers, for which all zeroes is DPDK's "default".
        let mut conf: dpdk_sys::rte_eth_conf = unsafe { std::mem::zeroed() };
        conf.rxmode.offloads = offloads.rx;
        conf.txmode.offloads = offloads.tx;
        conf.rxmode.mtu = config.mtu.filter(|&mtu| mtu <= max_mtu(info)).map_or(0, u32::from);
        if let Some(rss) = rss {
            conf.rxmode.mq_mode = dpdk_sys::rte_eth_rx_mq_mode_RTE_ETH_MQ_RX_RSS;
            conf.rx_adv_conf.rss_conf.rss_hf = rss.types;
            if let Some(key) = rss.key {
                conf.rx_adv_conf.rss_conf.rss_key_len = key.len() as _;
                conf.rx_adv_conf.rss_conf.rss_key = self.keep_key(key, info)?;
            }
        }
        let (rx, tx) = (config.rx_queues, config.tx_queues);
        // SAFETY: the port is open and not started; the key is as long as the driver wants it and
        // lives until the port is closed. DPDK copies the rest of the configuration.
        let code = unsafe { dpdk_sys::rte_eth_dev_configure(self.open.id, rx, tx, &conf) };
        self.done("take its configuration", code)?;
        Ok(offloads)
    }

    /// Keeps the key until the port is closed.
    fn keep_key(
        &self,
        mut key: Vec<u8>,
        info: &dpdk_sys::rte_eth_dev_info,
    ) -> Result<*mut u8, Error> {
        let (asked, needed) = (key.len(), Port::key_length(info));
        if asked != needed {
            return Err(Error::Key { port: self.open.name.clone(), asked, needed });
        }
        let bytes = key.as_mut_ptr();
        self.open.keys.lock().unwrap_or_else(PoisonError::into_inner).push(key);
        Ok(bytes)
    }

    /// A device that does not do the MTU asked for is good enough if it has that much anyway;
    /// virtual ones often cannot change theirs.
    fn settle_mtu(
        &self,
        asked: Option<u16>,
        info: &dpdk_sys::rte_eth_dev_info,
        pool: &Mempool,
    ) -> Result<u16, Error> {
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
        Ok(mtu)
    }

    fn set_up_queues(
        &self,
        config: &PortConfig,
        info: &dpdk_sys::rte_eth_dev_info,
        offloads: &Offloads,
        pool: &Mempool,
    ) -> Result<(u16, u16), Error> {
        let (rx_depth, tx_depth) = self.depths(config, info)?;
        let (needed, count) = (u32::from(config.rx_queues) * u32::from(rx_depth), pool.count());
        if needed >= count {
            return Err(Error::SmallPool { port: self.open.name.clone(), needed, count });
        }
        let id = self.open.id;
        // -1, "any", is what DPDK wants for a device without a node.
        let socket = self.socket().unwrap_or(c_uint::MAX);
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
        tx_conf.offloads = offloads.tx;
        for queue in 0..config.tx_queues {
            // SAFETY: the port is configured; DPDK copies the queue's configuration.
            let code =
                unsafe { dpdk_sys::rte_eth_tx_queue_setup(id, queue, tx_depth, socket, &tx_conf) };
            self.done("set up a transmit queue", code)?;
        }
        Ok((rx_depth, tx_depth))
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

    fn check_queues(&self, direction: &'static str, asked: u16, most: u16) -> Result<(), Error> {
        if (1..=most).contains(&asked) {
            return Ok(());
        }
        Err(Error::Queues { port: self.open.name.clone(), direction, asked, most })
    }

    /// A device without address filters has no such switch, and needs none.
    fn done_if_supported(&self, step: &'static str, code: i32) -> Result<(), Error> {
        match Errno::check(code) {
            Err(why) if why.is_unsupported() => Ok(()),
            _ => self.done(step, code),
        }
    }
}

/// Offloads in force.
struct Offloads {
    rx: u64,
    tx: u64,
}

/// What one queue does not need and a device without a hash cannot have.
fn rss_of(config: &PortConfig, info: &dpdk_sys::rte_eth_dev_info) -> Option<Rss> {
    let everything = Rss { types: rss_fields(info), key: None };
    let rss = config.rss.clone().unwrap_or(everything);
    Some(rss).filter(|rss| config.rx_queues > 1 && rss.types != 0)
}

/// The fast way to free buffers is sound with one pool only. DPDK has a device tell no hash that it
/// does not use.
fn offloads_of(config: &PortConfig, info: &dpdk_sys::rte_eth_dev_info, hashes: bool) -> Offloads {
    let fast_free = info.tx_offload_capa & bits::tx::FAST_FREE;
    let is_sound = fast_free != 0 && config.single_pool && promise_single_pool();
    let hash = info.rx_offload_capa & bits::rx::HASH;
    Offloads {
        rx: if config.tell_hash && hashes { hash } else { 0 },
        tx: if is_sound { fast_free } else { 0 },
    }
}
