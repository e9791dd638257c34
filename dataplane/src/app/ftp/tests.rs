use super::*;
use crate::testing::Rng;

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 11));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 16, 0, 1));
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100));

fn v6(text: &str) -> IpAddr {
    IpAddr::V6(text.parse().expect("an address"))
}

fn announced(command: Command) -> Option<(IpAddr, u16)> {
    match command {
        Command::Active(found) => {
            assert_eq!(found.kind, Kind::Active);
            Some((found.addr, found.port))
        }
        _ => None,
    }
}

/// The answer as it leaves, if it announces something: the place, and the whole text for the client.
fn rewritten(text: &str, mode: Mode, server: IpAddr, vip: IpAddr) -> Option<(u16, String)> {
    match answer(text.as_bytes(), mode, server) {
        Answer::Passive(found) => {
            assert_eq!(found.kind, Kind::Passive);
            assert!(found.names(server), "{text}");
            let mut bytes = text.as_bytes().to_vec();
            bytes.splice(found.span.clone(), found.render(vip, found.port));
            Some((found.port, String::from_utf8(bytes).expect("text")))
        }
        _ => None,
    }
}

fn passive_answer(text: &str) -> Option<(u16, String)> {
    rewritten(text, Mode::Passive, SERVER, VIP)
}

fn extended_answer(text: &str) -> Option<(u16, String)> {
    rewritten(text, Mode::ExtendedPassive, SERVER, VIP)
}

#[test]
fn passive_mode_is_asked_for_at_the_begin_of_a_line() {
    for (text, family, mode) in [
        ("PASV\r\n", Family::V4, Mode::Passive),
        ("pasv\r\n", Family::V4, Mode::Passive),
        ("TYPE I\r\nPASV\r\n", Family::V4, Mode::Passive),
        ("EPSV\r\n", Family::V4, Mode::ExtendedPassive),
        ("EPSV 1\r\n", Family::V4, Mode::ExtendedPassive),
        ("epsv\r\n", Family::V6, Mode::ExtendedPassive),
        ("EPSV 2\r\n", Family::V6, Mode::ExtendedPassive),
    ] {
        assert_eq!(command(text.as_bytes(), family), Command::Passive(mode), "{text}");
    }
}

#[test]
fn other_commands_ask_for_nothing() {
    for (text, family) in [
        ("", Family::V4),
        ("XPASV\r\n", Family::V4),
        ("STOR PASV\r\n", Family::V4),
        ("PASV", Family::V4),
        ("PASV\r\n", Family::V6),
        ("EPSV 2\r\n", Family::V4),
        ("EPSV 1\r\n", Family::V6),
        ("EPSV ALL\r\n", Family::V4),
        ("EPSV", Family::V4),
        ("PORT 172,16,0,1,100,5\r\n", Family::V6),
        ("TYPE I\r\nPORT 172,16,0,1,100,5\r\n", Family::V4),
    ] {
        assert_eq!(command(text.as_bytes(), family), Command::Other, "{text}");
    }
}

#[test]
fn the_clients_place_is_read_in_either_form() {
    for text in
        ["PORT 172,16,0,1,100,5\r\n", "port   172,16,0,1,100,5\n", "PORT 172,016,000,1,100,05\r\n"]
    {
        assert_eq!(
            announced(command(text.as_bytes(), Family::V4)),
            Some((CLIENT, 25605)),
            "{text}"
        );
    }
    for text in ["EPRT |1|172.16.0.1|25605|\r\n", "eprt  !1!172.16.0.1!25605!\r\n"] {
        assert_eq!(
            announced(command(text.as_bytes(), Family::V4)),
            Some((CLIENT, 25605)),
            "{text}"
        );
    }
    let text = b"EPRT |2|2001:db8:cc::1|25605|\r\n";
    assert_eq!(announced(command(text, Family::V6)), Some((v6("2001:db8:cc::1"), 25605)));
}

