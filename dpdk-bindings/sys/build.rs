//! Finds DPDK, binds the functions the safe layer uses, and compiles C wrappers for the inline ones.

use std::env;
use std::path::PathBuf;
use std::process::exit;

/// The first release known to work, and the first one that nobody has looked at.
const RELEASES: std::ops::Range<&str> = "22.11".."26.0";

/// Everything the safe layer calls: an allowlist keeps the build to seconds.
const FUNCTIONS: &[&str] = &[
    "rte_eal_(init|cleanup)",
    "rte_strerror",
    "rte_lcore_id",
    "rte_socket_id",
    "rte_thread_(register|unregister)",
    "rte_pktmbuf_(pool_create|alloc|free|data_room_size)",
    "rte_mempool_(free|avail_count|in_use_count)",
    "rte_eth_dev_(get_port_by_name|get_name_by_port|socket_id|info_get|configure|start|stop|close)",
    "rte_eth_dev_(adjust_nb_rx_tx_desc|get_mtu|set_mtu|default_mac_addr_set)",
    "rte_eth_find_next",
    "rte_eth_macaddr_get",
    "rte_eth_(promiscuous|allmulticast)_enable",
    "rte_eth_stats_get",
    "rte_eth_dev_rss_(reta_update|reta_query|hash_conf_get)",
    "rte_flow_flush",
    "rte_eth_(rx|tx)_(queue_setup|burst)",
    "dpdk_.*",
];

const CONSTANTS: &[&str] = &["DPDK_.*", "RTE_MAX_ETHPORTS", "RTE_PKTMBUF_HEADROOM"];

fn main() {
    println!("cargo:rerun-if-changed=wrapper.h");
    println!("cargo:rerun-if-changed=build.rs");
    let dpdk = find_dpdk();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let flags = c_flags(&dpdk);
    bind(&flags, &out);
    compile_wrappers(&flags, &out);
    link(&dpdk);
}

fn find_dpdk() -> pkg_config::Library {
    let found =
        pkg_config::Config::new().cargo_metadata(false).range_version(RELEASES).probe("libdpdk");
    found.unwrap_or_else(|why| {
        eprintln!(
            "error: DPDK {} up to (not including) {} is needed and pkg-config does not find it: \
             apt-get install libdpdk-dev libclang-dev clang pkg-config, or set PKG_CONFIG_PATH to your own build.\n{why}",
            RELEASES.start, RELEASES.end
        );
        exit(1);
    })
}

/// Flags for clang and cc alike. pkg-config's `-include` and `-march` are lost by its crate, and
/// the headers do not compile without them: SSE4.2 is DPDK's minimum on x86-64.
fn c_flags(dpdk: &pkg_config::Library) -> Vec<String> {
    let mut flags: Vec<String> = vec!["-include".into(), "rte_config.h".into()];
    if env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64") {
        flags.push("-march=corei7".into());
    }
    flags.extend(dpdk.include_paths.iter().map(|path| format!("-I{}", path.display())));
    flags
}

fn bind(flags: &[String], out: &std::path::Path) {
    let mut builder = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(flags)
        .wrap_static_fns(true)
        .wrap_static_fns_path(out.join("wrappers"))
        // Packed and aligned at once, which Rust refuses (E0588); nothing here looks inside.
        .opaque_type("rte_arp_.*|rte_l2tpv2_.*|rte_gtp_.*")
        // The safe layer has its own view of a buffer, checked against the offsets above.
        .opaque_type("rte_mbuf|rte_mempool|rte_eth_link|rte_flow.*")
        // Thread-local variables: bound as plain statics they link, and then crash.
        .blocklist_item("per_lcore_.*")
        .generate_comments(false)
        .layout_tests(false);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in CONSTANTS {
        builder = builder.allowlist_var(name);
    }
    builder
        .generate()
        .expect("bindgen reads DPDK's headers (needs libclang: apt-get install libclang-dev clang)")
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR is writable");
}

fn compile_wrappers(flags: &[String], out: &std::path::Path) {
    let mut cc = cc::Build::new();
    cc.file(out.join("wrappers.c")).include(".").opt_level(3).warnings(false);
    for flag in flags {
        cc.flag(flag);
    }
    cc.compile("dpdk_wrappers");
}

/// Shared libraries, and only the four that are called. Drivers (NICs, virtual devices, the ring
/// behind every mempool) are plugins: EAL loads them from DPDK's own directory at start, so no
/// `--as-needed` can lose one.
fn link(dpdk: &pkg_config::Library) {
    for path in &dpdk.link_paths {
        println!("cargo:rustc-link-search=native={}", path.display());
    }
    for library in ["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_eal"] {
        println!("cargo:rustc-link-lib=dylib={library}");
    }
}
