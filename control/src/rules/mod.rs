//! The desired state: virtual services and their real servers, as the operator gave them.

use dataplane::sched::SchedulerKind;
use dataplane::service::{ForwardingMethod, ServiceKey};

/// A virtual service as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualService {
    /// What it takes.
    pub key: ServiceKey,
    /// How it chooses.
    pub scheduler: SchedulerKind,
    /// In the order of adding (the kernel's list, and so the compiled table, is the reverse).
    pub real_servers: Vec<RealServer>,
}

/// A real server of one virtual service as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealServer {
    /// Address, host order.
    pub rip: u32,
    /// Port; 0 only for fwmark and port-0 services.
    pub rport: u16,
    /// How packets reach it.
    pub method: ForwardingMethod,
    /// 0 quiesces.
    pub weight: u32,
    /// Upper connection threshold, 0 for none.
    pub u_threshold: u32,
    /// Lower connection threshold, 0 for three quarters of the upper.
    pub l_threshold: u32,
}
