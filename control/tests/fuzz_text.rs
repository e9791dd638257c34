//! Fuzzing of what operators and programs write: the configuration file and requests of the API.
//! ipvsadm's command lines are fuzzed beside its tests. How: `dataplane/tests/common/fuzz/text.rs`.

#[path = "../../dataplane/tests/common/fuzz/text.rs"]
mod text;

use control::api::protocol::{Request, parse_request};
use control::config::Config;
use text::fuzz;

const FILES: [&str; 5] = [
    include_str!("../../conf/masq.toml"),
    include_str!("../../conf/gatewaying.toml"),
    include_str!("../../conf/ipip.toml"),
    include_str!("../../conf/fullnat.toml"),
    include_str!("../../conf/minimal.toml"),
];
const TOML: [&str; 20] = [
    "\n",
    "\"",
    "[",
    "]",
    "[[port]]\n",
    "[workers]\n",
    "=",
    "#",
    ",",
    "0",
    "-1",
    "65536",
    "99999999999999999999",
    "1.5",
    "true",
    "\"10.0.0.0/33\"",
    "\"::/129\"",
    "::1",
    "\\u0000",
    "{",
];

const REQUESTS: [&str; 9] = [
    r#"{"v":1,"id":1,"op":"change","changes":[{"change":"flush"}],"replace":true}"#,
    r#"{"v":1,"id":2,"op":"list","service":"tcp:10.0.0.100:80"}"#,
    r#"{"v":1,"id":3,"op":"list","service":null}"#,
    r#"{"v":1,"id":4,"op":"zero","service":"fwmark:7:ipv4"}"#,
    r#"{"v":1,"id":5,"op":"conns","filter":{}}"#,
    r#"{"v":1,"id":6,"op":"timeouts_set","tcp":900,"tcp_fin":120,"udp":300}"#,
    r#"{"v":1,"id":7,"op":"sysctl_set","key":"sloppy_tcp","value":"1"}"#,
    r#"{"v":1,"id":8,"op":"marks_set","rules":[]}"#,
    r#"{"v":1,"id":9,"op":"status"}"#,
];
const JSON: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "0",
    "-1",
    "1e9",
    "65536",
    "4294967296",
    "18446744073709551616",
    "\"op\":\"stats\"",
    "\"v\":1",
    "\\ud800",
    "\"10.0.0.0/33\"",
    "\n",
];

#[test]
fn a_file_is_understood_or_refused_in_one_sentence_that_names_it() {
    fuzz(&FILES, &TOML, |_, bytes| {
        let text = String::from_utf8_lossy(bytes);
        match Config::parse(&text, "x.toml", &[0, 1, 2, 3]) {
            Ok(config) => {
                assert!(!config.eal_args().is_empty() && config.connections_per_worker() > 0);
                true
            }
            Err(error) => {
                assert!(error.to_string().starts_with("x.toml"), "{error}");
                false
            }
        }
    });
}

#[test]
fn a_request_is_understood_and_reads_back_or_is_refused_with_its_id() {
    fuzz(&REQUESTS, &JSON, |_, line| match parse_request(line) {
        Ok(request) => {
            let written = serde_json::to_vec(&request).expect("requests can be written");
            let again: Request = parse_request(&written).expect("what was written is understood");
            assert_eq!(again, request);
            true
        }
        Err((_, error)) => {
            assert!(!error.to_string().is_empty());
            false
        }
    });
}
