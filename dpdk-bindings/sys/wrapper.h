/* What bindgen reads. DPDK's own headers, then what they say in ways that bindgen cannot carry over:
 * macros with expressions, thread-local variables, and structs whose nesting differs by release. */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <rte_version.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_flow.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_memory.h>
#include <rte_mempool.h>

/* Where the fields of a packet buffer are: 24.11 nests them otherwise, at the same places. */
enum {
	DPDK_MBUF_SIZE = sizeof(struct rte_mbuf),
	DPDK_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	DPDK_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	DPDK_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	DPDK_MBUF_PORT = offsetof(struct rte_mbuf, port),
	DPDK_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	DPDK_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	DPDK_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
};

static const uint64_t DPDK_RSS_FIELDS = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP;
static const uint64_t DPDK_RSS_IPV4 = RTE_ETH_RSS_IPV4;
static const uint64_t DPDK_RSS_IPV4_FRAGMENT = RTE_ETH_RSS_FRAG_IPV4;
static const uint64_t DPDK_RSS_IPV4_TCP = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
static const uint64_t DPDK_RSS_IPV4_UDP = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
static const uint64_t DPDK_RSS_IPV4_SCTP = RTE_ETH_RSS_NONFRAG_IPV4_SCTP;
static const uint64_t DPDK_RSS_IPV4_OTHER = RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
static const uint64_t DPDK_RSS_IPV6 = RTE_ETH_RSS_IPV6;
static const uint64_t DPDK_RSS_IPV6_FRAGMENT = RTE_ETH_RSS_FRAG_IPV6;
static const uint64_t DPDK_RSS_IPV6_TCP = RTE_ETH_RSS_NONFRAG_IPV6_TCP;
static const uint64_t DPDK_RSS_IPV6_UDP = RTE_ETH_RSS_NONFRAG_IPV6_UDP;
static const uint64_t DPDK_RSS_IPV6_SCTP = RTE_ETH_RSS_NONFRAG_IPV6_SCTP;
static const uint64_t DPDK_RSS_IPV6_OTHER = RTE_ETH_RSS_NONFRAG_IPV6_OTHER;
/* bindgen takes the highest bit for a sign. */
static const uint64_t DPDK_RSS_L3_SOURCE_HALF = RTE_ETH_RSS_L3_SRC_ONLY >> 1;
static const uint64_t DPDK_RSS_L3_DESTINATION = RTE_ETH_RSS_L3_DST_ONLY;
static const uint64_t DPDK_RSS_L4_SOURCE = RTE_ETH_RSS_L4_SRC_ONLY;
static const uint64_t DPDK_RSS_L4_DESTINATION = RTE_ETH_RSS_L4_DST_ONLY;

static const uint64_t DPDK_RX_IPV4_CHECKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_RX_UDP_CHECKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t DPDK_RX_TCP_CHECKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t DPDK_RX_VLAN_STRIP = RTE_ETH_RX_OFFLOAD_VLAN_STRIP;
static const uint64_t DPDK_RX_SCATTER = RTE_ETH_RX_OFFLOAD_SCATTER;
static const uint64_t DPDK_RX_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t DPDK_TX_IPV4_CHECKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t DPDK_TX_UDP_CHECKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint64_t DPDK_TX_TCP_CHECKSUM = RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
static const uint64_t DPDK_TX_VLAN_INSERT = RTE_ETH_TX_OFFLOAD_VLAN_INSERT;
static const uint64_t DPDK_TX_MULTI_SEGMENT = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t DPDK_TX_FAST_FREE = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

/* rte_errno is a thread-local variable behind a macro. */
static inline int dpdk_errno(void)
{
	return rte_errno;
}

/* struct rte_eth_link is one union of a word and bit-fields since 24.11, bit-fields before. */
static inline int dpdk_link(uint16_t port, uint32_t *mbps, bool *up)
{
	struct rte_eth_link link = {0};
	int rc = rte_eth_link_get_nowait(port, &link);

	*mbps = link.link_speed;
	*up = link.link_status == RTE_ETH_LINK_UP;
	return rc;
}

