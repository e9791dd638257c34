//! Frames as text.

/// Bytes of a hex string; blanks are skipped.
///
/// # Panics
/// If it is not one.
pub fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    assert!(digits.len() % 2 == 0, "two hex digits a byte: {text}");
    let digit = |b: u8| (b as char).to_digit(16).expect("hex digits only") as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Bytes as a hex string.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sixteen bytes a line with offset; bytes that differ from `other` are marked.
fn dump(bytes: &[u8], other: &[u8]) -> String {
    let mut text = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        text += &format!("  {:04x} ", line * 16);
        for (at, byte) in chunk.iter().enumerate() {
            let mark = if other.get(line * 16 + at) == Some(byte) { ' ' } else { '*' };
            text += &format!("{mark}{byte:02x}");
        }
        text.push('\n');
    }
    text
}

/// Panics with both frames and the differing bytes marked unless they are equal.
#[track_caller]
pub fn assert_frames_equal(got: &[u8], expected: &[u8], what: &str) {
    if got != expected {
        let (got_text, expected_text) = (dump(got, expected), dump(expected, got));
        panic!(
            "{what}: frames differ\n got {} bytes\n{got_text} expected {} bytes\n{expected_text}",
            got.len(),
            expected.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_and_written() {
        assert_eq!(from_hex("00 ff\n1A"), [0, 0xff, 0x1a]);
        assert_eq!(to_hex(&[0, 0xff, 0x1a]), "00ff1a");
    }

    #[test]
    #[should_panic(expected = "*02")]
    fn different_frames_panic_with_the_difference_marked() {
        assert_frames_equal(&[1, 2], &[1, 3], "test");
    }
}
