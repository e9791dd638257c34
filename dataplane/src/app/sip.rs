//! The Call-ID of a SIP message over UDP (RFC 3261 sections 7.3 and 20.8; `ip_vs_pe_sip.c`,
//! `nf_conntrack_sip.c`), by which a persistent service keeps a call's messages together.
//!
//! Where the kernel's reader is at odds with the RFC, this one goes with the RFC: whitespace after the
//! value is no part of it; a header without a valid value, or whose name only begins like Call-ID,
//! does not end the search; the empty line does, the body has no headers.

use crate::siphash::siphash;

/// Longest Call-ID that counts (`IP_VS_PEDATA_MAXLEN`).
pub const MAX_CALL_ID: usize = 255;

const NAME: &[u8] = b"call-id";
const COMPACT_NAME: &[u8] = b"i";

/// The value of the first Call-ID header that has a valid one of at most [`MAX_CALL_ID`] bytes.
/// `message` is the UDP payload; any bytes.
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    let mut rest = after_line(message)?;
    while !matches!(rest.first()?, b'\r' | b'\n') {
        if let Some(value) = header_value(rest) {
            return Some(value);
        }
        rest = after_line(rest)?;
    }
    None
}

/// What a Call-ID stands for in tables, under a secret of 128 bits. Two ids may share it, so equal
/// hashes do not yet make equal ids.
pub fn hash(call_id: &[u8], secret: &[u64; 2]) -> u64 {
    siphash(call_id, secret)
}

/// What follows the first line and its end: CR LF, LF or, as in RFC 2543, CR.
fn after_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    Some(after_line_end(&bytes[end..]))
}

/// What follows a line end, with which `bytes` begins.
fn after_line_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\r\n").unwrap_or(&bytes[1..])
}

/// The id in the header that `bytes` begins with, if that is a valid Call-ID.
fn header_value(bytes: &[u8]) -> Option<&[u8]> {
    let after_name = strip_name(bytes, NAME).or_else(|| strip_name(bytes, COMPACT_NAME))?;
    let value = skip_whitespace(skip_whitespace(after_name).strip_prefix(b":")?);
    let len = call_id_len(value)?;
    let (id, rest) = value.split_at(len);
    let ends = matches!(skip_blanks(rest).first(), Some(b'\r' | b'\n'));
    (ends && len <= MAX_CALL_ID).then_some(id)
}

fn strip_name<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(name.len())?;
    front.eq_ignore_ascii_case(name).then_some(rest)
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[blanks..]
}

/// Skips blanks and line ends before continuation lines, which begin with a blank.
fn skip_whitespace(mut bytes: &[u8]) -> &[u8] {
    loop {
        bytes = skip_blanks(bytes);
        if !matches!(bytes.first(), Some(b'\r' | b'\n')) {
            return bytes;
        }
        let continued = after_line_end(bytes);
        if !matches!(continued.first(), Some(b' ' | b'\t')) {
            return bytes;
        }
        bytes = continued;
    }
}

/// Length of `word [ "@" word ]` in front (RFC 3261 section 25.1).
fn call_id_len(bytes: &[u8]) -> Option<usize> {
    let local = word_len(bytes)?;
    match bytes.get(local) {
        Some(b'@') => Some(local + 1 + word_len(&bytes[local + 1..])?),
        _ => Some(local),
    }
}

fn word_len(bytes: &[u8]) -> Option<usize> {
    let len = bytes.iter().take_while(|byte| is_word(**byte)).count();
    (len > 0).then_some(len)
}

