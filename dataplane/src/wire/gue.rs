//! Generic UDP encapsulation: the header between UDP and the inner packet, version 0
//! (draft-ietf-intarea-gue; Linux `include/net/gue.h`).

/// Length of a header without optional fields.
pub const MIN_LEN: usize = 4;
/// Offset of version (2 bits), control bit and length of the optional fields in words (5 bits).
pub const VERSION_AND_LEN: usize = 0;
/// Offset of the inner packet's IP protocol number, unless the control bit is set.
pub const PROTOCOL: usize = 1;
/// Offset of the flags, which name the optional fields.
pub const FLAGS: usize = 2;

/// Version and control bit: all 0 here. Version 1 is an IP packet right behind UDP; a control message
/// is no packet.
const VERSION_AND_CONTROL: u8 = 0xe0;
/// Bits of the optional fields' length, in words of four bytes.
const LEN_MASK: u8 = 0x1f;

/// In the flags: a word of private flags is the first optional field.
pub const FLAG_PRIVATE: u16 = 0x0001;
/// In the private flags: a field of remote checksum offload follows them. The field has two offsets,
/// from the inner packet's first byte: where the sum begins and where it is put.
pub const PRIVATE_REMCSUM: u32 = 0x8000_0000;

/// Length of the private flags and the field of remote checksum offload.
pub const REMCSUM_LEN: usize = 8;

/// Length of the header, optional fields included; `None` if it is of another version or a control
/// message.
#[inline]
pub fn header_len(version_and_len: u8) -> Option<usize> {
    let len = MIN_LEN + 4 * usize::from(version_and_len & LEN_MASK);
    (version_and_len & VERSION_AND_CONTROL == 0).then_some(len)
}
