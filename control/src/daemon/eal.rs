//! What DPDK is started with besides what the configuration says.

/// `given` and what is missing there: one lcore on the `control` cores, since workers register
/// themselves and DPDK's own threads stay where that lcore is; and huge pages without files.
pub fn args(given: Vec<String>, control: &[usize]) -> Vec<String> {
    let mut args = given;
    if !has(&args, &["--lcores", "-l", "-c"]) {
        let cores: Vec<String> = control.iter().map(usize::to_string).collect();
        args.push(format!("--lcores=0@({})", cores.join(",")));
    }
    // A file would outlive the daemon, and its pages with it.
    if !has(&args, &["--huge-unlink", "--in-memory", "--no-huge"]) {
        args.push("--huge-unlink".to_owned());
    }
    args
}

/// One of `options` is there, alone or with its value: `-l0`, `--lcores=0`.
fn has(args: &[String], options: &[&str]) -> bool {
    let is = |arg: &str, option: &str| {
        let short = !option.starts_with("--");
        arg.strip_prefix(option)
            .is_some_and(|rest| short || rest.is_empty() || rest.starts_with('='))
    };
    args.iter().any(|arg| options.iter().any(|option| is(arg, option)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(given: &str) -> String {
        args(given.split_whitespace().map(str::to_owned).collect(), &[0, 2]).join(" ")
    }

    #[test]
    fn files_on_hugetlbfs_are_unlinked_unless_there_are_none_or_the_operator_says_otherwise() {
        let prefix = "--file-prefix sluice";
        assert_eq!(with(prefix), format!("{prefix} --lcores=0@(0,2) --huge-unlink"));
        for given in ["--in-memory", "--no-huge -m 512", "--huge-unlink=never", "--huge-unlink"] {
            assert_eq!(with(given), format!("{given} --lcores=0@(0,2)"));
        }
    }

    #[test]
    fn lcores_of_the_operator_stay() {
        for given in ["-l 0", "-l0-1", "-c 1", "--lcores=0@1", "--lcores 0"] {
            assert_eq!(with(given), format!("{given} --huge-unlink"));
        }
        // Neither is about lcores.
        assert!(with("--log-level=8 --legacy-mem").contains("--lcores=0@"));
    }
}
