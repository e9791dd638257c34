//! What tests share: frames built and checked by independent, naive means, a hexdump difference,
//! seeded randomness. Nothing on the packet's way uses it.

pub mod control;
mod frame;
mod hex;
pub mod machine;
mod rng;
mod verify;

pub use frame::{Frame, MAC_CLIENT, MAC_DIRECTOR};
pub use hex::{assert_frames_equal, from_hex, to_hex};
pub use rng::Rng;
pub use verify::{Checks, naive_checksum, naive_sum, verify};
