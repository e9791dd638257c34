//! The operator's command against a director without a data path.

use super::*;
use crate::api::fake::FakeDirector;
use crate::api::protocol::{Answer, ApiError, ConnFilter, ConnRow, Op};
use std::os::unix::fs::MetadataExt;

/// Status, stdout, stderr of a subcommand.
fn run_on(director: &mut FakeDirector, args: &str) -> (u8, String, String) {
    let words = ["sluice"].into_iter().chain(args.split_whitespace());
    let cli = Cli::try_parse_from(words).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams { input: &mut io::empty(), out: &mut out, err: &mut err };
    let status = cli.command.run(director, &mut streams).unwrap();
    (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn run_whole(words: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams { input: &mut io::empty(), out: &mut out, err: &mut err };
    let status = run(words.iter().map(Into::into).collect(), &mut streams);
    (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn ports_are_listed_with_what_was_asked_and_granted() {
    let mut director = FakeDirector::default();
    let (status, out, err) = run_on(&mut director, "ports");
    assert_eq!((status, err.as_str()), (0, ""));
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split("  ").collect()).collect();
    let rows: Vec<(&str, &str)> =
        rows.iter().map(|row| (row[0].trim(), row[row.len() - 1].trim())).collect();
    let want = [
        ("wan.driver", "net_ice"),
        ("wan.node", "0"),
        ("wan.offloads.rx_scatter", "not wanted"),
        ("wan.offloads.tx_fast_free", "granted"),
        ("lan.driver", "net_null"),
    ];
    assert_eq!(rows, want);
    let json = run_on(&mut director, "ports --json").1;
    assert!(json.starts_with("[{") && json.contains("\"name\":\"lan\""), "{json}");
}

#[test]
fn sysctls_are_read_and_set_in_every_spelling_and_refused_like_sysctl_does() {
    let mut director = FakeDirector::default();
    for (args, out) in [
        ("sysctl net/ipv4/vs/sloppy_tcp 1", "net.ipv4.vs.sloppy_tcp = 1\n"),
        ("sysctl net.ipv4.vs.sloppy_tcp", "net.ipv4.vs.sloppy_tcp = 1\n"),
        ("sysctl conn_reuse_mode=2", "net.ipv4.vs.conn_reuse_mode = 2\n"),
        ("sysctl conn_reuse_mode", "net.ipv4.vs.conn_reuse_mode = 2\n"),
    ] {
        assert_eq!(run_on(&mut director, args), (0, out.to_owned(), String::new()), "{args}");
    }
    let all = run_on(&mut director, "sysctl -a").1;
    assert_eq!(all.lines().count(), 31);
    assert_eq!(all.lines().filter(|line| !line.starts_with('#')).count(), 17);
    let why = "is about netfilter's conntrack, which Sluice's packets do not pass";
    let line = format!("# net.ipv4.vs.conntrack (no meaning here: it {why})\n");
    assert!(all.contains(&line), "{all}");
    let read = |director: &mut _, words| run_on(director, words).1;
    assert_eq!(read(&mut director, "sysctl net.ipv4.vs.conntrack"), line);
    let json = format!("[{{\"key\":\"conntrack\",\"without_meaning\":\"{why}\"}}]\n");
    assert_eq!(read(&mut director, "sysctl conntrack --json"), json);
    let json = "[{\"key\":\"sloppy_tcp\",\"value\":\"1\"}]\n";
    assert_eq!(read(&mut director, "sysctl --json sloppy_tcp"), json);
    for (args, err) in [
        ("sysctl nosuch", "sluice: net.ipv4.vs.nosuch is no name of IPVS\n"),
        (
            "sysctl sync_threshold 0 1",
            "sluice: net.ipv4.vs.sync_threshold cannot be set: it comes with connection sync\n",
        ),
        ("sysctl sloppy_tcp 7", "sluice: net.ipv4.vs.sloppy_tcp takes 0 to 1, not `7'\n"),
    ] {
        assert_eq!(run_on(&mut director, args), (255, String::new(), err.to_owned()), "{args}");
    }
}

#[test]
fn marks_are_listed_as_the_options_that_add_them() {
    let mut director = FakeDirector::default();
    let rules = [
        "--mark 1 --proto tcp --dst 10.1.0.0/16 --dport 80-90",
        "--mark 2 --dst 0.0.0.0/0",
        "--mark 2 --proto sctp --dst 2001:db8::/32",
    ];
    for rule in rules {
        assert_eq!(run_on(&mut director, &format!("marks add {rule}")).0, 0, "{rule}");
    }
    assert_eq!(run_on(&mut director, "marks list").1, rules.join("\n") + "\n");
    let refused = run_on(&mut director, "marks add --mark 3 --dst 10.1.0.1/16");
    assert_eq!(refused.0, 255);
    assert_eq!(refused.2, "sluice: 10.1.0.1/16 is no network: bits are set after the prefix\n");
    assert_eq!(run_on(&mut director, "marks flush").0, 0);
    assert_eq!(run_on(&mut director, "marks list").1, "");
}

#[test]
fn counters_are_summed_over_workers_and_drops_shown_by_frequency() {
    let mut director = FakeDirector::default();
    let (_, out, _) = run_on(&mut director, "stats");
    let words: Vec<Vec<&str>> = out.lines().map(|l| l.split_whitespace().collect()).collect();
    assert!(words.contains(&vec!["received", "5"]), "{out}");
    assert!(words.contains(&vec!["generation", "7"]), "the least of 8 and 7: {out}");
    assert!(words.contains(&vec!["dropped.no_route", "3"]), "{out}");
    assert!(!out.contains("bad_ip_header"), "never happened: {out}");
    let (_, out, _) = run_on(&mut director, "stats --drops");
    let names: Vec<&str> = out.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(names, ["tx_full", "no_route"]);
    let (_, out, _) = run_on(&mut director, "stats --json");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["workers"][1]["received"], 2);
}

#[test]
fn ipvsadms_words_reach_it_untouched() {
    let hint = "Try `ipvsadm -h' or `ipvsadm --help' for more information.\n";
    let absent = "/nonexistent/s.sock";
    for words in [
        vec!["sluice", "--socket", absent, "ipvsadm", "--socket"],
        vec!["sluice", "ipvsadm", "--", "-L"],
        vec!["/sbin/ipvsadm", "-n", "-L"],
    ] {
        assert_eq!(run_whole(&words), (255, String::new(), hint.to_owned()), "{words:?}");
    }
    let (status, out, _) = run_whole(&["sluice", "ipvsadm", "-h"]);
    assert_eq!(status, 0);
    assert!(out.starts_with("ipvsadm, as Sluice understands it"), "{out}");
    let (status, _, err) = run_whole(&["sluice", "--socket", absent, "ipvsadm", "-Ln"]);
    assert_eq!(status, 2);
    assert!(err.starts_with("cannot reach sluiced at /nonexistent/s.sock: "), "{err}");
}

#[test]
fn an_unknown_command_and_an_absent_daemon_end_with_two() {
    let (status, _, err) = run_whole(&["sluice", "statz"]);
    assert_eq!(status, 2);
    assert!(err.contains("there is no command `statz'"), "{err}");
    let (status, _, err) = run_whole(&["sluice", "status", "--socket", "/nonexistent/s.sock"]);
    assert_eq!(status, 2);
    assert!(err.starts_with("sluice: cannot reach sluiced at /nonexistent/s.sock: "), "{err}");
}

#[test]
fn who_lacks_rights_is_told_who_has_them_or_what_ipvsadm_says() {
    let denied = || {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        CallError::Unreachable("/proc/self/status".into(), error)
    };
    // That file is root's, where root runs this.
    if std::fs::metadata("/proc/self/status").unwrap().gid() == 0 {
        let said = denied().to_string();
        assert_eq!(said, "permission denied: only root may open /proc/self/status");
    }
    struct Denied<F>(F);
    impl<F: Fn() -> CallError> Director for Denied<F> {
        fn call(&mut self, _: Op) -> Result<Answer, CallError> {
            Err(self.0())
        }
        fn conns(
            &mut self,
            _: ConnFilter,
            _: &mut dyn FnMut(Vec<ConnRow>) -> io::Result<()>,
        ) -> Result<(), CallError> {
            Err(self.0())
        }
    }
    let refused = || CallError::Refused(ApiError::new(ErrorCode::NotPermitted, "no"));
    for error in [&denied as &dyn Fn() -> CallError, &refused] {
        for (words, input) in
            [("-C", ""), ("-Ln", ""), ("-Lnc", ""), ("-Z", ""), ("-R", "-A -f 1\n-A -f 2\n")]
        {
            let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), input.as_bytes());
            let mut streams = Streams { input: &mut input, out: &mut out, err: &mut err };
            let words = [words.to_owned()];
            assert_eq!(ipvsadm::run(&words, &mut Denied(error), &mut streams).unwrap(), 255);
            assert_eq!(err, b"Permission denied (you must be root)\n", "{words:?}");
            assert!(out.is_empty());
        }
    }
}

#[test]
fn the_restore_tool_clears_first_and_skips_comments() {
    let mut director = FakeDirector::default();
    let mut restore = |text: &str| {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut input = text.as_bytes();
        let mut streams = Streams { input: &mut input, out: &mut out, err: &mut err };
        tools::Tool::Restore.run(&[], &mut director, &mut streams).unwrap()
    };
    assert_eq!(restore("-A -f 1\n-A -f 2\n"), 0);
    assert_eq!(restore("# saved\n-A -f 3\n"), 0);
    let mut director = director.clone();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams { input: &mut io::empty(), out: &mut out, err: &mut err };
    tools::Tool::Save.run(&["-n".to_owned()], &mut director, &mut streams).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "-A -f 3 -s wlc\n");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut err = Vec::new();
    let mut streams = Streams { input: &mut io::empty(), out: &mut Closed, err: &mut err };
    let words = ["ipvsadm", "-v"].iter().map(Into::into).collect();
    assert_eq!(run(words, &mut streams), BROKEN_PIPE);
    assert!(err.is_empty());
}
