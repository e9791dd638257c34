//! Command lines of words that fit, and of some that do not: what they make is saved and restored whole.

use super::run_with;
use crate::api::fake::FakeDirector;
use dataplane::testing::Rng;

const RUNS: usize = 4000;
const COMMANDS: [&str; 12] =
    ["-A", "-A", "-A", "-a", "-a", "-a", "-E", "-e", "-D", "-d", "--set", "-Z"];
const SERVICES: [&str; 10] = [
    "-t 10.0.0.100:80",
    "-u 10.0.0.100:53",
    "--sctp-service 10.0.0.100:80",
    "-f 7",
    "-f 7 -6",
    "-t [2001:db8:c::100]:80",
    "-t 10.0.0.100:0",
    "-t 10.0.0.100:65536",
    "-f 0",
    "-t 10.0.0.100",
];
const SERVERS: [&str; 7] = [
    "-r 192.168.1.11:80",
    "-r 192.168.1.12",
    "-r [2001:db8:5::11]:80",
    "-r 192.168.1.13:8080",
    "-r 192.168.1.13:0",
    "-r 224.0.0.1:80",
    "-r",
];
/// Of services, but for the last one.
const OF_SERVICES: [&str; 19] = [
    "-s rr",
    "-s wlc",
    "-s mh -b mh-port,mh-fallback",
    "-s sh -b sh-port",
    "-s none",
    "-b flag-1",
    "-p",
    "-p 60",
    "-p -1",
    "-p 86400 -M 255.255.255.0",
    "-M 64",
    "-M 255.0.255.0",
    "--pe sip",
    "--pe none",
    "-o",
    "--local-addresses 192.168.1.5,192.168.1.6",
    "--client-address toa",
    "--local-addresses ,",
    "-60",
];
/// Of real servers.
const OF_SERVERS: [&str; 15] = [
    "-w 5",
    "-w 65536",
    "-w -1",
    "-x 10 -y 5",
    "-x 5 -y 10",
    "-x 4294967296",
    "-m",
    "-g",
    "-i",
    "-i --tun-type gre --tun-csum",
    "-i --tun-type gue --tun-port 6080",
    "-i --tun-type gue --tun-port 6080 --tun-remcsum",
    "--tun-type ipip --tun-nocsum",
    "--tun-port 0",
    "--fullnat",
];

fn line(rng: &mut Rng) -> String {
    let mut words = vec![COMMANDS[rng.below(COMMANDS.len())], SERVICES[rng.below(SERVICES.len())]];
    let of_server = matches!(words[0], "-a" | "-e" | "-d");
    if of_server {
        words.push(SERVERS[rng.below(SERVERS.len())]);
    }
    for _ in 0..rng.below(4) {
        words.push(match of_server != rng.one_in(12) {
            true => OF_SERVERS[rng.below(OF_SERVERS.len())],
            false => OF_SERVICES[rng.below(OF_SERVICES.len())],
        });
    }
    if rng.one_in(8) {
        words.swap_remove(rng.below(words.len()));
    }
    words.join(" ")
}

fn saved(director: &mut FakeDirector) -> String {
    let (status, out, err) = run_with(director, "-S -n", "");
    assert_eq!((status, err.as_str()), (0, ""));
    out
}

#[test]
fn what_any_command_lines_make_is_saved_and_restored_whole() {
    let mut rng = Rng::new(1);
    let mut director = FakeDirector::default();
    let mut accepted = 0;
    for run in 0..RUNS {
        if run % 40 == 0 {
            director = FakeDirector::default();
        }
        let words = line(&mut rng);
        let before = saved(&mut director);
        let (status, out, err) = run_with(&mut director, &words, "");
        let rules = saved(&mut director);
        if status == 0 {
            accepted += 1;
            let mut other = FakeDirector::default();
            let (status, _, err) = run_with(&mut other, "-R", &rules);
            assert_eq!((status, err.as_str()), (0, ""), "after {words}, restoring\n{rules}");
            assert_eq!(saved(&mut other), rules, "after {words}");
        } else {
            assert_eq!(rules, before, "{words} was refused, with {out}{err}");
            assert!(!(out + &err).is_empty(), "{words} is refused without a word");
        }
    }
    assert!(accepted * 20 > RUNS && accepted < RUNS, "{accepted} of {RUNS} tell nothing");
}
