//! Nodes that were apart and both changed: what each acknowledged is there once afterwards, on both, and no UID has
//! changed its meaning (P1, P2, rules U1 to U8).
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::net::{Mode, Nodes, ONE, ZERO, assert_holds, delete_account, do_it, is_up, member, put, rows, whole};
use common::{ACCOUNT, create_account, mail, until};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::Role;
use mailmirror_mirror::{Authority, Engine, PersonError};
use mailmirror_model::ids::{AccountId, BodyId, MailboxId, MessageId};
use mailmirror_model::operation::{Add, BodyMeta, Change, NewMailbox, SpecialUse};
use std::collections::BTreeMap;

const LOCAL: Authority = Authority::Person { first_role: None, policy: AckPolicy::Local, alone: false };
const WORK: MailboxId = MailboxId(0x770);

async fn plain(policy: AckPolicy) -> (Nodes, Engine, Engine) {
    let authority = Authority::Person { first_role: None, policy, alone: false };
    let mut nodes = Nodes::new(authority).await;
    let zero = nodes.start(ZERO).await;
    until(&zero, "the first role", |status| status.role == Role::Master).await;
    let one = nodes.start(ONE).await;
    until(&one, "slave", |status| status.role == Role::Slave && is_up(status)).await;
    do_it(&zero, create_account()).await.result.unwrap();
    equal(&zero, &one).await;
    (nodes, zero, one)
}

/// Waits until one follows the other with everything.
async fn equal(master: &Engine, slave: &Engine) {
    until(master, "the master", |status| status.role == Role::Master && status.lag_entries.is_some()).await;
    until(slave, "the slave", |status| status.role == Role::Slave && status.serving).await;
    // At a mark, which both reach.
    let compared = master.compare().await.unwrap();
    assert!(compared.is_equal(), "{compared:?}");
}

fn mail_to(mailbox: MailboxId, number: u64) -> (Change, Vec<bytes::Bytes>) {
    let (_, bodies) = mail(number, "elsewhere");
    let (body, size_bytes) = (BodyId::of(&bodies[0]), bodies[0].len() as u64);
    let add = Add {
        mailbox,
        message: MessageId(u128::from(number) + 1),
        body,
        size_bytes,
        internal_date_seconds: 1,
        flags: Vec::new(),
    };
    (Change::Add { adds: vec![add], bodies: vec![BodyMeta { body, size_bytes }] }, bodies)
}

/// No UID that was seen before means another message now, and none that is new is below what was announced.
fn assert_meanings(before: &[BTreeMap<u32, MessageId>], now: &BTreeMap<u32, MessageId>) {
    let announced = before.iter().filter_map(|rows| rows.keys().max()).max().copied().unwrap_or_default();
    for (uid, id) in now {
        let known: Vec<_> = before.iter().filter_map(|rows| rows.get(uid)).collect();
        assert!(known.iter().all(|known| *known == id), "UID {uid} meant {known:?} and means {id:?}");
        assert!(!known.is_empty() || *uid > announced, "UID {uid} appears below {announced}");
    }
}

/// Both go on alone under `local`: node 1 is promoted while they are apart.
async fn apart(nodes: &Nodes, zero: &Engine, one: &Engine) {
    nodes.between.set(Mode::Cut);
    until(zero, "cut", |status| !is_up(status)).await;
    until(one, "cut", |status| !is_up(status)).await;
    assert!(matches!(one.promote(false), Err(PersonError::MayLose(_))));
    one.promote(true).unwrap();
    until(one, "promoted", |status| status.role == Role::Master && status.applied == status.tail.seq).await;
}

async fn healed(nodes: &Nodes, old: &Engine, new: &Engine) {
    nodes.between.set(Mode::Pass);
    rebased(old, new).await;
    equal(new, old).await;
}

