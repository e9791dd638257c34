//! What can be wrong with a frame that the appliance sent.

use std::fmt;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Out of the wrong port.
    Wire,
    /// Not the next hop's MAC address.
    NextHop,
    /// Not the appliance's own MAC address as the source.
    SourceMac,
    /// Longer or shorter than it has to be.
    Length,
    /// A field of the IP header that nothing is to change.
    IpHeader,
    /// Not one less than it came with.
    TimeToLive,
    /// The IP header's checksum.
    IpChecksum,
    /// The tunnel's header.
    Tunnel,
    /// Source or destination address.
    Address,
    /// Source or destination port.
    Port,
    /// A field of the TCP or UDP header that nothing is to change.
    L4Header,
    /// TCP's or UDP's checksum.
    L4Checksum,
    /// The payload.
    Payload,
    /// A server that is not its flow's.
    Moved,
    /// A local end that is not its flow's, or another's too.
    LocalEnd,
    /// It came before.
    Duplicate,
    /// No frame of that number was sent.
    Unknown,
    /// An answer with an ICMP error where there is nothing to refuse.
    Refused,
    /// It did not come, and no counter of a drop says why.
    Lost,
}

impl Fault {
    /// The beginning of a sentence about it.
    pub fn text(self) -> &'static str {
        match self {
            Fault::Wire => "it left through the wrong port",
            Fault::NextHop => "the destination MAC address is not the next hop's",
            Fault::SourceMac => "the source MAC address is not the port's own",
            Fault::Length => "its length is wrong",
            Fault::IpHeader => "the IP header was changed where it has to stay",
            Fault::TimeToLive => "the time to live is not one less",
            Fault::IpChecksum => "the IP header's checksum is wrong",
            Fault::Tunnel => "the tunnel's header is wrong",
            Fault::Address => "an address is wrong",
            Fault::Port => "a port is wrong",
            Fault::L4Header => "the TCP or UDP header was changed where it has to stay",
            Fault::L4Checksum => "the TCP or UDP checksum is wrong",
            Fault::Payload => "the payload was changed",
            Fault::Moved => "its flow has moved to another server",
            Fault::LocalEnd => "its local end is another flow's, or its flow had another",
            Fault::Duplicate => "it came before",
            Fault::Unknown => "no such frame was sent",
            Fault::Refused => "an ICMP error came where nothing is to be refused",
            Fault::Lost => "frames are missing that no counter of drops has",
        }
    }
}

/// A wrong frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub fault: Fault,
    /// Where, and how it should be.
    pub detail: String,
}

impl Wrong {
    /// A fault and what is to be said of it.
    pub fn new(fault: Fault, detail: impl Into<String>) -> Wrong {
        Wrong { fault, detail: detail.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.fault.text(), self.detail)
    }
}
