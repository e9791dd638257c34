//! Every capacity and bound in one place, with the arithmetic that ties them.

/// Packets gathered for one pass through the stages. 128 hides memory latency best
/// (measured: 17.7 ns at 32, 9.3 ns at 128 for a million flows).
pub const WINDOW: usize = 128;

/// Packets asked of one queue at a time.
pub const BURST: usize = 32;

/// Worker threads.
pub const MAX_WORKERS: usize = 64;

/// DPDK ports.
pub const MAX_PORTS: usize = 16;

/// Pairs of port and VLAN.
pub const MAX_INTERFACES: usize = 256;

/// Slots that the owner hash spreads client ends over; a slot map gives each to a worker.
pub const OWNER_SLOTS: usize = 512;

/// Destination ids: removed destinations with conns count too.
pub const MAX_DESTS: usize = 65_536;

/// Virtual services.
pub const MAX_SERVICES: usize = 16_384;

/// Local addresses of fullnat, of either family, index 0 included.
pub const MAX_LOCALS: usize = 1024;

/// Local ends that are tried for one fullnat conn in each of [`LOCAL_PORT_SLOTS`] slots: all of a slot
/// where a service has up to four local addresses.
pub const LOCAL_PORT_PROBES: usize = 512;

/// Slots of a worker that are searched for a local end: the client's own, and others.
pub const LOCAL_PORT_SLOTS: usize = 4;

/// Next hops: real servers, gateways and on-link clients. Ids are 16 bits wide.
pub const MAX_NEXT_HOPS: usize = 65_536;

/// Packets of one worker that wait for next hops, in all, and for any one next hop.
pub const MAX_HELD: usize = 256;
/// See [`MAX_HELD`].
pub const MAX_HELD_PER_NEXT_HOP: usize = 8;

/// Room of a hand-over ring between two workers.
pub const HAND_OVER_RING: usize = 2048;

/// Room of a worker's punt ring, by class in order of priority.
pub const PUNT_RING: [usize; crate::verdict::PuntClass::COUNT] = [512, 512, 256, 512];

/// Room of the ring from the kernel twins to one worker.
pub const FROM_TWIN_RING: usize = 512;

/// Conns that a turn of the worker's loop looks at for expiry at most, besides two for each that the
/// turn's packets made it more.
pub const EXPIRE_BATCH: usize = 64;

/// Schedulers that go on with a new table of services in one turn, besides those that are asked; and
/// in a turn without a packet.
pub const CATCH_UP_BATCH: usize = 4;
/// See [`CATCH_UP_BATCH`].
pub const IDLE_CATCH_UP_BATCH: usize = 64;

/// Entries looked at between two windows while `drop_entry` acts: 64 KiB are through in a few
/// microseconds.
pub const DEFENCE_BATCH: u32 = 1024;

/// Bytes of a quoted packet in an ICMP error: the whole error is at most 576 bytes
/// (RFC 1812 section 4.3.2.3).
pub const ICMP_ERROR_MAX: usize = 576;

/// The same of ICMPv6: what every path takes (RFC 4443 section 2.4).
pub const ICMPV6_ERROR_MAX: usize = 1280;

/// Peers whose share of ICMP errors one worker remembers: sets, and peers to a set.
pub const ICMP_PEER_SETS: usize = 1024;
/// See [`ICMP_PEER_SETS`].
pub const ICMP_PEER_WAYS: usize = 4;

/// Extension headers of an IPv6 packet, or of one that an ICMPv6 error quotes. RFC 8200 section 4.1
/// has each but destination options occur once.
pub const EXT_HEADERS: usize = 8;

/// Bytes of them together: the offset of what follows in the frame fits a byte.
pub const EXT_HEADERS_LEN: usize = 192;

/// Fragments beyond the first that one packet may be cut into: a jumbo frame of 9,600 bytes through
/// an MTU of 576 makes 17. All packets of a window together make at most [`WINDOW`].
pub const MAX_FRAGMENTS: usize = 32;

/// Bits of the index of an lblc or lblcr table, and entries to a bucket: 16,384 addresses in all
/// (the kernel's `IP_VS_LBLC_TAB_BITS` and `max_size`) for each fwmark service.
pub const LOCALITY_BITS: u32 = 10;
/// See [`LOCALITY_BITS`].
pub const LOCALITY_WAYS: usize = 16;

/// Destinations that lblcr spreads one address over.
pub const LOCALITY_SET: usize = 16;

/// Datagrams in fragments that one worker remembers: sets, and datagrams to a set. Those between two
/// addresses share a set. At 10 Gbit/s of datagrams in two fragments and a loss of one in a thousand,
/// 400 a second stay incomplete; those under way at one time are as many as two windows hold.
pub const FRAGMENT_SETS: usize = 64;
/// See [`FRAGMENT_SETS`].
pub const FRAGMENT_WAYS: usize = 128;

/// Pieces of one datagram that arrived with gaps between them. The largest datagram through the
/// smallest MTU of IPv6 makes 54 fragments: if every other one is late, 27 pieces.
pub const FRAGMENT_RUNS: usize = 28;

/// Fragments of one worker that wait for the first of their datagram: in all, of one set of
/// [`FRAGMENT_SETS`], and of one datagram, which may all be late but the first.
pub const MAX_HELD_FRAGMENTS: usize = 512;
/// See [`MAX_HELD_FRAGMENTS`].
pub const MAX_HELD_FRAGMENTS_PER_SET: usize = 128;
/// See [`MAX_HELD_FRAGMENTS`].
pub const MAX_HELD_FRAGMENTS_PER_DATAGRAM: usize = 64;

/// Shards of the store of announced data connections, and room of each: 16,384 in all.
pub const EXPECT_SHARDS: usize = 64;
/// See [`EXPECT_SHARDS`].
pub const EXPECT_PER_SHARD: usize = 256;

/// Announced data connections of one client's address; with one more the oldest gives way.
pub const EXPECT_PER_CLIENT: usize = 64;

/// Persistence templates of all workers, unless the configuration says otherwise.
pub const TEMPLATES: usize = 1 << 18;

/// Templates at once that a persistence engine's data is part of: blocks of 256 bytes.
pub const ENGINE_TEMPLATES: usize = 1 << 14;

/// Places for templates that a worker looks at in one go, under a lock of their shard.
pub const TEMPLATE_BATCH: u32 = 256;

/// Control connections with data connections, announced or under way, of all workers.
pub const FAMILIES: usize = 65_536;
/// Places that one is looked for in.
pub const FAMILY_PROBES: usize = 64;