#[test]
fn broken_commands_announce_nothing() {
    for text in [
        "PORT",
        "PORT ",
        "PORT172,16,0,1,100,5\r\n",
        "PORT 172,16,0,1,100,5",
        "PORT 172,16,0,1,100,5,6\r\n",
        "PORT 172,16,0,1,100\r\n",
        "PORT 172,16,0,1,100,256\r\n",
        "PORT 172,16,0,1,,5\r\n",
        "PORT 172,16,0,1,0,0\r\n",
        "PORT 0172,16,0,1,100,5\r\n",
        "PORT 172.16.0.1.100.5\r\n",
        "PORT 172,16,0,1,100,5 \r\n",
        "EPRT |1|172.16.0.1|0|\r\n",
        "EPRT |1|172.16.0.1|65536|\r\n",
        "EPRT |1|172.16.0.1|025605|\r\n",
        "EPRT |1|172.16.0.1|25605\r\n",
        "EPRT |1|172.16.0|25605|\r\n",
        "EPRT |1||25605|\r\n",
        "EPRT |||25605|\r\n",
        "EPRT |2|2001:db8:cc::1|25605|\r\n",
        "EPRT a1a172.16.0.1a25605a\r\n",
        "EPRT .1.172.16.0.1.25605.\r\n",
    ] {
        assert_eq!(command(text.as_bytes(), Family::V4), Command::Malformed, "{text}");
    }
    let mapped = b"EPRT |1|172.16.0.1|25605|\r\n";
    assert_eq!(command(mapped, Family::V6), Command::Malformed);
}

#[test]
fn an_answer_is_rewritten_to_the_virtual_address() {
    for (text, expected) in [
        ("227 Entering Passive Mode (192,168,1,11,200,10)\r\n", "(10,0,0,100,200,10)\r\n"),
        ("227 Entering Passive Mode 192,168,1,11,200,10\r\n", "10,0,0,100,200,10\r\n"),
        ("227 ok (192,168,001,011,200,010).\r\n", "(10,0,0,100,200,10).\r\n"),
        ("227 192,168,1,11,200,10 ", "227 10,0,0,100,200,10 "),
    ] {
        let (port, left) = passive_answer(text).expect(text);
        assert!(port == 51210 && left.ends_with(expected), "{text} became {left}");
    }
}

#[test]
fn an_extended_answer_keeps_its_port_alone() {
    for text in [
        "229 Entering Extended Passive Mode (|||51211|)\r\n",
        "229 ok (|1|192.168.1.11|51211|)\r\n",
        "229 ok (!!!51211!)\r\n",
    ] {
        let (port, left) = extended_answer(text).expect(text);
        assert!(port == 51211 && left.ends_with("(|||51211|)\r\n"), "{text} became {left}");
    }
    let (server, vip) = (v6("2001:db8:5::11"), v6("2001:db8:c::100"));
    for text in ["229 ok (|||51211|)\r\n", "229 ok (|2|2001:db8:5::11|51211|)\r\n"] {
        let left = rewritten(text, Mode::ExtendedPassive, server, vip);
        assert_eq!(left, Some((51211, "229 ok (|||51211|)\r\n".into())));
    }
}

#[test]
fn broken_answers_announce_nothing() {
    for text in [
        "227 ",
        "227 Entering Passive Mode (192,168,1,11,20",
        "227 Entering Passive Mode (192,168,1,11,200,10",
        "227 ok\r\n(192,168,1,11,200,10)\r\n",
        "227 mode 2 (192,168,1,11,200,10)\r\n",
        "227 ((192,168,1,11,200,10)\r\n",
        "227 ok (192,168,1,11,200,261)\r\n",
        "227 ok (192,168,1,11,,7)\r\n",
        "227 ok (192,168,1,11,0,0)\r\n",
        "227 ok (192,168,1,11,200,8,9)\r\n",
    ] {
        assert_eq!(answer(text.as_bytes(), Mode::Passive, SERVER), Answer::Malformed, "{text}");
    }
    for text in [
        "229 ok (",
        "229 ok |||51211|\r\n",
        "229 ok (|||65537|)\r\n",
        "229 ok (||192.168.1.11|51211|)\r\n",
        "229 ok (|1||51211|)\r\n",
        "229 ok (|2|2001:db8::1|51211|)\r\n",
        "229 ok (|||51211",
        "229 ok (|||51211)\r\n",
    ] {
        let read = answer(text.as_bytes(), Mode::ExtendedPassive, SERVER);
        assert_eq!(read, Answer::Malformed, "{text}");
    }
}

