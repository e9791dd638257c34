//! Where the two ends of an FTP control connection announce a data connection (RFC 959, RFC 2428;
//! `ip_vs_ftp.c`).
//!
//! * The client asks for passive mode, `PASV` or `EPSV`; the server answers where it listens, `227`
//!   or `229`. That place is rewritten to the virtual address, where the client is to connect.
//! * The client says where it listens, `PORT` or `EPRT`; the server connects to it from the port
//!   below the one of the control connection. The command passes as it is.
//!
//! As in the kernel, a command or answer counts only if it lies in one segment, and `PORT`, `EPRT`
//! and answers only at the segment's begin; anything else passes as it is and announces nothing.
//! This is stricter than the kernel in what announces something:
//!
//! * Numbers are in range and not empty, ports not 0, a seventh number is none too many to ignore:
//!   the kernel of 6.1 takes 261 for 5 and port 65537 for 1.
//! * Commands stand at the begin of a line: not `PASV` at the end of a file's name.
//! * What names a foreign address is [`Found`], but not to be believed ([`Found::names`]): a client
//!   could direct the server to others, or through a text that the server repeats open a way to
//!   another server. It passes as it is and announces nothing.
//!
//! And more faithful in one thing: the kernel forgets with the answer that passive mode was asked for,
//! so that a retransmitted answer names the real server. Here [`Mode`] stays until the client's next
//! command about data connections.

use crate::address::Family;
use arrayvec::ArrayVec;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// The port of control connections.
pub const CONTROL_PORT: u16 = 21;

/// Longest replacement: `255,255,255,255,255,255`.
pub const MAX_TEXT: usize = 23;

/// Longest address: an IPv6 one that embeds an IPv4 one.
const MAX_ADDRESS: usize = 45;

/// What the server's answers are searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Nothing.
    Active = 0,
    /// 227.
    Passive = 1,
    /// 229.
    ExtendedPassive = 2,
}

impl Mode {
    /// The mode that a conn's record remembers as a number.
    pub fn from_memory(memory: u8) -> Mode {
        match memory {
            1 => Mode::Passive,
            2 => Mode::ExtendedPassive,
            _ => Mode::Active,
        }
    }
}

/// Who listens for the data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The client.
    Active,
    /// The real server.
    Passive,
}

/// How a place is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `h1,h2,h3,h4,p1,p2`
    Numbers,
    /// `|family|address|port|`
    Fields,
}

/// A place where one end listens for a data connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which end.
    pub kind: Kind,
    /// Its address as announced.
    pub addr: IpAddr,
    /// Its port, not 0.
    pub port: u16,
    /// Where the payload says so.
    pub span: Range<usize>,
    form: Form,
}

impl Found {
    /// Whether the place is the `speaker`'s own, and so to be believed. A real server may have been
    /// told to announce the virtual address, which is as good.
    pub fn names(&self, speaker: IpAddr) -> bool {
        self.addr == speaker
    }

    /// What takes the place of [`Self::span`] to announce `addr`:`port` instead. Of an extended
    /// answer only the port stays, as from the kernel: the client takes the address it knows.
    pub fn render(&self, addr: IpAddr, port: u16) -> ArrayVec<u8, MAX_TEXT> {
        let mut text = ArrayVec::new();
        match (self.form, addr) {
            (Form::Numbers, IpAddr::V4(addr)) => {
                addr.octets().iter().for_each(|octet| {
                    push_number(&mut text, u16::from(*octet));
                    text.push(b',');
                });
                push_number(&mut text, port >> 8);
                text.push(b',');
                push_number(&mut text, port & 0xff);
            }
            _ => {
                text.extend(*b"|||");
                push_number(&mut text, port);
                text.push(b'|');
            }
        }
        text
    }
}

fn push_number(text: &mut ArrayVec<u8, MAX_TEXT>, number: u16) {
    let digits = [10_000, 1000, 100, 10, 1].map(|unit| b'0' + (number / unit % 10) as u8);
    let zeros = digits[..4].iter().take_while(|digit| **digit == b'0').count();
    text.extend(digits[zeros..].iter().copied());
}

/// What a client's segment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing about data connections.
    Other,
    /// Passive mode, please: what to search the answer for.
    Passive(Mode),
    /// The client listens here; answers are searched no more.
    Active(Found),
    /// A command that is cut short or not as it should be.
    Malformed,
}

/// What a server's segment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing about data connections.
    Other,
    /// The server listens here.
    Passive(Found),
    /// An answer that is cut short or not as it should be.
    Malformed,
}

/// Reads the payload of a segment from the client of a control connection of `family`.
pub fn command(payload: &[u8], family: Family) -> Command {
    if let Some(asked) = passive(payload, family) {
        return asked;
    }
    if family == Family::V4 && begins(payload, b"PORT") {
        return active(numbers(payload, after_blanks(payload, 4), ends_line));
    }
    if begins(payload, b"EPRT") {
        return active(fields(payload, after_blanks(payload, 4), family, None));
    }
    Command::Other
}

fn active(found: Option<Found>) -> Command {
    found.map_or(Command::Malformed, |found| Command::Active(Found { kind: Kind::Active, ..found }))
}

