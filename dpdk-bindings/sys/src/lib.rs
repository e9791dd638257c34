//! DPDK C API.
