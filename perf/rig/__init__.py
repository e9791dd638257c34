"""The performance rig: the appliance and DPDK's own testpmd under the same load, measured from outside.

The load is DPDK's `net_pcap` device, which loops over a capture for ever and discards what is sent. There is no NIC and
no second machine: what is measured is the time a worker spends on a packet, not the rate a wire can take.
"""
