//! TCP's states as a balancer between the ends can know them (`ip_vs_proto_tcp.c`).

use super::Opening;
pub use super::Side;
use crate::time::ticks;
use crate::wire::tcp::flags;

/// How many states there are.
pub const STATES: usize = 11;

/// `IP_VS_TCP_S_*`.
pub mod state {
    /// A conn before its first packet.
    pub const NONE: u8 = 0;
    /// Both ends agreed, as far as seen.
    pub const ESTABLISHED: u8 = 1;
    /// The real server opens.
    pub const SYN_SENT: u8 = 2;
    /// The client opens.
    pub const SYN_RECV: u8 = 3;
    /// The real server closed, or the client where only its side is seen.
    pub const FIN_WAIT: u8 = 4;
    /// Both closed.
    pub const TIME_WAIT: u8 = 5;
    /// Reset.
    pub const CLOSE: u8 = 6;
    /// The client closed.
    pub const CLOSE_WAIT: u8 = 7;
    /// Waits for the last ACK.
    pub const LAST_ACK: u8 = 8;
    /// Awaits a SYN.
    pub const LISTEN: u8 = 9;
    /// Half-open under `secure_tcp`.
    pub const SYNACK: u8 = 10;
}

/// By state, as `ipvsadm -Lnc` prints them.
pub const NAMES: [&str; STATES] = [
    "NONE",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "SYNACK",
];

/// By state, in ticks.
pub const DEFAULT_TIMEOUTS: [u32; STATES] = [
    ticks(2),
    ticks(900),
    ticks(120),
    ticks(60),
    ticks(120),
    ticks(120),
    ticks(10),
    ticks(60),
    ticks(30),
    ticks(120),
    ticks(120),
];

/// What becomes of a packet that belongs to no conn: SYN without RST begins one, or with
/// `sloppy_tcp` anything but RST (`tcp_conn_schedule`).
#[inline]
pub fn opening(tcp_flags: u8, sloppy: bool) -> Opening {
    let opens = tcp_flags & flags::RST == 0 && (sloppy || tcp_flags & flags::SYN != 0);
    if opens { Opening::Schedule } else { Opening::Leave }
}

/// The state after a packet with these flags (byte 13 of the TCP header). The first of RST, SYN,
/// FIN, ACK that is set decides; none of them closes, and so does a number that is no state.
/// `secure`: by the table of `secure_tcp`, in which an ACK of the real server establishes a
/// half-open conn and one of the client does not; where replies go past here, which a client's ACK
/// has to do for, a SYN makes SYNACK of most states.
#[inline]
pub fn next(state: u8, side: Side, tcp_flags: u8, secure: bool) -> u8 {
    let event = usize::from(EVENT[usize::from(tcp_flags & DECISIVE)]);
    let row = &NEXT[usize::from(secure)][side as usize][event];
    row.get(usize::from(state)).copied().unwrap_or(state::CLOSE)
}

/// Whether a packet with these flags leaves the state as it is, and does not ask for a new conn: what
/// [`next`] and the SYN flag say, in one look.
#[inline(always)]
pub fn stays(state: u8, side: Side, tcp_flags: u8, secure: bool) -> bool {
    let row = &STAYS[usize::from(secure)][side as usize];
    let flags = row.get(usize::from(state)).copied().unwrap_or(0);
    flags >> (tcp_flags & DECISIVE) & 1 != 0
}

/// By table, side and state: a bit for every combination of [`DECISIVE`] flags for which [`stays`].
const STAYS: [[[u32; 16]; 4]; 2] = {
    let mut stays = [[[0; 16]; 4]; 2];
    let mut at = 0;
    while at < 2 * 3 * STATES * EVENT.len() {
        let (secure, rest) = (at / (3 * STATES * EVENT.len()), at % (3 * STATES * EVENT.len()));
        let (side, rest) = (rest / (STATES * EVENT.len()), rest % (STATES * EVENT.len()));
        let (state, flags) = (rest / EVENT.len(), rest % EVENT.len());
        let same = NEXT[secure][side][EVENT[flags] as usize][state] as usize == state;
        if same && flags as u8 & flags::SYN == 0 {
            stays[secure][side][state] |= 1 << flags;
        }
        at += 1;
    }
    stays
};

/// Whether the state counts as ActiveConn rather than InActConn.
#[inline]
pub fn is_active(state: u8) -> bool {
    use self::state::{ESTABLISHED, SYN_RECV, SYN_SENT, SYNACK};
    const ACTIVE: u32 = 1 << ESTABLISHED | 1 << SYN_SENT | 1 << SYN_RECV | 1 << SYNACK;
    state < 32 && ACTIVE & 1 << state != 0
}

/// The flags that [`EVENT`] is about.
const DECISIVE: u8 = flags::RST | flags::SYN | flags::FIN | flags::ACK;

/// Row of [`NEXT`] by flags.
const EVENT: [u8; DECISIVE as usize + 1] = {
    let first = [flags::RST, flags::SYN, flags::FIN, flags::ACK];
    let mut rows = [first.len() as u8; DECISIVE as usize + 1];
    let mut set = 0;
    while set < rows.len() {
        let mut row = 0;
        while row < first.len() && set as u8 & first[row] == 0 {
            row += 1;
        }
        rows[set] = row as u8;
        set += 1;
    }
    rows
};

/// By table (normal, secure), side, event (RST, SYN, FIN, ACK, none) and state: `tcp_states` and
/// `tcp_states_dos`.
const NEXT: [[[[u8; STATES]; 5]; 3]; 2] = {
    use self::state::{
        CLOSE as CL, CLOSE_WAIT as CW, ESTABLISHED as ES, FIN_WAIT as FW, LAST_ACK as LA,
        LISTEN as LI, SYN_RECV as SR, SYN_SENT as SS, SYNACK as SA, TIME_WAIT as TW,
    };
    const NONE: [u8; STATES] = [CL; STATES];
    let normal = [
        [
            // NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
            [CL, CL, CL, SR, CL, CL, CL, CL, CL, LI, SR],
            [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
            [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW],
            [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
            NONE,
        ],
        [
            [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL],
            [SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR],
            [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW],
            [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES],
            NONE,
        ],
        [
            [CL, CL, CL, SR, CL, CL, CL, CL, CL, LI, CL],
            [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
            [CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW],
            [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
            NONE,
        ],
    ];
    let secure = [
        [
            [CL, CL, CL, SR, CL, CL, CL, CL, CL, LI, CL],
            [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA],
            [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA],
            [ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA],
            NONE,
        ],
        [
            normal[1][0],
            [SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA],
            normal[1][2],
            normal[1][3],
            NONE,
        ],
        [
            normal[2][0],
            [SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA],
            normal[2][2],
            normal[2][3],
            NONE,
        ],
    ];
    [normal, secure]
};

#[cfg(test)]
mod tests;
