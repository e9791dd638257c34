//! Packets in, packets out, through the whole director: for each case the exact frames, and the
//! counters that move - all of them, so that nothing else may.

mod defence;
mod edges;
mod express;
mod forward;
mod fragment_storm;
mod fragments;
mod ftp;
mod full;
mod fullnat;
mod gather;
mod handover;
mod hold;
mod least;
mod linux;
mod local_node;
mod persistent;
mod pressure;
mod refuse;
mod related;
mod rig;
mod rules;
mod sip_out;
mod strays;
mod tell;
mod tunnel;
