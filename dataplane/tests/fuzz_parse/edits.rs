//! What holds when a TCP payload is edited, and its sequence numbers after an edit.

use dataplane::app::edit::{self, Refused};
use dataplane::app::seq::{self, Shift};
use dataplane::ids::PortId;
use dataplane::io::Packet;
use dataplane::io::sim::SimPacket;
use dataplane::parse::{Content, Headers, Parsed, parse};
use dataplane::testing::verify;

/// Longer than what it replaces, or shorter: both come up.
const WITH: &[u8] = b"10,0,0,100,200,10";

pub fn check(frame: &[u8], headers: &Headers) {
    let truth = verify(frame).expect("true lengths").l4 == Some(true);
    assert_eq!(edit::checksum_ok(frame, headers), truth);
    let payload = edit::payload(frame, headers);
    let len = payload.as_ref().map_or(0, |payload| payload.len());
    // Any part will do, as long as the frame alone chooses it.
    let start = frame.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (len + 1);
    let end = (start + start % 40).min(len);
    let (mut packet, mut after) = (SimPacket::new(frame, PortId(0)), *headers);
    let outcome = edit::replace(&mut packet, &mut after, start..end, WITH);
    match outcome {
        Ok(diff) => {
            let payload = payload.expect("an edited payload");
            assert!(truth);
            assert_eq!(diff, WITH.len() as i32 - (end - start) as i32);
            assert_eq!(verify(packet.bytes()), verify(frame), "all true");
            assert_eq!(flow(packet.bytes()), Headers { ip_len: after.ip_len, ..*headers });
            let text = &frame[payload.clone()];
            let expected = [&text[..start], WITH, &text[end..]].concat();
            assert_eq!(&packet.bytes()[payload.start..], expected);
        }
        Err(refused) => {
            assert_eq!(packet.bytes(), frame);
            assert_eq!(after, *headers);
            assert_eq!(refused == Refused::BadChecksum, payload.is_some() && !truth);
        }
    }
    check_shift(frame, headers);
}

fn flow(frame: &[u8]) -> Headers {
    match parse(frame) {
        Parsed::V4(Content::Flow(headers)) => headers,
        other => panic!("an edited flow stays one: {other:?}"),
    }
}

fn check_shift(frame: &[u8], headers: &Headers) {
    let shift = Shift { init_seq: 0, delta: -2, previous_delta: 7 };
    let mut packet = SimPacket::new(frame, PortId(0));
    let end = usize::from(headers.l3) + usize::from(headers.ip_len);
    seq::adjust(&mut packet.bytes_mut()[headers.l4.into()..end], &shift, &shift);
    assert_eq!(verify(packet.bytes()), verify(frame), "checksums are as true as before");
    assert_eq!(flow(packet.bytes()), *headers);
}
