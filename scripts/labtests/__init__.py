"""The lab's tests: real clients and servers, sluiced on DPDK ports between them."""
