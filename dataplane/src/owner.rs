//! Whose flow is it: the flow's client end chooses a slot, the slot map gives the slot's worker.
//!
//! The hash is Toeplitz, as NICs compute it for receive-side scaling, over the client's address
//! and port in network byte order and nothing else. A NIC that can be told to hash the source only
//! (client side) or the destination only (server side) delivers both directions to the owner.

use crate::address::Address;
use crate::flow::FlowKey;
use crate::ids::WorkerId;
use crate::limits::{MAX_WORKERS, OWNER_SLOTS};

/// The key of Microsoft's RSS verification suite, the default of most NICs. Fixed, so that
/// two nodes agree on every flow's slot.
pub const TOEPLITZ_KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
    0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
    0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// The longest input: an IPv6 address and a port.
const INPUT_BYTES: usize = 18;

/// What each value of each input byte adds to the hash: Toeplitz is linear over XOR. An IPv4 end
/// takes the first six places.
static CONTRIBUTION: [[u32; 256]; INPUT_BYTES] = contributions();

/// The slot of a client end (host order), below [`OWNER_SLOTS`].
#[inline]
pub fn slot<A: Address>(addr: A, port: u16) -> u16 {
    let (addr, port): (u128, _) = (addr.into(), port.to_be_bytes());
    let addr = addr.to_be_bytes();
    let input = addr[addr.len() - usize::from(A::BITS / 8)..].iter().chain(&port);
    let contributions = CONTRIBUTION.iter().zip(input);
    let hash = contributions.fold(0, |hash, (table, &byte)| hash ^ table[usize::from(byte)]);
    (hash % OWNER_SLOTS as u32) as u16
}

/// Address and port of a flow's client: the source of a packet to a virtual address, the
/// destination of any other, which is then a reply. A real server that is the client of another
/// virtual service sends to a virtual address, so it is the client there.
#[inline]
pub fn client_end<A: Address>(
    key: &FlowKey<A>,
    is_from_client: impl Fn(&FlowKey<A>) -> bool,
) -> (A, u16) {
    if is_from_client(key) { (key.src, key.sport) } else { (key.dst, key.dport) }
}

/// Which worker owns each slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotMap {
    map: [WorkerId; OWNER_SLOTS],
    workers: usize,
}

impl SlotMap {
    /// Deals the slots to workers 0 to `workers` − 1 in turn, as NICs fill their redirection
    /// tables.
    ///
    /// # Panics
    /// If there is no worker or more than [`MAX_WORKERS`].
    pub fn even(workers: usize) -> Self {
        SlotMap::from_fn(workers, |slot| slot % workers)
    }

    /// Gives each slot to the worker that is named for it.
    ///
    /// # Panics
    /// If there is no worker or more than [`MAX_WORKERS`], or one is named that is not among them.
    pub fn from_fn(workers: usize, owner: impl Fn(usize) -> usize) -> Self {
        assert!((1..=MAX_WORKERS).contains(&workers), "1 to {MAX_WORKERS} workers");
        let worker = |slot| Some(owner(slot)).filter(|&worker| worker < workers);
        let map = std::array::from_fn(|slot| WorkerId(worker(slot).expect("one of them") as u16));
        SlotMap { map, workers }
    }

    /// How many workers share the slots.
    #[inline]
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The slot's owner; `slot` is below [`OWNER_SLOTS`].
    #[inline]
    pub fn worker(&self, slot: u16) -> WorkerId {
        self.map[usize::from(slot)]
    }
}

/// 32 bits of the key from bit `at` on: what an input bit at that place adds.
const fn key_window(at: usize) -> u32 {
    let mut bits = 0;
    let mut byte = 0;
    while byte < 5 {
        bits = bits << 8 | TOEPLITZ_KEY[at / 8 + byte] as u64;
        byte += 1;
    }
    (bits >> (8 - at % 8)) as u32
}

