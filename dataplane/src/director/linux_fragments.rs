//! Fragments that Linux sends: all of a datagram one after the other, the first in front. So the ports
//! of the last first fragments are all there is to remember.

use super::lane::Shape;
use crate::address::Address;
use crate::flow::FlowKey;
use crate::fragments::Datagram;
use crate::parse::FragmentHeaders;

/// Datagrams that may be on their way from Linux at a time: more than its TAPs interleave.
const PLACES: usize = 64;

/// Ports, and the protocol of the flow, by datagram.
type Known = (Datagram, u16, u16, u8);

/// What is known of the datagrams under way, each in the place that its identification gives.
pub(super) struct LinuxFragments(Box<[Option<Known>; PLACES]>);

impl LinuxFragments {
    /// Nothing yet.
    pub fn new() -> Self {
        LinuxFragments(Box::new([None; PLACES]))
    }

    /// The flow of a fragment and what of it the fragment is; `None` of a later one whose first did
    /// not come, or long ago.
    pub fn complete<A: Address>(
        &mut self,
        fragment: &FragmentHeaders<A>,
    ) -> Option<(FlowKey<A>, Shape)> {
        let key = fragment.headers.key;
        let datagram = Datagram::new(key.src, key.dst, fragment.id, key.proto);
        let place = &mut self.0[fragment.id as usize % PLACES];
        if fragment.offset == 0 {
            let (headers, rides) = fragment.of_flow();
            let FlowKey { sport, dport, proto, .. } = headers.key;
            *place = Some((datagram, sport, dport, proto));
            return Some((headers.key, if rides { Shape::Riding } else { Shape::First }));
        }
        let (known, sport, dport, proto) = (*place)?;
        (known == datagram).then_some((FlowKey { sport, dport, proto, ..key }, Shape::Later))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Content, Parsed, parse};
    use crate::testing::Frame;

    fn fragment(id: u16, offset: u16) -> FragmentHeaders {
        let frame = Frame::udp(1, 53, 2, 4000).id(id).payload(&[7; 64]).fragment(offset, true);
        match parse(&frame.build()) {
            Parsed::V4(Content::Fragment(fragment)) => fragment,
            other => panic!("no fragment: {other:?}"),
        }
    }

    #[test]
    fn a_later_fragment_has_the_ports_of_the_first_one_of_its_datagram() {
        let mut known = LinuxFragments::new();
        assert_eq!(known.complete(&fragment(5, 64)), None);
        let (key, shape) = known.complete(&fragment(5, 0)).unwrap();
        assert_eq!((key.sport, key.dport, shape), (53, 4000, Shape::First));
        assert_eq!(known.complete(&fragment(5, 64)), Some((key, Shape::Later)));
        assert_eq!(known.complete(&fragment(5 + PLACES as u16, 64)), None, "another's place");
        known.complete(&fragment(5 + PLACES as u16, 0)).unwrap();
        assert_eq!(known.complete(&fragment(5, 64)), None, "the place is another's by now");
    }
}
