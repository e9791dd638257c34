//! Numbers read and written as ipvsadm does.

/// A whole decimal number within bounds.
pub fn number(text: &str, min: i64, max: i64) -> Option<i64> {
    text.trim_ascii_start().parse().ok().filter(|n| (min..=max).contains(n))
}

/// A counter in nine columns: exact while it fits in eight digits, else cut to a unit.
pub fn abbreviated(n: u64) -> String {
    const UNITS: [(u64, u64, char); 3] = [
        (1_000_000_000, 1_000, 'K'),
        (100_000_000_000, 1_000_000, 'M'),
        (100_000_000_000_000, 1_000_000_000, 'G'),
    ];
    if n < 100_000_000 {
        return format!("{n:>9}");
    }
    let unit = UNITS.iter().find(|unit| n < unit.0);
    let (divisor, letter) = unit.map_or((1_000_000_000_000, 'T'), |unit| (unit.1, unit.2));
    format!("{:>8}{letter}", n / divisor)
}

/// A counter in nine columns or, if it takes more than eight digits, after one blank.
pub fn exact(n: u64) -> String {
    if n < 100_000_000 { format!("{n:>9}") } else { format!(" {n}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_cut_at_the_bounds_of_their_units() {
        for (n, text) in [
            (0, "        0"),
            (99_999_999, " 99999999"),
            (100_000_000, "  100000K"),
            (999_999_999, "  999999K"),
            (1_000_000_000, "    1000M"),
            (99_999_999_999, "   99999M"),
            (100_000_000_000, "     100G"),
            (99_999_999_999_999, "   99999G"),
            (100_000_000_000_000, "     100T"),
        ] {
            assert_eq!(abbreviated(n), text);
        }
        assert_eq!(exact(99_999_999), " 99999999");
        assert_eq!(exact(100_000_000), " 100000000");
    }

    #[test]
    fn numbers_are_whole_and_within_bounds() {
        assert_eq!(number("5", 0, 10), Some(5));
        assert_eq!(number("-1", 0, 10), None);
        assert_eq!(number("11", 0, 10), None);
        for text in ["", "5x", "0x5", " ", "99999999999999999999"] {
            assert_eq!(number(text, 0, 10), None, "{text}");
        }
    }
}
