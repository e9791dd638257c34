//! SCTP's states as a balancer between the ends can know them (`ip_vs_proto_sctp.c`).

use super::{Opening, Side};
use crate::time::ticks;
use crate::wire::sctp::{chunks, kind};

/// How many states there are.
pub const STATES: usize = 14;

/// `IP_VS_SCTP_S_*`. The states are the real server's.
pub mod state {
    /// A conn before its first packet.
    pub const NONE: u8 = 0;
    /// The client's first INIT, which may be a flood's.
    pub const INIT1: u8 = 1;
    /// The client sent INIT again.
    pub const INIT: u8 = 2;
    /// The real server answered with a cookie.
    pub const COOKIE_SENT: u8 = 3;
    /// The client returned the cookie.
    pub const COOKIE_REPLIED: u8 = 4;
    /// The real server sent INIT and waits for a cookie.
    pub const COOKIE_WAIT: u8 = 5;
    /// The client answered the real server's INIT with a cookie.
    pub const COOKIE: u8 = 6;
    /// The real server returned the cookie.
    pub const COOKIE_ECHOED: u8 = 7;
    /// Both ends agreed, as far as seen.
    pub const ESTABLISHED: u8 = 8;
    /// The real server shuts down.
    pub const SHUTDOWN_SENT: u8 = 9;
    /// The client shuts down.
    pub const SHUTDOWN_RECEIVED: u8 = 10;
    /// The real server agreed to shut down.
    pub const SHUTDOWN_ACK_SENT: u8 = 11;
    /// The real server aborted what the client began.
    pub const REJECTED: u8 = 12;
    /// Shut down or aborted.
    pub const CLOSED: u8 = 13;
}

/// By state, as `ipvsadm -Lnc` prints them.
pub const NAMES: [&str; STATES] = [
    "NONE",
    "INIT1",
    "INIT",
    "C-SENT",
    "C-REPLIED",
    "C-WAIT",
    "COOKIE",
    "C-ECHOED",
    "ESTABLISHED",
    "S-SENT",
    "S-RECEIVED",
    "S-ACK-SENT",
    "REJECTED",
    "CLOSED",
];

/// By state, in ticks; 61 s are a second more than the longest retransmission timeout (RFC 9260
/// section 16). `ipvsadm --set` changes none.
pub const DEFAULT_TIMEOUTS: [u32; STATES] = {
    let mut by_state = [ticks(61); STATES];
    by_state[state::NONE as usize] = ticks(2);
    by_state[state::INIT1 as usize] = ticks(4);
    by_state[state::ESTABLISHED as usize] = ticks(900);
    by_state[state::REJECTED as usize] = ticks(4);
    by_state
};

/// What a packet means for its conn, by its first chunk, and by the second if it is ABORT behind a
/// cookie's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// DATA, SACK, HEARTBEAT and its answer, ECNE, CWR, and all types that IPVS does not know.
    Data = 0,
    /// INIT.
    Init = 1,
    /// INIT ACK.
    InitAck = 2,
    /// COOKIE ECHO.
    CookieEcho = 3,
    /// COOKIE ACK.
    CookieAck = 4,
    /// SHUTDOWN.
    Shutdown = 5,
    /// SHUTDOWN ACK.
    ShutdownAck = 6,
    /// SHUTDOWN COMPLETE.
    ShutdownComplete = 7,
    /// ERROR.
    Error = 8,
    /// ABORT comes first.
    Abort = 9,
    /// ABORT follows COOKIE ECHO or COOKIE ACK: to the state an ABORT, but not to scheduling.
    LateAbort = 10,
    /// The packet ends before its first chunk's header does: the state stays.
    NoChunk = 11,
}

/// How many events there are.
pub const EVENTS: usize = 12;

impl Event {
    const ALL: [Event; EVENTS] = [
        Event::Data,
        Event::Init,
        Event::InitAck,
        Event::CookieEcho,
        Event::CookieAck,
        Event::Shutdown,
        Event::ShutdownAck,
        Event::ShutdownComplete,
        Event::Error,
        Event::Abort,
        Event::LateAbort,
        Event::NoChunk,
    ];