/// Reads the payload of a segment from the real server at `server`, the client having asked for
/// `mode`.
pub fn answer(payload: &[u8], mode: Mode, server: IpAddr) -> Answer {
    let family = Family::of(server);
    let found = match mode {
        Mode::Passive if family == Family::V4 && begins(payload, b"227 ") => {
            let starts = |byte: &u8| *byte == b'(' || byte.is_ascii_digit();
            let start = line(payload).iter().skip(4).position(starts).map(|at| at + 4);
            numbers(payload, start.map(|at| at + usize::from(payload[at] == b'(')), |_| true)
        }
        Mode::ExtendedPassive if begins(payload, b"229 ") => {
            let open = line(payload).iter().position(|byte| *byte == b'(');
            fields(payload, open.map(|at| at + 1), family, Some(server))
        }
        _ => return Answer::Other,
    };
    found.map_or(Answer::Malformed, Answer::Passive)
}

/// What the first line says that asks for passive mode, if there is one.
fn passive(payload: &[u8], family: Family) -> Option<Command> {
    let mut lines = payload.split_inclusive(|byte| *byte == b'\n');
    lines.find_map(|line| match line {
        _ if line.eq_ignore_ascii_case(b"PASV\r\n") && family == Family::V4 => {
            Some(Command::Passive(Mode::Passive))
        }
        _ if begins(line, b"EPSV") => match (line.get(4..), family) {
            (Some(b"\r\n"), _) | (Some(b" 1\r\n"), Family::V4) | (Some(b" 2\r\n"), Family::V6) => {
                Some(Command::Passive(Mode::ExtendedPassive))
            }
            // ALL, another family, or cut short.
            _ => Some(Command::Other),
        },
        _ => None,
    })
}

fn begins(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..word.len()).is_some_and(|front| front.eq_ignore_ascii_case(word))
}

/// The first line, without its end.
fn line(payload: &[u8]) -> &[u8] {
    let end = payload.iter().position(|byte| ends_line(*byte)).unwrap_or(payload.len());
    &payload[..end]
}

fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Offset of what follows the blanks at `at`, of which there is at least one.
fn after_blanks(payload: &[u8], at: usize) -> Option<usize> {
    let blanks = payload[at..].iter().take_while(|byte| **byte == b' ').count();
    (blanks > 0).then_some(at + blanks)
}

/// Reads six numbers that begin at `start`. Another byte must follow, one that `ends` them: else
/// there may be more to come.
fn numbers(payload: &[u8], start: Option<usize>, ends: impl Fn(u8) -> bool) -> Option<Found> {
    let start = start?;
    let (mut at, mut parts) = (start, [0; 6]);
    for (index, part) in parts.iter_mut().enumerate() {
        if index > 0 {
            at = expect(payload, at, b',')?;
        }
        let (number, end) = number(payload, at, 3)?;
        *part = u8::try_from(number).ok()?;
        at = end;
    }
    let [a, b, c, d, high, low] = parts;
    let follows = *payload.get(at)?;
    let port = u16::from_be_bytes([high, low]);
    let addr = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    let whole = ends(follows) && follows != b',' && port != 0;
    let span = start..at;
    whole.then_some(Found { kind: Kind::Passive, addr, port, span, form: Form::Numbers })
}

/// Reads `|family|address|port|` from `start` on, whatever the delimiter. With a `server`, family and
/// address may both be missing and mean that one.
fn fields(
    payload: &[u8],
    start: Option<usize>,
    family: Family,
    server: Option<IpAddr>,
) -> Option<Found> {
    let start = start?;
    let delimiter = *payload.get(start)?;
    if !delimiter.is_ascii_punctuation() {
        return None;
    }
    let at = start + 1;
    let (addr, at) = match (payload.get(at)?, server) {
        (byte, Some(server)) if *byte == delimiter => (server, expect(payload, at + 1, delimiter)?),
        (byte, _) if *byte == if family == Family::V4 { b'1' } else { b'2' } => {
            let at = expect(payload, at + 1, delimiter)?;
            address(payload, at, delimiter, family)?
        }
        _ => return None,
    };
    let (port, at) = number(payload, at, 5)?;
    let end = expect(payload, at, delimiter)?;
    let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
    Some(Found { kind: Kind::Passive, addr, port, span: start..end, form: Form::Fields })
}

/// Reads an address and the delimiter behind it; gives the offset of what follows.
fn address(payload: &[u8], at: usize, delimiter: u8, family: Family) -> Option<(IpAddr, usize)> {
    let near = &payload[at..payload.len().min(at + MAX_ADDRESS + 1)];
    let len = near.iter().position(|byte| *byte == delimiter)?;
    let text = std::str::from_utf8(&near[..len]).ok()?;
    let addr = match family {
        Family::V4 => IpAddr::V4(text.parse::<Ipv4Addr>().ok()?),
        Family::V6 => IpAddr::V6(text.parse::<Ipv6Addr>().ok()?),
    };
    Some((addr, at + len + 1))
}

/// The offset behind `byte`, if that is what stands at `at`.
fn expect(payload: &[u8], at: usize, byte: u8) -> Option<usize> {
    (payload.get(at) == Some(&byte)).then_some(at + 1)
}

/// Reads a number of one to `most` digits, five at most, and gives the offset behind it.
fn number(payload: &[u8], at: usize, most: usize) -> Option<(u32, usize)> {
    let digits = payload.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    let len = digits.clone().count();
    let value = digits.take(most).fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    (1..=most).contains(&len).then_some((value, at + len))
}

#[cfg(test)]
mod tests;
