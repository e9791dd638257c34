use super::*;
use crate::engine::fake::{self, CONNS};
use dataplane::mailbox::Retired;
use dataplane::nexthop::NextHops;
use dataplane::service::{ServiceTable, Settings};

fn services(generation: u64) -> Message {
    let settings = Settings::default();
    let table = ServiceTable::new(Generation(generation), Vec::new(), Vec::new(), settings, &[]);
    Message::Services(Arc::new(table))
}

fn next_hops() -> Message {
    Message::NextHops(Arc::new(NextHops::default()))
}

/// A mailbox with room for nothing more, and how many messages it has.
fn full_mailbox() -> (Arc<Mailbox>, usize) {
    let mailbox = Arc::new(Mailbox::new());
    let messages = std::iter::repeat_with(|| mailbox.post(Message::Stop));
    let room = messages.take_while(Result::is_ok).count();
    (mailbox, room)
}

#[tokio::test(start_paused = true)]
async fn a_change_is_applied_when_the_last_worker_runs_it() {
    let (workers, publisher) = fake::workers(2);
    workers[1].sleep();
    publisher.send(&services(1));
    let waiting = {
        let publisher = publisher.clone();
        tokio::spawn(async move { publisher.applied(Generation(1)).await })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished() && !publisher.has_applied(Generation(1)));
    assert_eq!(workers[0].generations(), [1]);

    workers[1].wake();
    assert_eq!(waiting.await.expect("no panic"), Ok(()));
    assert!(publisher.has_applied(Generation(1)) && !publisher.has_applied(Generation(2)));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_answer_is_named_after_five_seconds() {
    let (workers, publisher) = fake::workers(2);
    workers[1].sleep();
    publisher.send(&services(1));
    let begun = Instant::now();
    let stalled = publisher.applied(Generation(1)).await.expect_err("worker 1 sleeps");
    assert!((PATIENCE..PATIENCE * 2).contains(&begun.elapsed()));
    assert_eq!(
        stalled.to_string(),
        "worker 1 did not apply the change within 5 s; see `sluice status`"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_gets_the_last_of_each_kind_when_it_has_room() {
    let (mailbox, room) = full_mailbox();
    let publisher = Publisher::new(vec![mailbox.clone()], vec![Arc::default()], Arc::default());
    publisher.send(&services(1));
    publisher.send(&next_hops());
    publisher.send(&services(2));
    let stalled = publisher.posted().await.expect_err("there is no room");
    assert_eq!((stalled.worker, stalled.what), (0, "take a message"));

    for _ in 0..room {
        assert!(matches!(mailbox.take(), Some(Message::Stop)));
    }
    assert_eq!(publisher.posted().await, Ok(()));
    assert!(matches!(mailbox.take(), Some(Message::NextHops(_))), "services refer to them");
    let Some(Message::Services(table)) = mailbox.take() else { panic!("the services") };
    assert_eq!(table.generation, Generation(2));
    assert!(mailbox.take().is_none(), "the older one is of no use");
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_room_keeps_nothing_from_the_others() {
    let (full, _) = full_mailbox();
    let other = Arc::new(Mailbox::new());
    let publisher =
        Publisher::new(vec![full, other.clone()], vec![Arc::default(); 2], Arc::default());
    publisher.send(&services(1));
    assert!(matches!(other.take(), Some(Message::Services(_))));
}

#[tokio::test]
async fn what_workers_give_back_is_dropped_here() {
    let mailbox = Arc::new(Mailbox::new());
    let publisher = Publisher::new(vec![mailbox.clone()], vec![Arc::default()], Arc::default());
    let table = Arc::new(NextHops::default());
    mailbox.retire(Retired::NextHops(table.clone()));
    publisher.collect();
    assert_eq!(Arc::strong_count(&table), 1);
}

#[tokio::test(start_paused = true)]
async fn a_listing_ends_with_the_workers_last_conn() {
    let (_workers, publisher) = fake::workers(1);
    let dump = publisher.dump(0).expect("room");
    for cport in 0..CONNS {
        let entry = dump.next().await.expect("it answers").expect("not the end");
        assert!(matches!(entry, Entry::Conn(listed) if listed.conn.cport == cport));
    }
    assert!(dump.next().await.expect("it answers").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_a_worker_that_does_not_answer_says_so() {
    let (workers, publisher) = fake::workers(1);
    workers[0].sleep();
    let dump = publisher.dump(0).expect("room");
    let stalled = dump.next().await.expect_err("it sleeps");
    assert_eq!(
        stalled.to_string(),
        "worker 0 did not list its connections within 5 s; see `sluice status`"
    );
    let (full, _) = full_mailbox();
    let publisher = Publisher::new(vec![full], vec![Arc::default()], Arc::default());
    assert_eq!(publisher.dump(0).expect_err("no room").what, "begin a listing");
}