    /// The event of a packet, from the common header to the end of the IP packet. Any bytes.
    #[inline]
    pub fn of(packet: &[u8]) -> Event {
        let mut chunks = chunks(packet);
        let Some(first) = chunks.next() else { return Event::NoChunk };
        let event = Event::of_first(first.kind);
        let is_cookie = matches!(event, Event::CookieEcho | Event::CookieAck);
        match is_cookie && chunks.next().is_some_and(|second| second.kind == kind::ABORT) {
            true => Event::LateAbort,
            false => event,
        }
    }

    #[inline]
    fn of_first(chunk: u8) -> Event {
        match chunk {
            kind::INIT => Event::Init,
            kind::INIT_ACK => Event::InitAck,
            kind::ABORT => Event::Abort,
            kind::SHUTDOWN => Event::Shutdown,
            kind::SHUTDOWN_ACK => Event::ShutdownAck,
            kind::ERROR => Event::Error,
            kind::COOKIE_ECHO => Event::CookieEcho,
            kind::COOKIE_ACK => Event::CookieAck,
            kind::SHUTDOWN_COMPLETE => Event::ShutdownComplete,
            _ => Event::Data,
        }
    }

    /// The event of this number (`event as u8`), as a packet's headers carry it in one byte; a number
    /// that is none tells nothing of a chunk.
    #[inline]
    pub fn from_number(number: u8) -> Event {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Event::NoChunk)
    }
}

/// What becomes of a packet that belongs to no conn: INIT begins one, or with `sloppy_sctp`
/// whatever begins with another chunk than ABORT (`sctp_conn_schedule`).
#[inline]
pub fn opening(event: Event, sloppy: bool) -> Opening {
    match event {
        Event::NoChunk => Opening::Drop,
        Event::Init => Opening::Schedule,
        Event::Abort => Opening::Leave,
        _ if sloppy => Opening::Schedule,
        _ => Opening::Leave,
    }
}

/// The state after a packet. A number that is no state closes.
#[inline]
pub fn next(state: u8, side: Side, event: Event) -> u8 {
    let row = &NEXT[side as usize][event as usize];
    row.get(usize::from(state)).copied().unwrap_or(state::CLOSED)
}

/// Whether the state counts as ActiveConn rather than InActConn.
#[inline]
pub fn is_active(state: u8) -> bool {
    state == state::ESTABLISHED
}

/// By side, event and state.
const NEXT: [[[u8; STATES]; EVENTS]; 3] = {
    use self::state::{
        CLOSED as CL, COOKIE as CO, COOKIE_ECHOED as CE, COOKIE_REPLIED as CR, COOKIE_SENT as CS,
        COOKIE_WAIT as CW, ESTABLISHED as ES, INIT as IN, INIT1 as I1, NONE as NO, REJECTED as RJ,
        SHUTDOWN_ACK_SENT as SA, SHUTDOWN_RECEIVED as SR, SHUTDOWN_SENT as SS,
    };
    const STAY: [u8; STATES] = [NO, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL];
    const INPUT_ABORT: [u8; STATES] = [CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL];
    const OUTPUT_ABORT: [u8; STATES] = [CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL];
    [
        [
            // NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
            [ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
            [I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN],
            [CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL],
            [CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
            [ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL],
            [SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL],
            [CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL],
            [CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL],
            [CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL],
            INPUT_ABORT,
            INPUT_ABORT,
            STAY,
        ],
        [
            [ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
            [CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW],
            [CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
            [CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL],
            [ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL],
            [SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL],
            [SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL],
            [CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
            [CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
            OUTPUT_ABORT,
            OUTPUT_ABORT,
            STAY,
        ],
        [
            [ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL],
            [I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN],
            [CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL],
            [ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL],
            [ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL],
            [SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL],
            [CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL],
            [CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL],
            [CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
            INPUT_ABORT,
            INPUT_ABORT,
            STAY,
        ],
    ]
};

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
