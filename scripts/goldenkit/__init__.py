"""Golden traces of the kernel's IPVS, replayed over real DPDK ports."""
