//! Packets in, packets out, through the whole director: for each case the exact frames, and the
//! counters that move - all of them, so that nothing else may.

mod forward;
mod full;
mod gather;
mod handover;
mod hold;
mod least;
mod linux;
mod refuse;
mod rig;
mod rules;