/* Bytes of the pages that a pool's first buffers lie on, 0 if they are not EAL's. */
static inline uint64_t dpdk_pool_page_size(const struct rte_mempool *pool)
{
	const struct rte_mempool_memhdr *memory = STAILQ_FIRST(&pool->mem_list);
	const struct rte_memseg *segment = memory ? rte_mem_virt2memseg(memory->addr, NULL) : NULL;

	return segment ? segment->hugepage_sz : 0;
}

/* A flow rule that has one kind of packet hashed by `types`: over IPv4 or IPv6, with `source` and `destination` where those are
 * not null. Without a key or queues the port's own count. Only tried unless `create`. `why`, of `room` bytes, takes the driver's
 * words. */
static inline int dpdk_flow_hash(uint16_t port, bool create, bool v6, const uint8_t *source, const uint8_t *destination,
				 bool udp, uint64_t types, const uint8_t *key, uint32_t key_len,
				 const uint16_t *queues, uint32_t queue_count, char *why, size_t room)
{
	struct rte_flow_item_ipv4 spec4, mask4;
	struct rte_flow_item_ipv6 spec6, mask6;
	struct rte_flow_item items[4];
	struct rte_flow_action_rss rss;
	struct rte_flow_action actions[2];
	struct rte_flow_attr attr;
	struct rte_flow_error error;
	size_t length = v6 ? 16 : 4;
	int rc;

	memset(&spec4, 0, sizeof(spec4));
	memset(&mask4, 0, sizeof(mask4));
	memset(&spec6, 0, sizeof(spec6));
	memset(&mask6, 0, sizeof(mask6));
	memset(items, 0, sizeof(items));
	memset(&rss, 0, sizeof(rss));
	memset(actions, 0, sizeof(actions));
	memset(&attr, 0, sizeof(attr));
	memset(&error, 0, sizeof(error));
	items[0].type = RTE_FLOW_ITEM_TYPE_ETH;
	items[1].type = v6 ? RTE_FLOW_ITEM_TYPE_IPV6 : RTE_FLOW_ITEM_TYPE_IPV4;
	items[2].type = udp ? RTE_FLOW_ITEM_TYPE_UDP : RTE_FLOW_ITEM_TYPE_TCP;
	items[3].type = RTE_FLOW_ITEM_TYPE_END;
	if (source) {
		memcpy(v6 ? (void *)&spec6.hdr.src_addr : (void *)&spec4.hdr.src_addr, source, length);
		memset(v6 ? (void *)&mask6.hdr.src_addr : (void *)&mask4.hdr.src_addr, 0xff, length);
	}
	if (destination) {
		memcpy(v6 ? (void *)&spec6.hdr.dst_addr : (void *)&spec4.hdr.dst_addr, destination, length);
		memset(v6 ? (void *)&mask6.hdr.dst_addr : (void *)&mask4.hdr.dst_addr, 0xff, length);
	}
	if (source || destination) {
		items[1].spec = v6 ? (const void *)&spec6 : (const void *)&spec4;
		items[1].mask = v6 ? (const void *)&mask6 : (const void *)&mask4;
	}
	rss.func = RTE_ETH_HASH_FUNCTION_DEFAULT;
	rss.types = types;
	rss.key = key_len ? key : NULL;
	rss.key_len = key_len;
	rss.queue = queue_count ? queues : NULL;
	rss.queue_num = queue_count;
	actions[0].type = RTE_FLOW_ACTION_TYPE_RSS;
	actions[0].conf = &rss;
	actions[1].type = RTE_FLOW_ACTION_TYPE_END;
	attr.ingress = 1;
	if (!create)
		rc = rte_flow_validate(port, &attr, items, actions, &error);
	else if (rte_flow_create(port, &attr, items, actions, &error))
		rc = 0;
	else
		rc = rte_errno ? -rte_errno : -EINVAL;
	if (room) {
		strncpy(why, error.message ? error.message : "", room - 1);
		why[room - 1] = 0;
	}
	return rc;
}