#[test]
fn an_answer_counts_only_if_it_was_asked_for_and_begins_the_segment() {
    let (passive, extended) = ("227 ok (192,168,1,11,200,10)\r\n", "229 ok (|||51211|)\r\n");
    for (text, mode) in [
        (passive, Mode::Active),
        (extended, Mode::Active),
        (passive, Mode::ExtendedPassive),
        (extended, Mode::Passive),
        ("150 hi\r\n227 ok (192,168,1,11,200,10)\r\n", Mode::Passive),
        ("227-ok (192,168,1,11,200,10)\r\n", Mode::Passive),
        ("", Mode::Passive),
    ] {
        assert_eq!(answer(text.as_bytes(), mode, SERVER), Answer::Other, "{text}");
    }
    let over_ipv6 = answer(passive.as_bytes(), Mode::Passive, v6("2001:db8:5::11"));
    assert_eq!(over_ipv6, Answer::Other);
}

#[test]
fn a_foreign_address_is_told_from_the_speakers_own() {
    let Command::Active(found) = command(b"PORT 172,16,9,9,100,1\r\n", Family::V4) else {
        panic!("a place");
    };
    assert!(!found.names(CLIENT));
    let text = b"229 ok (|1|192.168.1.77|51219|)\r\n";
    let Answer::Passive(found) = answer(text, Mode::ExtendedPassive, SERVER) else {
        panic!("a place");
    };
    assert!(!found.names(SERVER));
}

#[test]
fn a_rendered_place_is_read_back_as_it_was() {
    let mut rng = Rng::new(4);
    let text = b"227 ok (192,168,1,11,200,10)\r\n";
    let Answer::Passive(found) = answer(text, Mode::Passive, SERVER) else { panic!("a place") };
    for _ in 0..5000 {
        let small = rng.one_in(2);
        let octets = [0; 4].map(|_: u8| (rng.next() as u8) >> if small { 6 } else { 0 });
        let (addr, port) = (IpAddr::V4(octets.into()), (rng.next() as u16).max(1));
        let line = [b"PORT ".as_slice(), &found.render(addr, port), b"\r\n"].concat();
        assert_eq!(announced(command(&line, Family::V4)), Some((addr, port)));
    }
    let longest = found.render(IpAddr::V4(Ipv4Addr::BROADCAST), 65535);
    assert_eq!(longest.as_slice(), b"255,255,255,255,255,255");
    assert_eq!(longest.len(), MAX_TEXT);
}

#[test]
fn a_line_cut_anywhere_announces_the_whole_place_or_nothing() {
    let port = "PORT 172,16,0,1,100,5\r\n";
    let eprt = "EPRT |1|172.16.0.1|25605|\r\n";
    for (text, complete) in [(port, port.len() - 1), (eprt, eprt.len() - 2)] {
        for len in 0..=text.len() {
            let found = announced(command(&text.as_bytes()[..len], Family::V4));
            assert_eq!(found, (len >= complete).then_some((CLIENT, 25605)), "{text} {len}");
        }
    }
    let pasv = "227 ok (192,168,1,11,200,10)\r\n";
    let epsv = "229 ok (|||51210|)\r\n";
    for (text, mode, rest) in [(pasv, Mode::Passive, 2), (epsv, Mode::ExtendedPassive, 3)] {
        for len in 0..=text.len() {
            let found = rewritten(&text[..len], mode, SERVER, VIP).map(|(port, _)| port);
            assert_eq!(found, (len + rest >= text.len()).then_some(51210), "{text} {len}");
        }
    }
}
