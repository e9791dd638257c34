//! One step of the operator.

use super::{RealServer, ServiceOptions, words};
use dataplane::service::ServiceKey;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A change of the rules. In JSON: `{"change":"add_service","service":{…},"scheduler":"rr"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum RuleChange {
    /// `ipvsadm -A`.
    AddService {
        /// What it takes.
        #[serde(with = "words::key")]
        service: ServiceKey,
        /// How it serves.
        #[serde(flatten)]
        options: ServiceOptions,
    },
    /// `ipvsadm -E`.
    EditService {
        /// Which.
        #[serde(with = "words::key")]
        service: ServiceKey,
        /// How it serves from now on.
        #[serde(flatten)]
        options: ServiceOptions,
    },
    /// `ipvsadm -D`.
    DeleteService {
        /// Which.
        #[serde(with = "words::key")]
        service: ServiceKey,
    },
    /// `ipvsadm -C`.
    Flush,
    /// `ipvsadm -a`.
    AddServer {
        /// To which service.
        #[serde(with = "words::key")]
        service: ServiceKey,
        /// The new one.
        server: RealServer,
    },
    /// `ipvsadm -e`.
    EditServer {
        /// Of which service.
        #[serde(with = "words::key")]
        service: ServiceKey,
        /// Found by address and port; the rest is taken over.
        server: RealServer,
    },
    /// `ipvsadm -d`.
    DeleteServer {
        /// Of which service.
        #[serde(with = "words::key")]
        service: ServiceKey,
        /// Address.
        rip: IpAddr,
        /// Port as listed.
        rport: u16,
    },
}
