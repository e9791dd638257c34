//! The words that are beyond ipvsadm.

use super::{prepared, run_on};

#[test]
fn fullnat_is_said_listed_and_saved_in_words_of_its_own() {
    let rules = [
        "-A -t 10.0.0.100:80 -s rr --local-addresses 192.168.1.5,192.168.1.6 --client-address toa",
        "-a -t 10.0.0.100:80 -r 192.168.1.11:8080 --fullnat -w 1",
    ];
    let mut director = prepared(&rules);
    let (_, saved, _) = run_on(&mut director, "-S -n");
    assert_eq!(saved.lines().collect::<Vec<_>>(), rules);
    let (_, listed, _) = run_on(&mut director, "-L -n");
    let lines: Vec<&str> = listed.lines().skip(3).collect();
    assert_eq!(lines[0], "TCP  10.0.0.100:80 rr local 192.168.1.5,192.168.1.6 client toa");
    assert!(lines[1].starts_with("  -> 192.168.1.11:8080            FullNat 1"), "{}", lines[1]);
    for (words, status) in [
        ("-a -t 10.0.0.1:80 -r 10.0.0.2 --local-addresses 10.0.0.3", 2),
        ("-A -t 10.0.0.1:80 --local-addresses 10.0.0.300", 2),
        ("-A -t 10.0.0.1:80 --local-addresses 10.0.0.3 --client-address smoke", 2),
        ("-A -t 10.0.0.1:80 --client-address toa", 255),
    ] {
        let (got, out, err) = run_on(&mut director, words);
        assert_eq!((got, out.as_str()), (status, ""), "{words}");
        assert!(!err.is_empty(), "{words}");
    }
}
