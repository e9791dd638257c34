//! Kernel twins: TAP interfaces beside the ports.
