use super::*;
use crate::testing::{Frame, Rng, verify};
use crate::wire::tcp::flags;

fn shift(edits: &[(u32, i32)]) -> Shift {
    let mut shift = Shift::default();
    edits.iter().for_each(|&(seq, diff)| shift.resized(seq, diff));
    shift
}

#[test]
fn numbers_move_after_the_edit_and_not_before() {
    for diff in [-2, 1, 500] {
        let shift = shift(&[(9001, diff)]);
        assert_eq!([shift.forth(8000), shift.forth(9001)], [8000, 9001]);
        assert_eq!(shift.forth(9050), 9050u32.wrapping_add_signed(diff));
        // Nothing of the edited segment, all of it.
        assert_eq!(shift.back(9001), 9001);
        assert_eq!(shift.back(9050u32.wrapping_add_signed(diff)), 9050);
    }
}

#[test]
fn a_retransmission_of_the_edited_segment_changes_nothing() {
    let mut shift = shift(&[(9001, -2)]);
    let before = shift;
    shift.resized(9001, -2);
    shift.resized(8000, 7);
    assert_eq!(shift, before);
}

#[test]
fn edits_add_up_and_the_shift_before_the_latest_is_known() {
    let shift = shift(&[(100, 3), (200, 4), (300, -9)]);
    assert_eq!((shift.delta, shift.previous_delta), (-2, 7));
    assert_eq!([shift.forth(250), shift.forth(300), shift.forth(301)], [257, 307, 299]);
    // Edits that undo each other are edits nevertheless.
    let undone = self::shift(&[(100, 3), (200, -3)]);
    assert!(!undone.is_none());
    assert_eq!([undone.forth(150), undone.forth(300)], [153, 300]);
}

#[test]
fn numbers_wrap() {
    let shift = shift(&[(u32::MAX - 10, 20)]);
    assert_eq!(shift.forth(u32::MAX), 19);
    assert_eq!(shift.back(19), u32::MAX);
    assert_eq!(shift.forth(5), 25);
    assert_eq!(shift.back(25), 5);
}

/// The naive way: both ends' streams as bytes that carry their sender's number, an edit cutting out
/// some and putting in nameless ones.
#[test]
fn shifts_agree_with_a_stream_that_was_edited_byte_by_byte() {
    let mut rng = Rng::new(11);
    for _ in 0..300 {
        let begin = rng.next() as u32;
        let (mut sent, mut seen, mut shift) = (begin, begin, Shift::default());
        for _ in 0..5 {
            let old = 30 + rng.below(20) as u32;
            let diff = rng.below(21) as i32 - 10;
            // The segment and what is acknowledged before and after it.
            assert_eq!(shift.forth(sent), seen);
            shift.resized(sent, diff);
            assert_eq!(shift.back(seen), sent, "before the segment");
            assert_eq!(shift.forth(sent), seen, "the segment itself, and again");
            sent = sent.wrapping_add(old);
            seen = seen.wrapping_add(old).wrapping_add_signed(diff);
            assert_eq!((shift.forth(sent), shift.back(seen)), (seen, sent), "after the segment");
        }
    }
}

fn segment(seq: u32, ack: u32, options: &[u8]) -> Frame {
    let frame = Frame::tcp(1, 2, 3, 4).flags(flags::ACK).tcp_options(options).payload(b"odd");
    frame.seq(seq).ack(ack)
}

fn adjusted(frame: &Frame, own: &Shift, peer: &Shift) -> Vec<u8> {
    let mut bytes = frame.build();
    adjust(&mut bytes[34..], own, peer);
    bytes
}

fn sack(front: &[u8], edges: &[u32], back: &[u8]) -> Vec<u8> {
    let mut options = front.to_vec();
    options.extend([SACK, 2 + 4 * edges.len() as u8]);
    edges.iter().for_each(|edge| options.extend(edge.to_be_bytes()));
    options.extend(back);
    options
}

#[test]
fn a_segment_is_adjusted_with_its_acknowledgements_at_any_offset() {
    let (own, peer) = (shift(&[(500, 7)]), shift(&[(9001, -2)]));
    let layouts: [(&[u8], &[u8]); 4] =
        [(&[1, 1], &[]), (&[1], &[1]), (&[], &[1, 1]), (&[3, 3, 7], &[0, 9, 9])];
    for (front, back) in layouts {
        let options = |edges: &[u32]| sack(front, edges, back);
        let came = segment(1000, 9100, &options(&[9200, 9300, 8000, 9001]));
        let expected = segment(1007, 9102, &options(&[9202, 9302, 8000, 9001])).build();
        assert_eq!(adjusted(&came, &own, &peer), expected, "{front:?} {back:?}");
    }
}

#[test]
fn what_is_not_acknowledged_is_no_acknowledgement() {
    let peer = shift(&[(9001, -2)]);
    let came = segment(1, 9100, &sack(&[1, 1], &[9200, 9300], &[])).flags(flags::RST);
    assert_eq!(adjusted(&came, &Shift::default(), &peer), came.build());
}

#[test]
fn checksums_are_as_true_as_before_whatever_the_options_say() {
    let mut rng = Rng::new(5);
    for round in 0..20_000 {
        let mut options = rng.bytes(4 * rng.clone().below(11));
        for byte in &mut options {
            if rng.one_in(2) {
                *byte = [0, 1, 2, 5, 10, 18, 40, 255][rng.below(8)];
            }
        }
        let (seq, ack) = (rng.next() as u32, rng.next() as u32);
        let near =
            |rng: &mut Rng, base: u32| base.wrapping_add(rng.below(9) as u32).wrapping_sub(4);
        let own = shift(&[(near(&mut rng, seq), rng.below(9) as i32 - 4)]);
        let peer = shift(&[(near(&mut rng, ack), rng.below(9) as i32 - 4)]);
        let frame = segment(seq, ack, &options);
        let frame = if rng.one_in(2) { frame.bad_l4_checksum() } else { frame };
        let (before, after) = (frame.build(), adjusted(&frame, &own, &peer));
        assert_eq!(verify(&before), verify(&after), "round {round}");
        assert_eq!(before.len(), after.len());
        let tcp = &after[34..];
        assert_eq!((be32(tcp, 4), be32(tcp, 8)), (own.forth(seq), peer.back(ack)));
    }
}

#[test]
fn a_header_cut_anywhere_is_survived() {
    let (own, peer) = (shift(&[(1, 7)]), shift(&[(1, -2)]));
    let whole = segment(1000, 9100, &sack(&[1], &[9200, 9300, 1, 2], &[1])).build();
    for len in 0..=whole.len() - 34 {
        for offset in 0..16 {
            let mut tcp = whole[34..34 + len].to_vec();
            if let Some(byte) = tcp.get_mut(tcp::DATA_OFFSET) {
                *byte = offset << 4;
            }
            let before = tcp.clone();
            adjust(&mut tcp, &own, &peer);
            assert_eq!(tcp != before, len >= tcp::MIN_LEN);
        }
    }
}

#[test]
fn a_record_fills_a_side_record_and_comes_back_as_it_was() {
    let (inbound, outbound) = (shift(&[(1, 2)]), shift(&[(3, -4)]));
    let record = Record { link: u64::MAX - 1, inbound, outbound, memory: 2, ..Record::default() };
    let bytes = record.to_bytes();
    assert_eq!((bytes.len(), Record::from_bytes(bytes)), (SIDE_BYTES, record));
    assert_eq!(Record::from_bytes([0; SIDE_BYTES]), Record::default());
}
