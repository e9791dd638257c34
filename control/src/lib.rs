//! The control plane: what the operator wants, what Linux knows, and how both reach the workers.

// From the operator's words to one desired state.
pub mod config;

pub mod rules;

pub mod ipvsadm;

pub mod api;

pub mod cli;

// Linux as the IP stack.
pub mod mirror;
pub mod twin;

// From desired state to workers.
pub mod affinity;
pub mod engine;
pub mod steering;
pub mod workers;

#[cfg(test)]
mod needs_root;

#[cfg(feature = "dpdk")]
pub mod daemon;
