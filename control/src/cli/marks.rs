//! `sluice marks`: what `iptables -t mangle … -j MARK` is to the kernel's fwmark services.

use super::print_json;
use crate::api::protocol::{Answer, Op};
use crate::api::{CallError, Director};
use crate::rules::MarkRule;
use crate::rules::words::{prefix_of, proto_name, proto_of};
use std::io::Write;
use std::net::IpAddr;

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the rules; the first that fits a packet decides
    List {
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Append a rule
    Add(Rule),
    /// Delete all rules
    Flush,
}

#[derive(Debug, clap::Args)]
struct Rule {
    /// The mark, 1 or more
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    mark: u32,
    /// tcp, udp or sctp; all if not given
    #[arg(long, value_parser = parse_proto)]
    proto: Option<u8>,
    /// Destination network
    #[arg(long, value_name = "ADDRESS/LENGTH", value_parser = parse_prefix)]
    dst: (IpAddr, u8),
    /// Destination port or ports; all if not given
    #[arg(long, value_name = "PORT[-PORT]", value_parser = parse_ports)]
    dport: Option<(u16, u16)>,
}

fn parse_proto(text: &str) -> Result<u8, String> {
    proto_of(text).ok_or_else(|| "give tcp, udp or sctp".into())
}

fn parse_prefix(text: &str) -> Result<(IpAddr, u8), String> {
    prefix_of(text).ok_or_else(|| "give a network such as 10.1.0.0/16 or 2001:db8::/32".into())
}

fn parse_ports(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once(['-', ':']).unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) => Ok((first, last)),
        _ => Err("give a port, or two with a dash between".into()),
    }
}

impl Args {
    /// Asks or sets, and prints.
    pub fn run(self, director: &mut dyn Director, out: &mut dyn Write) -> Result<(), CallError> {
        match self.action {
            Action::List { json: true } => print_json(out, &present(director)?),
            Action::List { json: false } => {
                let rules = present(director)?;
                Ok(rules.iter().try_for_each(|rule| writeln!(out, "{}", line(rule)))?)
            }
            Action::Add(Rule { mark, proto, dst, dport }) => {
                let mut rules = present(director)?;
                rules.push(MarkRule { mark, proto, dst, dports: dport });
                director.call(Op::MarksSet { rules }).map(drop)
            }
            Action::Flush => director.call(Op::MarksSet { rules: Vec::new() }).map(drop),
        }
    }
}

fn present(director: &mut dyn Director) -> Result<Vec<MarkRule>, CallError> {
    match director.call(Op::MarksGet)? {
        Answer::Marks(rules) => Ok(rules),
        _ => Err(CallError::unexpected()),
    }
}

/// A rule as the options that add it.
fn line(rule: &MarkRule) -> String {
    let (network, length) = rule.dst;
    let proto = rule.proto.map_or_else(String::new, |p| format!(" --proto {}", proto_name(p)));
    let ports = rule.dports.map_or_else(String::new, |(a, b)| format!(" --dport {a}-{b}"));
    format!("--mark {}{proto} --dst {network}/{length}{ports}", rule.mark)
}
