//! Packet builder and naive oracles.
