//! `--fullnat`, `--local-addresses` and `--client-address`: beyond ipvsadm, in its manner.

use super::Failure;
use crate::rules::FullnatOptions;
use crate::rules::words::{client_address_name, client_address_of};
use dataplane::service::ClientAddress;
use std::net::IpAddr;

impl FullnatOptions {
    /// Takes the value of one of the two options of a service.
    pub(super) fn take(&mut self, option: &str, value: &str) -> Result<(), Failure> {
        match option {
            "local-addresses" => self.local_addresses = local_addresses(value)?,
            _ => self.client_address = client_address(value)?,
        }
        Ok(())
    }
}

/// Addresses with commas between them.
fn local_addresses(value: &str) -> Result<Vec<IpAddr>, Failure> {
    let addresses: Result<Vec<IpAddr>, _> = value.split(',').map(str::parse).collect();
    addresses.map_err(|_| Failure::bad("illegal local-addresses specified, not addr,addr,..."))
}

/// How the client's address is passed on.
fn client_address(value: &str) -> Result<ClientAddress, Failure> {
    let message = "illegal client-address specified, not none, toa, proxy-v1 or proxy-v2";
    client_address_of(value).ok_or_else(|| Failure::bad(message))
}

/// What a saved service's line has at its end.
pub(super) fn saved(options: &FullnatOptions) -> String {
    text(options, ["--local-addresses", "--client-address"])
}

/// What a listed service's line has at its end.
pub(super) fn listed(options: &FullnatOptions) -> String {
    text(options, ["local", "client"])
}

fn text(options: &FullnatOptions, [local, client]: [&str; 2]) -> String {
    if options.local_addresses.is_empty() {
        return String::new();
    }
    let locals: Vec<String> = options.local_addresses.iter().map(IpAddr::to_string).collect();
    let mut text = format!(" {local} {}", locals.join(","));
    if options.client_address != ClientAddress::None {
        text.push_str(&format!(" {client} {}", client_address_name(options.client_address)));
    }
    text
}
