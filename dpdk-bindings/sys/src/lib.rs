//! DPDK's C API, as bindgen sees it: no code, no safety. `dpdk-bindings` is the layer to use.
//!
//! `build.rs` lists what is bound; `wrapper.h` holds the few things that C macros, thread-local
//! variables or anonymous unions hide from bindgen.

#![allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    unnecessary_transmutes
)]
#![allow(clippy::all)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
