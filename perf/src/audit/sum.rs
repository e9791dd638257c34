//! The Internet checksum (RFC 1071), as its text says it.

/// The sum of all 16-bit words with end-around carry; an odd byte at the end is a word's upper half.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut total: u32 = 0;
    for part in parts {
        for word in part.chunks(2) {
            total += u32::from(word[0]) << 8 | word.get(1).map_or(0, |&low| u32::from(low));
            if total > 0xffff {
                total -= 0xffff;
            }
        }
    }
    total as u16
}

/// What to write where zeroes are now. Of `parts` only the last may have an odd length.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    !sum(parts)
}

/// Whether what covers its own checksum is as it was summed.
pub fn is_true(parts: &[&[u8]]) -> bool {
    sum(parts) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_rfcs_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(&[&bytes]), !0xddf2);
        assert_eq!(checksum(&[&bytes[..4], &bytes[4..]]), !0xddf2);
        assert!(is_true(&[&bytes, &(!0xddf2u16).to_be_bytes()]));
        assert!(!is_true(&[&bytes, &(!0xddf3u16).to_be_bytes()]));
    }

    #[test]
    fn an_odd_byte_is_an_upper_half() {
        assert_eq!(checksum(&[&[1, 2, 3]]), checksum(&[&[1, 2, 3, 0]]));
    }
}
