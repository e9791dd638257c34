//! Sessions over real sockets.

use super::*;
use crate::api::fake::FakeBackend;
use crate::api::protocol::{Sysctl, Timeouts};
use crate::api::{CallError, Client, Director};
use crate::rules::RuleChange;
use crate::rules::example::{fwmark, v4};
use dataplane::sched::SchedulerKind;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Blocking;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::oneshot;

/// A served socket in a directory of its own.
struct Served {
    path: PathBuf,
    backend: Arc<FakeBackend>,
    runtime: Option<tokio::runtime::Runtime>,
    stop: Option<oneshot::Sender<()>>,
    done: Option<tokio::task::JoinHandle<()>>,
}

fn fresh_path() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory =
        std::env::temp_dir().join(format!("sluice-api-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    directory.join("api.sock")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Served {
    fn new(access: Access) -> Served {
        let (path, backend, runtime) = (fresh_path(), Arc::new(FakeBackend::default()), runtime());
        let server = runtime.block_on(Server::bind(&path, access)).unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = server.serve(Arc::clone(&backend), async {
            let _ = stopped.await;
        });
        let done = runtime.spawn(serving);
        Served { path, backend, runtime: Some(runtime), stop: Some(stop), done: Some(done) }
    }

    fn client(&self) -> Client {
        Client::new(&self.path)
    }

    fn raw(&self) -> Blocking {
        Blocking::connect(&self.path).unwrap()
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        let done = self.done.take().unwrap();
        self.runtime.as_ref().unwrap().block_on(done).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let _ = fs::remove_dir_all(self.path.parent().unwrap());
    }
}

fn add_mark_service(mark: u32) -> Op {
    let change =
        RuleChange::AddService { service: fwmark(mark), options: SchedulerKind::Rr.into() };
    Op::Change { changes: vec![change], replace: false }
}

fn read_to_end(mut stream: Blocking) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn row(cport: u16) -> ConnRow {
    ConnRow {
        template: false,
        engine: None,
        proto: 6,
        expires: 60,
        state: "SYN_RECV".into(),
        cip: v4(0xac10_0001),
        cport,
        vip: v4(0x0a00_0064),
        vport: 80,
        rip: v4(0xc0a8_010b),
        rport: 80,
        local: None,
    }
}

#[test]
fn changes_are_answered_with_their_generation_and_refusals_by_name() {
    let served = Served::new(Access::for_gid(own_gid()));
    let mut client = served.client();
    assert_eq!(client.call(add_mark_service(1)).unwrap(), Answer::Changed { generation: 1 });
    assert_eq!(client.call(add_mark_service(2)).unwrap(), Answer::Changed { generation: 2 });
    let Err(CallError::Refused(error)) = client.call(add_mark_service(1)) else { panic!() };
    assert_eq!(error.code, "service_exists");
    let Answer::Listing(listing) = client.call(Op::List { service: None }).unwrap() else {
        panic!()
    };
    assert_eq!(listing.services.len(), 2);
}

/// The group of the files this process makes, so of the process.
fn own_gid() -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").unwrap().gid()
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_server() {
    let mut served = Served::new(Access::for_gid(own_gid()));
    let mode = fs::metadata(&served.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    served.stop();
    assert!(!served.path.exists());
}

#[test]
fn a_server_that_never_serves_leaves_no_socket_and_takes_no_other_daemons() {
    let (path, runtime) = (fresh_path(), runtime());
    let bind = || runtime.block_on(Server::bind(&path, Access::root_only())).unwrap();
    drop(bind());
    assert!(!path.exists());
    let first = bind();
    fs::remove_file(&path).unwrap();
    let second = bind();
    drop(first);
    assert!(path.exists(), "the second server's socket is gone");
    drop(second);
    assert!(!path.exists());
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[test]
fn who_may_only_read_reads_and_is_refused_every_write() {
    // The kernel fills in the credentials, so the session is given the verdict itself.
    let runtime = runtime();
    runtime.block_on(async {
        let (near, far) = UnixStream::pair().unwrap();
        let (reader, writer) = far.into_split();
        let (backend, access) = (Arc::new(FakeBackend::default()), Access::root_only());
        let reader = BufReader::new(reader);
        let mut session =
            Session { reader, writer, backend: Arc::clone(&backend), access, may_write: false };
        let mut replies = BufReader::new(near);
        let message = "permission denied: only root may change things";
        let writes =
            [add_mark_service(1), Op::Zero { service: None }, Op::TimeoutsSet(Timeouts::default())];
        for (op, code) in writes
            .map(|op| (op, Some("not_permitted")))
            .into_iter()
            .chain([(Op::List { service: None }, None), (Op::Status, None)])
        {
            let line = serde_json::to_vec(&Request { v: 1, id: 3, op }).unwrap();
            session.answer_line(&line).await.unwrap();
            let mut text = String::new();
            replies.read_line(&mut text).await.unwrap();
            let reply: Reply = serde_json::from_str(&text).unwrap();
            assert_eq!(reply.error.as_ref().map(|e| e.code.as_str()), code, "{text}");
            assert!(reply.error.is_none_or(|error| error.message == message), "{text}");
        }
        assert_eq!(backend.state().generation, 0);
    });
}

#[test]
fn a_line_cut_off_by_the_clients_death_is_not_obeyed() {
    let served = Served::new(Access::for_gid(own_gid()));
    let line = serde_json::to_vec(&Request { v: 1, id: 1, op: add_mark_service(1) }).unwrap();
    let mut stream = served.raw();
    stream.write_all(&line).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(stream), "");
    assert!(served.backend.state().rules.is_empty());
}

#[test]
fn a_line_without_end_is_refused_by_name_and_ends_the_session() {
    let served = Served::new(Access::root_only());
    let mut stream = served.raw();
    stream.write_all(&vec![b'x'; MAX_LINE]).unwrap();
    assert!(read_to_end(stream).contains("line_too_long"));
    assert!(matches!(served.client().call(Op::Status), Ok(Answer::Status(_))));
}

#[test]
fn a_line_that_is_no_request_is_refused_and_the_session_goes_on() {
    let served = Served::new(Access::root_only());
    let mut stream = served.raw();
    stream.write_all(b"hello\n{\"v\":1,\"id\":2,\"op\":\"status\"}\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let text = read_to_end(stream);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("bad_request") && lines[1].contains("\"ok\":true"), "{text}");
}

#[test]
fn a_second_server_is_refused_and_a_dead_ones_socket_is_taken_over() {
    let served = Served::new(Access::root_only());
    let runtime = runtime();
    let refused = runtime.block_on(Server::bind(&served.path, Access::root_only())).unwrap_err();
    let pid = std::process::id();
    let expected = format!("another sluiced (pid {pid}) is serving {}", served.path.display());
    assert_eq!(refused, expected);

    let stale = fresh_path();
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    runtime.block_on(Server::bind(&stale, Access::root_only())).unwrap();

    let file = stale.with_file_name("file");
    fs::write(&file, "precious").unwrap();
    let refused = runtime.block_on(Server::bind(&file, Access::root_only())).unwrap_err();
    assert!(refused.contains("is no socket"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    fs::remove_dir_all(stale.parent().unwrap()).unwrap();
}

#[test]
fn conns_come_complete_in_lines_of_bounded_length() {
    let served = Served::new(Access::root_only());
    let all: Vec<ConnRow> = (0..5000).map(row).collect();
    served.backend.state().conns.clone_from(&all);
    let (mut got, mut most) = (Vec::new(), 0);
    let mut client = served.client();
    let taken = client.conns(ConnFilter::default(), &mut |rows| {
        most = most.max(rows.len());
        got.extend(rows);
        Ok(())
    });
    taken.unwrap();
    assert_eq!(got, all);
    assert_eq!(most, CONNS_PER_LINE);
    assert!(matches!(client.call(Op::Status), Ok(Answer::Status(_))), "the session goes on");
}

#[test]
fn a_client_that_dies_mid_stream_stops_the_backend_and_harms_nobody() {
    let served = Served::new(Access::root_only());
    served.backend.state().conns = (0..u16::MAX).map(row).collect();
    let mut stream = served.raw();
    stream.write_all(b"{\"v\":1,\"id\":1,\"op\":\"conns\"}\n").unwrap();
    let mut some = [0; 1000];
    stream.read_exact(&mut some).unwrap();
    drop(stream);
    let mut waited = 0;
    while served.backend.state().unsent == 0 {
        waited += 1;
        assert!(waited < 500, "the backend still sends");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(matches!(served.client().call(Op::Status), Ok(Answer::Status(_))));
}

#[test]
fn a_missing_daemon_is_told_with_its_socket() {
    let mut client = Client::new(Path::new("/nonexistent/s.sock"));
    let error = client.call(Op::Status).unwrap_err().to_string();
    assert!(error.starts_with("cannot reach sluiced at /nonexistent/s.sock: "), "{error}");
    assert!(error.ends_with("(is it running?)"), "{error}");
}

#[test]
fn values_that_cannot_be_are_refused_before_the_backend_sees_them() {
    let served = Served::new(Access::for_gid(own_gid()));
    let mut client = served.client();
    let set = |key: &str, value: &str| Op::SysctlSet { key: key.into(), value: value.into() };
    let long = Timeouts { tcp: 2_678_401, tcpfin: 0, udp: 0 };
    for (op, code) in [
        (set("sloppy_tcp", "x"), "bad_value"),
        (set("sync_ports", "1"), "not_supported"),
        (set("nosuch", "1"), "unknown_key"),
        (Op::TimeoutsSet(long), "bad_value"),
    ] {
        let Err(CallError::Refused(error)) = client.call(op) else { panic!("{code}") };
        assert_eq!(error.code, code);
    }
    client.call(set("net.ipv4.vs.sloppy_tcp", "1")).unwrap();
    let key = Some("sloppy_tcp".to_owned());
    let Answer::Sysctls(rows) = client.call(Op::SysctlGet { key }).unwrap() else { panic!() };
    assert_eq!(rows, [Sysctl::new("sloppy_tcp", 1)]);
}

#[test]
fn ipvsadms_words_go_the_whole_way_over_the_socket_and_back() {
    let served = Served::new(Access::for_gid(own_gid()));
    let ipvsadm = |words: &str, input: &str| {
        let socket = served.path.to_str().unwrap();
        let words = ["sluice", "--socket", socket, "ipvsadm"].into_iter().chain(words.split(' '));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut input = input.as_bytes();
        let mut streams =
            crate::ipvsadm::Streams { input: &mut input, out: &mut out, err: &mut err };
        let status = crate::cli::run(words.map(Into::into).collect(), &mut streams);
        (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let rules = "-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 192.168.1.11:80 -m -w 2\n";
    assert_eq!(ipvsadm("-R", rules), (0, String::new(), String::new()));
    assert_eq!(ipvsadm("-S -n", ""), (0, rules.to_owned(), String::new()));
    let refused = (255, String::new(), "Service already exists\n".to_owned());
    assert_eq!(ipvsadm("-A -t 10.0.0.100:80", ""), refused);
}

#[test]
fn a_killed_process_is_dying_until_it_is_reaped_and_gone_after() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep runs");
    let pid = i32::try_from(child.id()).expect("a process id");
    assert!(!super::is_dying(pid));
    child.kill().expect("it is ours");
    let limit = Instant::now() + Duration::from_secs(5);
    while !super::is_dying(pid) && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(super::is_dying(pid), "a zombie");
    child.wait().expect("it is ours");
    assert!(super::is_dying(pid), "gone");
}
