/* What bindgen reads. DPDK's own headers, then what they say in ways that bindgen cannot carry over:
 * macros with expressions, thread-local variables, and structs whose nesting differs by release. */

#include <stdbool.h>
#include <stddef.h>
#include <rte_version.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
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
static const uint64_t DPDK_TX_MBUF_FAST_FREE = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

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
