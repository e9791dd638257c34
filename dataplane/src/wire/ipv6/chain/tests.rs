use super::*;

/// A packet whose chain begins with `first`: the headers' bytes one after the other.
fn packet(first: u8, headers: &[&[u8]]) -> Vec<u8> {
    let mut ip = vec![0; HEADER_LEN];
    ip[NEXT_HEADER] = first;
    headers.iter().for_each(|header| ip.extend(*header));
    ip
}

/// An options header of `len` bytes, a multiple of 8, before `next`.
fn options(next: u8, len: usize) -> Vec<u8> {
    let mut header = vec![0xee; len];
    header[..2].copy_from_slice(&[next, (len / 8 - 1) as u8]);
    header
}

fn found(proto: u8, len: usize) -> Result<Chain, ChainError> {
    Ok(Chain { proto, len, fragment: None })
}

#[test]
fn a_packet_without_extension_headers_has_a_chain_of_none() {
    for proto in [6, 17, 50, 58, 59, 132, 135] {
        assert_eq!(chain(&packet(proto, &[])), found(proto, 40));
    }
}

#[test]
fn each_extension_header_is_as_long_as_its_own_format_says() {
    let after = |first, header: &[u8]| chain(&packet(first, &[header]));
    for first in [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS] {
        assert_eq!(after(first, &options(6, 8)), found(6, 48));
        assert_eq!(after(first, &options(17, 24)), found(17, 64));
    }
    // AH counts words of four bytes less two; its shortest ICV is of 12 bytes.
    let ah = [&[6, 4][..], &[0; 22]].concat();
    assert_eq!(after(AH, &ah), found(6, 64));
    let whole = [17, 0xff, 0, 0, 0xde, 0xad, 0xbe, 0xef];
    assert_eq!(after(FRAGMENT, &whole), found(17, 48), "the length byte is reserved");
}

#[test]
fn the_walk_ends_behind_the_header_of_a_fragment() {
    let fragment = |field: u16| {
        let [high, low] = field.to_be_bytes();
        let header = [DESTINATION_OPTIONS, 0, high, low, 0, 0, 0x12, 0x34];
        let routing = options(FRAGMENT, 16);
        chain(&packet(ROUTING, &[&routing, &header, &options(6, 8)])).expect("a chain")
    };
    let first = fragment(1);
    assert_eq!((first.proto, first.len), (DESTINATION_OPTIONS, 64));
    assert_eq!(first.fragment, Some(Fragment { id: 0x1234, offset: 0, more: true }));
    let last = Fragment { id: 0x1234, offset: 1448, more: false };
    assert_eq!(fragment(1448).fragment, Some(last));
    let middle = Fragment { more: true, ..last };
    assert_eq!(fragment(1449).fragment, Some(middle));
    assert_eq!((fragment(6).fragment, fragment(6).proto), (None, 6), "reserved bits");
}

#[test]
fn a_chain_cut_anywhere_is_cut() {
    let (first, second) = (options(DESTINATION_OPTIONS, 16), options(17, 24));
    let whole = packet(HOP_BY_HOP, &[&first, &second]);
    for len in HEADER_LEN..whole.len() {
        assert_eq!(chain(&whole[..len]), Err(ChainError::Cut), "{len} bytes");
    }
    assert_eq!(chain(&whole), found(17, 80));
}

#[test]
fn a_chain_is_followed_to_its_bounds_and_not_further() {
    let many = |count: usize| {
        let mut headers = vec![options(DESTINATION_OPTIONS, 8); count];
        headers[count - 1][0] = 6;
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        chain(&packet(DESTINATION_OPTIONS, &headers))
    };
    assert_eq!(many(EXT_HEADERS), found(6, 40 + 8 * EXT_HEADERS));
    assert_eq!(many(EXT_HEADERS + 1), Err(ChainError::TooLong));
    let long = |len| chain(&packet(DESTINATION_OPTIONS, &[&options(6, len)]));
    assert_eq!(long(EXT_HEADERS_LEN), found(6, 40 + EXT_HEADERS_LEN));
    assert_eq!(long(EXT_HEADERS_LEN + 8), Err(ChainError::TooLong));
    // However long it says to be.
    assert_eq!(
        chain(&packet(HOP_BY_HOP, &[&[6, 255, 0, 0, 0, 0, 0, 0]])),
        Err(ChainError::TooLong)
    );
}