/// The characters of a word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::from_hex;

    fn message(headers: &str) -> Vec<u8> {
        format!("INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n{headers}\r\n\r\n")
            .into_bytes()
    }

    fn id(headers: &str) -> Option<String> {
        call_id(&message(headers)).map(|id| String::from_utf8(id.to_vec()).expect("ASCII"))
    }

    #[test]
    fn the_value_is_found_under_either_name_in_any_case() {
        for name in ["Call-ID", "CALL-ID", "call-id", "i", "I"] {
            for colon in [":", ": ", " : ", "\t:\t", ":\r\n ", "\r\n : \r\n\t"] {
                let headers = format!("{name}{colon}a84b4c76e66710@pc33.example.com");
                assert_eq!(id(&headers).as_deref(), Some("a84b4c76e66710@pc33.example.com"));
            }
        }
    }

    #[test]
    fn every_line_end_of_the_two_rfcs_is_taken() {
        for end in ["\r\n", "\n", "\r"] {
            let text = format!("SIP/2.0 200 OK{end}Call-ID: x@y{end}{end}");
            assert_eq!(call_id(text.as_bytes()), Some(b"x@y".as_slice()));
        }
    }

    #[test]
    fn what_is_no_call_id_is_none() {
        for headers in [
            "Call-ID:",
            "Call-ID: ",
            "Call-ID: @host",
            "Call-ID: a@",
            "Call-ID: a@b@c",
            "Call-ID: two words",
            "Call-ID: a;tag=1",
            "Call-ID: a,b",
            "Call-ID x",
            "Call-IDs: x",
            "X-Call-ID: x",
            "int: x",
            "From: a\r\n Call-ID: continued",
            "Call-ID: a\u{e9}",
        ] {
            assert_eq!(id(headers), None, "{headers}");
        }
    }

    #[test]
    fn a_header_that_is_none_does_not_hide_the_next() {
        for before in ["Call-IDs: x", "i5: x", "Call-ID: two words", "Call-ID:"] {
            assert_eq!(id(&format!("{before}\r\ni: y")).as_deref(), Some("y"), "{before}");
        }
    }

    #[test]
    fn neither_the_first_line_nor_the_body_has_headers() {
        assert_eq!(call_id(b"i: x\r\nTo: y\r\n\r\n"), None);
        assert_eq!(call_id(b"INVITE a SIP/2.0\r\nTo: y\r\n\r\ni: x\r\n"), None);
    }

    #[test]
    fn an_id_may_have_255_bytes_and_no_more() {
        let long = "a".repeat(MAX_CALL_ID);
        assert_eq!(id(&format!("Call-ID: {long}")), Some(long.clone()));
        assert_eq!(id(&format!("Call-ID: {long}a")), None);
    }

    #[test]
    fn a_message_cut_anywhere_gives_the_whole_id_or_none() {
        let whole = message("To: x\r\nCall-ID: \r\n a1b2@c3");
        for len in 0..whole.len() {
            let found = call_id(&whole[..len]);
            // With the end of its line the value is whole.
            let complete = len >= whole.len() - 3;
            assert_eq!(found, complete.then_some(b"a1b2@c3".as_slice()), "{len} bytes");
        }
    }

    #[test]
    fn hashes_differ_by_id_and_by_secret() {
        let hashes = [hash(b"a@b", &[1, 2]), hash(b"a@c", &[1, 2]), hash(b"a@b", &[1, 3])];
        assert!(hashes[0] != hashes[1] && hashes[0] != hashes[2] && hashes[1] != hashes[2]);
    }

    /// The trace sip_pe: one message at a time, and the kernel's templates after it.
    #[test]
    fn messages_have_the_ids_that_the_kernel_finds() {
        let path = format!("{}/tests/golden/leaf/sip_pe.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("the trace is there");
        let trace: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let (mut agree, mut differ, mut found) = (0, Vec::new(), None);
        let (mut note, mut scheduled) = ("", false);
        for step in trace["steps"].as_array().expect("steps") {
            match step["op"].as_str().expect("a kind") {
                "send" => {
                    let frame = from_hex(step["frame"].as_str().expect("a frame"));
                    found = call_id(&frame[42..]).map(<[u8]>::to_vec);
                    (note, scheduled) = (step["note"].as_str().expect("a note"), false);
                }
                "recv" => scheduled = true,
                "ipvsadm" if !note.is_empty() => {
                    let listing = step["out"].to_string();
                    // An id of 255 bytes is too much for ipvsadm.
                    let listed = |id: &Vec<u8>| {
                        let id = String::from_utf8_lossy(id);
                        listing.contains("fault") || listing.contains(&format!(" {id}\""))
                    };
                    let equal = found.as_ref().map_or(!scheduled, |id| scheduled && listed(id));
                    agree += usize::from(equal);
                    if !equal {
                        differ.push(note);
                    }
                }
                _ => {}
            }
        }
        assert_eq!(
            differ,
            ["trailing blank", "longer name first", "in the body", "empty, then another"]
        );
        assert_eq!(agree, 16);
    }
}