/// Waits until the old master follows in the new epoch, and its branch is done with.
async fn rebased(old: &Engine, new: &Engine) {
    until(old, "the old master follows", |status| {
        let epoch = new.status().borrow().tail.epoch;
        status.role == Role::Slave && status.tail.epoch == epoch && status.serving
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c01_to_c05_what_came_on_both_sides_is_united() {
    for (on_zero, on_one) in [(5, 0), (0, 5), (4, 4), (20, 7)] {
        let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
        for number in 0..5 {
            put(&zero, number).await;
        }
        equal(&zero, &one).await;
        apart(&nodes, &zero, &one).await;
        for number in 0..on_zero {
            put(&zero, 100 + number).await;
        }
        for number in 0..on_one {
            put(&one, 200 + number).await;
        }
        until(&zero, "applied", |status| status.messages == 5 + on_zero).await;
        until(&one, "applied", |status| status.messages == 5 + on_one).await;
        let before = [rows(&zero), rows(&one)];
        healed(&nodes, &zero, &one).await;
        let all: Vec<u64> = (0..5).chain(100..100 + on_zero).chain(200..200 + on_one).collect();
        assert_holds(&zero, &one, &all).await;
        assert_meanings(&before, &rows(&one));
        assert_eq!(rows(&one).len(), all.len());
        nodes.stop_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c16_u2_announced_uids_of_a_branch_are_reported_as_vanished_on_both_nodes() {
    let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
    put(&zero, 1).await;
    equal(&zero, &one).await;
    let known = tokio::task::block_in_place(|| {
        zero.reader().snapshot(|view| view.mailbox_status(common::INBOX)).unwrap().unwrap().mailbox.highest_modseq
    });
    apart(&nodes, &zero, &one).await;
    for number in 2..6 {
        put(&zero, number).await;
        put(&one, 100 + number).await;
    }
    until(&zero, "applied", |status| status.messages == 5).await;
    let announced: Vec<u32> = rows(&zero).into_keys().skip(1).collect();
    healed(&nodes, &zero, &one).await;
    for node in [&zero, &one] {
        let changes = tokio::task::block_in_place(|| {
            node.reader().snapshot(|view| view.changes_since(common::INBOX, known)).unwrap().unwrap()
        });
        let mailmirror_store::Vanished::These(vanished) = changes.vanished else { panic!("{:?}", changes.vanished) };
        let vanished: Vec<u32> = vanished.iter().map(|uid| uid.get()).collect();
        assert!(announced.iter().all(|uid| vanished.contains(uid)), "{announced:?} in {vanished:?}");
        assert_eq!(changes.changed.len(), 8, "four of each side, with new numbers");
    }
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c77_a_promotion_while_the_peer_is_connected_and_busy_loses_nothing() {
    let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
    let stop = tokio::sync::watch::Sender::new(false);
    let loads = [common::net::load(&zero, 0, stop.subscribe()), common::net::load(&one, 1_000_000, stop.subscribe())];
    for node in [&one, &zero, &one] {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        node.promote(true).unwrap();
        until(node, "master", |status| status.role == Role::Master && status.lag_entries.is_some()).await;
    }
    stop.send_replace(true);
    let mut acknowledged = Vec::new();
    for load in loads {
        acknowledged.extend(load.await.unwrap());
    }
    rebased(&zero, &one).await;
    equal(&one, &zero).await;
    assert_holds(&one, &zero, &acknowledged).await;
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c23_c34_mailboxes_and_accounts_created_on_both_sides_become_one() {
    let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
    apart(&nodes, &zero, &one).await;
    for (node, at) in [(&zero, 0_u64), (&one, 10)] {
        let new = |id: u64, name: &str, special_use| NewMailbox {
            mailbox: MailboxId(u128::from(id + at)),
            name: name.to_owned(),
            special_use,
        };
        let sent = if at == 0 { "Sent" } else { "Sent Items" };
        let made = vec![new(1000, "Work", None)];
        do_it(node, Change::CreateMailbox { account: ACCOUNT, mailboxes: made }).await.result.unwrap();
        let made = vec![new(1001, "Work", None), new(1002, "Work/deep", None)];
        do_it(node, Change::CreateMailbox { account: ACCOUNT, mailboxes: made }).await.result.unwrap();
        let made = vec![new(1003, sent, Some(SpecialUse::Sent))];
        do_it(node, Change::CreateMailbox { account: ACCOUNT, mailboxes: made }).await.result.unwrap();
        let account = AccountId(u128::from(77 + at));
        let create = Change::CreateAccount {
            account,
            address: "new@example.com".to_owned(),
            password: "x".to_owned(),
            mailboxes: vec![new(2000, "INBOX", None)],
            quota_bytes: None,
        };
        do_it(node, create).await.result.unwrap();
        for (number, mailbox) in [(1, 1000), (2, 1002), (3, 1003), (4, 2000)] {
            let (change, bodies) = mail_to(MailboxId(u128::from(mailbox + at)), 100 * (at + 1) + number);
            node.propose(change, bodies).await.unwrap().applied().await.unwrap().result.unwrap();
        }
    }
    healed(&nodes, &zero, &one).await;
    assert_holds(&zero, &one, &[]).await;
    for (mailbox, count) in [(1010, 2), (1012, 2), (1003, 1), (1013, 1), (2010, 2)] {
        let found =
            tokio::task::block_in_place(|| one.reader().snapshot(|view| view.rows(MailboxId(mailbox))).unwrap());
        assert_eq!(found.len(), count, "mailbox {mailbox}");
    }
    let problems = zero.status().borrow().problems.clone();
    assert!(problems.is_empty(), "{problems:?}");
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c30_a_branch_that_deleted_a_mailbox_leaves_what_came_since() {
    let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
    let work = NewMailbox { mailbox: WORK, name: "Work".to_owned(), special_use: None };
    do_it(&zero, Change::CreateMailbox { account: ACCOUNT, mailboxes: vec![work] }).await.result.unwrap();
    let (change, bodies) = mail_to(WORK, 1);
    zero.propose(change, bodies).await.unwrap().applied().await.unwrap().result.unwrap();
    equal(&zero, &one).await;
    apart(&nodes, &zero, &one).await;
    do_it(&zero, Change::DeleteMailbox { account: ACCOUNT, mailbox: WORK }).await.result.unwrap();
    let (change, bodies) = mail_to(WORK, 2);
    one.propose(change, bodies).await.unwrap().applied().await.unwrap().result.unwrap();
    healed(&nodes, &zero, &one).await;
    assert_holds(&zero, &one, &[]).await;
    let left = tokio::task::block_in_place(|| one.reader().snapshot(|view| view.rows(WORK)).unwrap());
    assert_eq!(
        left.iter().map(|row| row.id).collect::<Vec<_>>(),
        [MessageId(3)],
        "the old one is gone, the new one is not"
    );
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c36_mail_of_a_branch_for_a_mailbox_that_the_new_master_deleted_is_kept() {
    let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
    for (id, name) in [(0x770, "Work"), (0x771, "Play")] {
        let made = NewMailbox { mailbox: MailboxId(id), name: name.to_owned(), special_use: None };
        do_it(&zero, Change::CreateMailbox { account: ACCOUNT, mailboxes: vec![made] }).await.result.unwrap();
    }
    equal(&zero, &one).await;
    apart(&nodes, &zero, &one).await;
    for (number, id) in [(1, 0x770), (2, 0x771)] {
        let (change, bodies) = mail_to(MailboxId(id), number);
        zero.propose(change, bodies).await.unwrap().applied().await.unwrap().result.unwrap();
        do_it(&one, Change::DeleteMailbox { account: ACCOUNT, mailbox: MailboxId(id) }).await.result.unwrap();
    }
    let again = NewMailbox { mailbox: MailboxId(0x772), name: "Play".to_owned(), special_use: None };
    do_it(&one, Change::CreateMailbox { account: ACCOUNT, mailboxes: vec![again] }).await.result.unwrap();
    healed(&nodes, &zero, &one).await;
    // In INBOX, as its mailbox is gone; the other where the name is now.
    assert_holds(&zero, &one, &[1]).await;
    let play = tokio::task::block_in_place(|| one.reader().snapshot(|view| view.rows(MailboxId(0x772))).unwrap());
    assert_eq!(play.iter().map(|row| row.id).collect::<Vec<_>>(), [MessageId(3)]);
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c39_a_branch_that_deleted_an_account_leaves_what_came_since() {
    let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
    put(&zero, 1).await;
    equal(&zero, &one).await;
    apart(&nodes, &zero, &one).await;
    do_it(&zero, delete_account()).await.result.unwrap();
    put(&one, 2).await;
    healed(&nodes, &zero, &one).await;
    assert_holds(&zero, &one, &[2]).await;
    assert_eq!(rows(&one).len(), 1);
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn u2_a_branch_keeps_its_order_and_what_the_other_node_had_wanted_in_it() {
    // Changes of both nodes, in turn, each needing the one before: the branch is at the old master, which had put in
    // order what the other one wanted.
    let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
    nodes.between.set(Mode::Hold { to_zero: false, to_one: true });
    let mut wanted = Vec::new();
    for number in 0..40_u64 {
        let name = (0..=number / 10).map(|level| level.to_string()).collect::<Vec<_>>().join("/");
        let made = NewMailbox {
            mailbox: MailboxId(u128::from(1000 + number)),
            name: format!("{number} {name}"),
            special_use: None,
        };
        let create = Change::CreateMailbox { account: ACCOUNT, mailboxes: vec![made] };
        let (add, bodies) = mail_to(MailboxId(u128::from(1000 + number)), 500 + number);
        let (first, second) = if number % 2 == 0 { (&zero, &one) } else { (&one, &zero) };
        let tail = zero.status().borrow().tail.seq.0;
        wanted.push(first.propose(create, vec![]).await.unwrap());
        until(&zero, "in order", |status| status.tail.seq.0 > tail && status.applied == status.tail.seq).await;
        let tail = zero.status().borrow().tail.seq.0;
        wanted.push(second.propose(add, bodies).await.unwrap());
        until(&zero, "in order", |status| status.tail.seq.0 > tail && status.applied == status.tail.seq).await;
    }
    apart(&nodes, &zero, &one).await;
    healed(&nodes, &zero, &one).await;
    assert_holds(&zero, &one, &[]).await;
    for number in 0..40_u64 {
        let mailbox = MailboxId(u128::from(1000 + number));
        let found = tokio::task::block_in_place(|| one.reader().snapshot(|view| view.rows(mailbox)).unwrap());
        assert_eq!(found.len(), 1, "the message of mailbox {number}");
    }
    let problems = zero.status().borrow().problems.clone();
    assert!(problems.is_empty(), "{problems:?}");
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn u2_a_rebase_that_is_interrupted_goes_on() {
    let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
    put(&zero, 0).await;
    equal(&zero, &one).await;
    apart(&nodes, &zero, &one).await;
    for number in 1..1000 {
        let (change, bodies) = mail(number, "on the branch");
        let mut ticket = zero.propose(change, bodies).await.unwrap();
        if number % 100 == 0 {
            ticket.committed().await.unwrap();
        }
    }
    put(&zero, 1000).await;
    put(&one, 2000).await;
    until(&zero, "applied", |status| status.messages == 1001).await;
    let before = [rows(&zero), rows(&one)];
    drop(zero);
    nodes.between.set(Mode::Slow(1024));
    let messages = one.status().borrow().messages;
    until(&one, "a part of the branch", |status| status.messages > messages).await;
    nodes.stop(ZERO).await;
    let some = one.status().borrow().messages;
    assert!(some < 1002, "interrupted in the middle: {some}");
    let zero = nodes.start(ZERO).await;
    healed(&nodes, &zero, &one).await;
    let all: Vec<u64> = (0..=1000).chain([2000]).collect();
    assert_holds(&zero, &one, &all).await;
    assert_meanings(&before, &rows(&one));
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn u2_a_node_that_is_promoted_in_the_middle_of_its_rebase_does_the_rest_itself() {
    let (mut nodes, zero, one) = plain(AckPolicy::Local).await;
    put(&zero, 0).await;
    equal(&zero, &one).await;
    apart(&nodes, &zero, &one).await;
    for number in 1..600 {
        let (change, bodies) = mail(number, "on the branch");
        drop(zero.propose(change, bodies).await.unwrap());
    }
    put(&zero, 600).await;
    nodes.between.set(Mode::Pass);
    until(&one, "a part of the branch", |status| status.messages > 1).await;
    nodes.between.set(Mode::Cut);
    until(&zero, "cut", |status| !is_up(status)).await;
    zero.promote(true).unwrap();
    until(&zero, "the rest", |status| status.role == Role::Master && status.messages == 601).await;
    healed(&nodes, &one, &zero).await;
    let all: Vec<u64> = (0..=600).collect();
    assert_holds(&zero, &one, &all).await;
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn u1_a_master_by_accepted_loss_gives_out_no_number_before_the_gap() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    put(&zero, 1).await;
    nodes.stop(ZERO).await;
    drop(zero);
    let next = authority.current().promote_accepting_loss(member(&one), None);
    authority.write(next);
    until(&one, "master", |status| status.role == Role::Master).await;
    // While it waits for a grant.
    let changes: Vec<_> = (2..6)
        .map(|number| {
            let one = one.clone();
            tokio::spawn(async move {
                let (change, bodies) = mail(number, "early");
                one.propose(change, bodies).await.unwrap().applied().await.unwrap().result.unwrap();
            })
        })
        .collect();
    for change in changes {
        change.await.unwrap();
    }
    let found = rows(&one);
    assert_eq!(found.len(), 5);
    assert!(found.keys().skip(1).all(|uid| *uid > 1 << 20), "{found:?}");
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a4_a_promoted_member_has_all_and_what_was_never_answered_is_there_at_most_once() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    for number in 0..20 {
        put(&zero, number).await;
    }
    nodes.between.set(Mode::Hold { to_zero: true, to_one: true });
    let mut unanswered = Vec::new();
    for number in 20..40 {
        let (change, bodies) = mail(number, "never answered");
        unanswered.push(zero.propose(change, bodies).await.unwrap());
    }
    assert!(authority.promote(&one));
    until(&one, "the new master", |status| status.role == Role::Master && status.in_office).await;
    put(&one, 50).await;
    nodes.between.set(Mode::Pass);
    whole(&authority, &one, &zero).await;
    rebased(&zero, &one).await;
    whole(&authority, &one, &zero).await;
    let mut all: Vec<u64> = (0..20).collect();
    all.push(50);
    assert_holds(&one, &zero, &all).await;
    // What was re-submitted is there once too; nothing else is.
    assert_eq!(rows(&one).values().collect::<std::collections::BTreeSet<_>>().len(), rows(&one).len());
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c61_a_master_on_an_older_copy_of_its_volume_becomes_another_store_and_its_peer_takes_over() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    put(&zero, 1).await;
    drop((zero, one));
    nodes.stop_all().await;
    let copy = nodes.dir.path().join("copy");
    copy_all(&nodes.store_dir(ZERO), &copy);
    let (zero, one) = (nodes.start(ZERO).await, nodes.start(ONE).await);
    until(&zero, "master", |status| status.role == Role::Master && status.in_office).await;
    for number in 2..10 {
        put(&zero, number).await;
    }
    let old_store = member(&zero).store;
    drop((zero, one));
    nodes.stop_all().await;
    std::fs::remove_dir_all(nodes.store_dir(ZERO)).unwrap();
    std::fs::rename(&copy, nodes.store_dir(ZERO)).unwrap();

    let one = nodes.start(ONE).await;
    let zero = nodes.start(ZERO).await;
    let why = tokio::time::timeout(std::time::Duration::from_secs(20), zero.stopped()).await.unwrap();
    assert!(why.unwrap().contains("older copy"));
    nodes.stop(ZERO).await;
    drop(zero);
    let zero = nodes.start(ZERO).await;
    assert_ne!(member(&zero).store, old_store);
    authority.serve(&zero);
    authority.serve(&one);
    assert!(authority.promote(&one), "the slave is a member still");
    whole(&authority, &one, &zero).await;
    let all: Vec<u64> = (1..10).collect();
    assert_holds(&one, &zero, &all).await;
    nodes.stop_all().await;
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for found in std::fs::read_dir(from).unwrap() {
        let found = found.unwrap();
        if found.file_type().unwrap().is_dir() {
            copy_all(&found.path(), &to.join(found.file_name()));
        } else {
            std::fs::copy(found.path(), to.join(found.file_name())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a10_a_person_swaps_the_roles_under_load_and_back() {
    for policy in [AckPolicy::Local, AckPolicy::Peer] {
        let (mut nodes, zero, one) = plain(policy).await;
        let stop = tokio::sync::watch::Sender::new(false);
        let loads =
            [common::net::load(&zero, 0, stop.subscribe()), common::net::load(&one, 1_000_000, stop.subscribe())];
        for _ in 0..3 {
            for (old, new) in [(&zero, &one), (&one, &zero)] {
                until(old, "master with its slave", |status| {
                    status.role == Role::Master
                        && status.lag_entries.is_some()
                        && status.ready.is_none()
                        && status.in_office
                })
                .await;
                old.swap().await.unwrap();
                until(new, "the new master", |status| status.role == Role::Master && status.in_office).await;
            }
        }
        stop.send_replace(true);
        let mut acknowledged = Vec::new();
        for load in loads {
            acknowledged.extend(load.await.unwrap());
        }
        equal(&zero, &one).await;
        assert_holds(&zero, &one, &acknowledged).await;
        assert!(acknowledged.len() > 10, "{}", acknowledged.len());
        let at_most: u32 = rows(&zero).keys().max().copied().unwrap_or_default();
        assert!(at_most < 1 << 20, "clean epochs have no gap: {at_most}");
        nodes.stop_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_an_index_is_built_anew_under_load() {
    let mut nodes = Nodes::new(LOCAL).await;
    let zero = nodes.start(ZERO).await;
    until(&zero, "the first role", |status| status.role == Role::Master).await;
    do_it(&zero, create_account()).await.result.unwrap();
    let stop = tokio::sync::watch::Sender::new(false);
    let load = common::net::load(&zero, 0, stop.subscribe());
    for round in 1..4 {
        until(&zero, "some mail", |status| status.messages > round * 50).await;
        assert_eq!(zero.rebuild_index().await.map(|_| ()).map_err(|error| error.to_string()), Ok(()));
    }
    stop.send_replace(true);
    let acknowledged = load.await.unwrap();
    zero.read_point().await.unwrap();
    let found = rows(&zero);
    assert_eq!(found.len(), acknowledged.len());
    assert_eq!(zero.status().borrow().counters.in_failed, 0);
    nodes.stop_all().await;
}