const fn contributions() -> [[u32; 256]; INPUT_BYTES] {
    let mut tables = [[0; 256]; INPUT_BYTES];
    let mut byte = 0;
    while byte < INPUT_BYTES {
        let mut value = 0;
        while value < 256 {
            let mut bit = 0;
            while bit < 8 {
                if value & 0x80 >> bit != 0 {
                    tables[byte][value] ^= key_window(8 * byte + bit);
                }
                bit += 1;
            }
            value += 1;
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    /// The definition: the key shifts left a bit for every bit of input.
    fn naive(input: &[u8]) -> u32 {
        let key = |bit: usize| TOEPLITZ_KEY[bit / 8] >> (7 - bit % 8) & 1;
        let window = |at: usize| (0..32).fold(0, |bits, i| bits << 1 | u32::from(key(at + i)));
        let bits = (0..8 * input.len()).filter(|bit| input[bit / 8] >> (7 - bit % 8) & 1 == 1);
        bits.fold(0, |hash, at| hash ^ window(at))
    }

    fn bytes(addr: [u8; 4], port: u16) -> Vec<u8> {
        [&addr[..], &port.to_be_bytes()].concat()
    }

    #[test]
    fn the_naive_hash_passes_microsofts_verification_suite() {
        let suite = [
            ([66, 9, 149, 187], 2794, [161, 142, 100, 80], 1766, 0x323e_8fc2, 0x51cc_c178),
            ([199, 92, 111, 2], 14230, [65, 69, 140, 83], 4739, 0xd718_262a, 0xc626_b0ea),
            ([24, 19, 198, 95], 12898, [12, 22, 207, 184], 38024, 0xd2d0_a5de, 0x5c2b_394a),
            ([38, 27, 205, 30], 48228, [209, 142, 163, 6], 2217, 0x8298_9176, 0xafc7_327f),
            ([153, 39, 163, 191], 44251, [202, 188, 127, 2], 1303, 0x5d18_09c5, 0x10e8_28a2),
        ];
        for (src, sport, dst, dport, addresses, all) in suite {
            let ports = [sport, dport].map(u16::to_be_bytes).concat();
            assert_eq!(naive(&[src, dst].concat()), addresses);
            assert_eq!(naive(&[&src[..], &dst, &ports].concat()), all);
        }
    }

    #[test]
    fn the_naive_hash_passes_the_suites_ipv6_part() {
        let suite = [
            ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2cc1_8cd5, 0x4020_7d3d),
            ("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0f0c_461c, 0xdde5_1bbf),
            (
                "3ffe:1900:4545:3:200:f8ff:fe21:67cf",
                44251,
                "fe80::200:f8ff:fe21:67cf",
                38024,
                0x4b61_e985,
                0x02d1_feef,
            ),
        ];
        for (src, sport, dst, dport, addresses, all) in suite {
            let ports = [sport, dport].map(u16::to_be_bytes).concat();
            let ends =
                [src, dst].map(|end| end.parse::<Ipv6Addr>().expect("one").octets()).concat();
            assert_eq!((naive(&ends), naive(&[ends, ports].concat())), (addresses, all), "{src}");
        }
    }

    #[test]
    fn the_tables_agree_with_the_naive_hash() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..10_000 {
            let (addr, port) = (rng.u32(..), rng.u16(..));
            let want = naive(&bytes(addr.to_be_bytes(), port)) % 512;
            assert_eq!(u32::from(slot(addr, port)), want, "{addr:#x} {port}");
            let wide = u128::from(addr) << 70 | u128::from(rng.u64(..));
            let input = [&wide.to_be_bytes()[..], &port.to_be_bytes()].concat();
            assert_eq!(u32::from(slot(wide, port)), naive(&input) % 512, "{wide:#x} {port}");
        }
    }

    #[test]
    fn clients_of_one_network_and_ports_of_one_client_spread_evenly() {
        let network: Vec<u16> =
            (0..65_536).map(|host| slot(0xac10_0000_u32 | host, 40_000)).collect();
        let client: Vec<u16> = (0..65_536).map(|port| slot(0xac10_0001_u32, port as u16)).collect();
        for slots in [network, client] {
            let mut filled = [0; OWNER_SLOTS];
            slots.iter().for_each(|&slot| filled[usize::from(slot)] += 1);
            assert!(filled.iter().all(|&flows| (96..=160).contains(&flows)), "{filled:?}");
        }
    }

    #[test]
    fn every_worker_owns_an_equal_share_of_slots() {
        for workers in 1..=MAX_WORKERS {
            let map = SlotMap::even(workers);
            let owned = |worker| {
                (0..OWNER_SLOTS as u16).filter(|&slot| map.worker(slot).index() == worker).count()
            };
            let share = OWNER_SLOTS / workers;
            assert!((0..workers).all(|worker| (share..=share + 1).contains(&owned(worker))));
        }
    }

    const VIP: u32 = 0x0a00_0064;
    const OTHER_VIP: u32 = 0x0a00_0065;
    const SERVER: u32 = 0xc0a8_010b;
    const CLIENT: u32 = 0xac10_0001;

    fn end(src: u32, sport: u16, dst: u32, dport: u16) -> (u32, u16) {
        let key = FlowKey { src, dst, sport, dport, proto: 6 };
        client_end(&key, |key| key.dst == VIP || key.dst == OTHER_VIP)
    }

    #[test]
    fn both_directions_of_a_flow_have_the_same_client_end() {
        assert_eq!(end(CLIENT, 4000, VIP, 80), (CLIENT, 4000));
        assert_eq!(end(SERVER, 8080, CLIENT, 4000), (CLIENT, 4000));
    }

    #[test]
    fn a_real_server_that_calls_another_service_is_the_client_there() {
        assert_eq!(end(SERVER, 5000, OTHER_VIP, 80), (SERVER, 5000));
        assert_eq!(end(0xc0a8_010c, 80, SERVER, 5000), (SERVER, 5000));
    }
}
