//! A line of JSON a round, which `perf/rate` reads.

/// What one round gave.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// What the targets are about.
    pub value: f64,
    /// Nanoseconds a packet of the floor and of ours, where there is a floor.
    pub costs: Option<(f64, f64)>,
    /// Whether the core was undisturbed.
    pub quiet: bool,
    /// What was lost or refused, empty for nothing.
    pub lost: String,
    /// What else is worth knowing.
    pub extra: String,
}

impl Round {
    /// Prints it. Texts are of words and numbers: nothing in them needs escaping.
    pub fn print(&self, case: &str) {
        println!("{}", self.line(case));
    }

    fn line(&self, case: &str) -> String {
        let costs = self.costs.map_or(String::new(), |(floor, ours)| {
            format!(r#""floor": {floor:.3}, "ours": {ours:.3}, "#)
        });
        format!(
            r#"{{"case": "{case}", "value": {:.5}, {costs}"quiet": {}, "lost": "{}", "extra": "{}"}}"#,
            self.value, self.quiet, self.lost, self.extra
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_with_and_without_a_floor() {
        let round = Round { value: 2.5, quiet: true, lost: "3 of 9".into(), ..Round::default() };
        assert_eq!(
            round.line("a"),
            r#"{"case": "a", "value": 2.50000, "quiet": true, "lost": "3 of 9", "extra": ""}"#
        );
        let with_floor = Round { costs: Some((1.0, 2.0)), ..round };
        assert!(with_floor.line("a").contains(r#""floor": 1.000, "ours": 2.000, "quiet""#));
    }
}
