//! The Environment Abstraction Layer: DPDK's memory, devices and threads, once per process.

use std::ffi::{CString, c_char, c_int};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Errno, Error};

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// DPDK, running. A handle: clones share it, and the last one to go (those that pools, ports and
/// queues keep included) shuts it down and gives the huge pages back.
#[derive(Debug, Clone)]
pub struct Eal {
    _running: Arc<Running>,
}

#[derive(Debug)]
struct Running;

impl Eal {
    /// Starts DPDK with `args` as in its "EAL parameters" (without a program name). Loads the
    /// drivers, takes the huge pages and probes the devices: 0.1 to some seconds.
    ///
    /// The calling thread becomes DPDK's main lcore, but keeps the CPU affinity it had; EAL alone
    /// would pin it, and every thread it starts later. EAL starts an idle thread for each further
    /// lcore it is given: `--lcores=0@(0-7)` gives it one, whatever the number of CPUs, and leaves
    /// the other numbers to [`crate::LcoreThread`].
    ///
    /// # Errors
    /// [`Error::EalTwice`] from the second call on, even if the first failed; [`Error::Eal`] for
    /// arguments that DPDK refuses, missing huge pages or missing rights; [`Error::EalSilent`] where
    /// another process has the same file prefix.
    /// Since 25.11 DPDK itself names an argument that it does not know on standard error and ends
    /// the process.
    pub fn init<S: AsRef<str>>(args: &[S]) -> Result<Eal, Error> {
        let argv = argv(args)?;
        if INITIALISED.swap(true, Ordering::SeqCst) {
            return Err(Error::EalTwice);
        }
        let affinity = Affinity::of_this_thread();
        let started = start(argv);
        affinity.restore();
        started.map_err(|why| refused(args, why))?;
        Ok(Eal { _running: Arc::new(Running) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: every port, pool, queue and registered thread holds an `Eal`, and so does a pool
        // that was left standing because buffers of it are out: nothing of DPDK's is in use.
        unsafe { dpdk_sys::rte_eal_cleanup() };
    }
}

fn start(argv: Vec<CString>) -> Result<(), Errno> {
    // EAL permutes the array and may keep pointers into the strings: both are left to it.
    let argv = Vec::leak(argv.into_iter().map(CString::into_raw).collect::<Vec<*mut c_char>>());
    let argc = argv.len() as c_int;
    // SAFETY: `argv` holds `argc` C strings that live, writable, until the process ends. The
    // caller's swap of INITIALISED makes this the only call.
    let parsed = unsafe { dpdk_sys::rte_eal_init(argc, argv.as_mut_ptr()) };
    if parsed < 0 { Err(Errno::last()) } else { Ok(()) }
}

fn argv<S: AsRef<str>>(args: &[S]) -> Result<Vec<CString>, Error> {
    let program = std::iter::once("sluice");
    program.chain(args.iter().map(AsRef::as_ref)).map(c_string).collect()
}

fn refused<S: AsRef<str>>(args: &[S], why: Errno) -> Error {
    match why {
        Errno(0) => Error::EalSilent { args: joined(args), prefix: file_prefix(args).to_owned() },
        why => Error::Eal { args: joined(args), why },
    }
}

/// The value of `--file-prefix`, or DPDK's default.
fn file_prefix<S: AsRef<str>>(args: &[S]) -> &str {
    const OPTION: &str = "--file-prefix";
    let mut args = args.iter().map(AsRef::as_ref);
    while let Some(arg) = args.next() {
        match arg.strip_prefix(OPTION) {
            Some("") => return args.next().unwrap_or("rte"),
            Some(value) if value.starts_with('=') => return &value[1..],
            _ => {}
        }
    }
    "rte"
}

fn joined<S: AsRef<str>>(args: &[S]) -> String {
    args.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}

/// `text` for C.
pub(crate) fn c_string(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::ZeroByte(text.escape_default().to_string()))
}

/// The CPUs a thread may run on; `None` if the kernel does not tell (more than 1024 of them).
struct Affinity(Option<libc::cpu_set_t>);

impl Affinity {
    fn of_this_thread() -> Self {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: the set is writable and as large as stated; 0 is the calling thread.
        let rc =
            unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) };
        // SAFETY: all zeroes is a valid (empty) set, whatever the kernel wrote into it.
        Affinity((rc == 0).then(|| unsafe { set.assume_init() }))
    }

    /// A failure leaves the thread pinned, which costs speed only.
    fn restore(&self) {
        if let Some(set) = &self.0 {
            // SAFETY: the set is readable and as large as stated; 0 is the calling thread.
            unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), set) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_refusal_names_the_file_prefix() {
        for args in [vec!["-m", "8", "--file-prefix", "lb"], vec!["--file-prefix=lb", "-m", "8"]] {
            let said = refused(&args, Errno(0)).to_string();
            assert!(said.contains("the same file prefix, \"lb\"?"), "{said}");
            assert!(!said.contains("Success"), "{said}");
        }
        assert_eq!(file_prefix(&["--in-memory"]), "rte");
        assert!(matches!(refused(&["-m"], Errno(12)), Error::Eal { why: Errno(12), .. }));
    }
}
