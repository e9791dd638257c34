//! What the rules can say and the data path does not do: refused by name wherever it comes from,
//! never ignored.

use crate::api::protocol::{ApiError, ErrorCode};
use crate::rules::{RealServer, Rules, VirtualService};
use dataplane::forward::tunnel::Encap;

/// That nothing of these rules is beyond the data path.
///
/// # Errors
/// [`ErrorCode::NotSupported`] with the first thing that is.
pub fn check(rules: &Rules) -> Result<(), ApiError> {
    match rules.services().find_map(lacking) {
        None => Ok(()),
        Some(what) => {
            let message = format!("{what} is not supported by this version of Sluice");
            Err(ApiError::new(ErrorCode::NotSupported, message))
        }
    }
}

fn lacking(service: &VirtualService) -> Option<&'static str> {
    service.real_servers.iter().find_map(lacking_server)
}

fn lacking_server(server: &RealServer) -> Option<&'static str> {
    match server.tunnel {
        Encap::Ipip => None,
        Encap::Gre { .. } => Some("tunnel type `gre'"),
        Encap::Gue { .. } => Some("tunnel type `gue'"),
    }
}
