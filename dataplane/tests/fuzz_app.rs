//! Fuzzing of the readers of FTP control connections and SIP messages: seeded mutations of kept
//! texts, each answer checked by naive means. How: `common/fuzz/text.rs`.

#[path = "common/fuzz/text.rs"]
mod text;

use dataplane::address::Family;
use dataplane::app::ftp::{self, Answer, Command, Found, Mode};
use dataplane::app::sip;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use text::fuzz;

const FTP: [&str; 14] = [
    "PASV\r\n",
    "EPSV\r\n",
    "EPSV 1\r\n",
    "EPSV 2\r\n",
    "TYPE I\r\nPASV\r\n",
    "PORT 172,16,0,1,100,5\r\n",
    "EPRT |1|172.16.0.1|25605|\r\n",
    "EPRT |2|2001:db8:cc::1|25605|\r\n",
    "227 Entering Passive Mode (192,168,1,11,200,10)\r\n",
    "227 ok 192,168,1,11,200,10.\r\n",
    "229 Entering Extended Passive Mode (|||51210|)\r\n",
    "229 ok (|1|192.168.1.11|51210|)\r\n",
    "229 ok (|2|2001:db8:5::11|51210|)\r\n",
    "229 ok (!!!51210!)\r\n",
];

const SIP: [&str; 5] = [
    "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nCall-ID: 1a2b@host\r\nTo: b\r\n\r\ni=x\r\n",
    "SIP/2.0 200 OK\r\ni: 1\r\n\r\n",
    "BYE sip:b SIP/2.0\nCALL-ID\t:\n 8.a-b!%*@[::1]\nMax-Forwards: 70\n\n",
    "OPTIONS sip:b SIP/2.0\r\nCall-IDs: no\r\nCall-ID: a b\r\nX: y\r\n Call-ID: z\r\nI:w  \r\n\r\n",
    "REGISTER sip:b SIP/2.0\rFrom: <sip:a>\rCall-ID:\r\n\tq@r\r\n\r\n",
];

/// Pieces that decisions hang on.
const PIECES: [&str; 20] = [
    "\r\n", "\n", "\r", " ", "\t", ",", "|", "(", ")", "@", ":", "0", "256", "65536", "1", "2",
    "i", "Call-ID:", "PASV\r\n", "227 (",
];

#[test]
fn places_are_what_their_text_says_and_are_replaced_alone() {
    fuzz(&FTP, &PIECES, |rng, text| {
        let v6 = rng.one_in(3);
        let mode = [Mode::Active, Mode::Passive, Mode::ExtendedPassive][rng.below(3)];
        let (server, vip): (IpAddr, IpAddr) = match v6 {
            true => (Ipv6Addr::from_bits(1 << 100).into(), Ipv6Addr::LOCALHOST.into()),
            false => (Ipv4Addr::new(192, 168, 1, 11).into(), Ipv4Addr::BROADCAST.into()),
        };
        let commanded = match ftp::command(text, Family::of(server)) {
            Command::Active(found) => check_place(text, &found, None),
            _ => false,
        };
        let answered = match ftp::answer(text, mode, server) {
            Answer::Passive(found) => {
                check_place(text, &found, Some(server));
                check_replaced(text, &found, mode, server, vip)
            }
            _ => false,
        };
        commanded || answered
    });
}

/// The place is named in so many words.
fn check_place(text: &[u8], found: &Found, server: Option<IpAddr>) -> bool {
    let words = std::str::from_utf8(&text[found.span.clone()]).expect("ASCII");
    assert_ne!(found.port, 0);
    if words.starts_with(|first: char| first.is_ascii_digit()) {
        let numbers: Vec<u8> = words.split(',').map(|word| word.parse().expect("a byte")).collect();
        let [a, b, c, d, high, low] = numbers[..] else { panic!("six numbers") };
        assert_eq!(found.addr, IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
        assert_eq!(found.port, u16::from(high) * 256 + u16::from(low));
        return true;
    }
    let delimiter = words.chars().next().expect("a delimiter");
    let fields: Vec<&str> = words.split(delimiter).collect();
    let ["", family, addr, port, ""] = fields[..] else { panic!("three fields: {words}") };
    assert_eq!(found.port, port.parse::<u16>().expect("a port"));
    if family.is_empty() {
        assert_eq!((Some(found.addr), addr), (server, ""));
    } else {
        assert_eq!(found.addr, addr.parse::<IpAddr>().expect("an address"));
        assert_eq!(family, if found.addr.is_ipv4() { "1" } else { "2" });
    }
    true
}

/// The new place is read where the old one was, and the text around it is as it was.
fn check_replaced(text: &[u8], found: &Found, mode: Mode, server: IpAddr, vip: IpAddr) -> bool {
    let rendered = found.render(vip, 65535);
    let mut left = text.to_vec();
    left.splice(found.span.clone(), rendered.iter().copied());
    let Answer::Passive(again) = ftp::answer(&left, mode, server) else { panic!("an answer") };
    let expected = if mode == Mode::Passive { vip } else { server };
    assert_eq!((again.addr, again.port), (expected, 65535));
    assert_eq!(again.span, found.span.start..found.span.start + rendered.len());
    true
}

#[test]
fn call_ids_are_those_that_a_naive_reader_finds() {
    fuzz(&SIP, &PIECES, |_, text| {
        let found = sip::call_id(text);
        assert_eq!(found, naive_call_id(text).as_deref());
        found.is_some()
    });
}

/// Reads headers line by line, with allocations.
fn naive_call_id(message: &[u8]) -> Option<Vec<u8>> {
    let text: String = message.iter().map(|byte| char::from(*byte)).collect();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (_, rest) = text.split_once('\n')?;
    // The line end before the empty line, or the empty line, which may be first.
    let headers = if rest.starts_with('\n') { "" } else { rest };
    let headers = headers.find("\n\n").map_or(headers, |end| &headers[..=end]);
    // A marker where a line goes on keeps continuation lines with their first.
    let joined = headers.replace("\n ", "\u{1000} ").replace("\n\t", "\u{1000}\t");
    joined.split_inclusive('\n').find_map(|line| {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\u{1000}');
        let (name, value) = line.split_once(':')?;
        let name = name.trim_end_matches(blank).to_ascii_lowercase();
        let value = value.trim_start_matches(blank);
        let end = value.find(['\n', '\u{1000}'])?;
        let id = value[..end].trim_end_matches([' ', '\t']);
        let words: Vec<&str> = id.split('@').collect();
        let is_word = |word: &&str| {
            !word.is_empty()
                && word.chars().all(|c| c.is_ascii_graphic() && !"#$&,;=@^|".contains(c))
        };
        let valid = words.len() <= 2 && words.iter().all(is_word) && id.len() <= 255;
        (valid && ["call-id", "i"].contains(&name.as_str())).then(|| id.as_bytes().to_vec())
    })
}
