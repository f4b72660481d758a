//! A store that has forgotten which messages went (rule L6).

use futures::future::BoxFuture;
use mailmirror_control::status::NodeStatus;
use mailmirror_model::ids::{AccountId, BodyId, MailboxId, ModSeq, Uid};
use mailmirror_model::operation::Change;
use mailmirror_model::outcome::Touched;
use mailmirror_model::state::{Account, Mailbox};
use tokio::sync::{broadcast, watch};

use super::*;
use crate::service::memory::settings;
use crate::service::{
    BodyError, ChangeError, Core, Counts, MessageRow, Pending, ReadError, ShowError, Snapshot, Source, Vanished,
};

struct Forgetful(Arc<MemoryCore>);
struct ForgetfulSource(Arc<dyn Source>);
struct ForgetfulMoment<'a>(&'a dyn Snapshot);

impl Core for Forgetful {
    fn propose(&self, change: Change, bodies: Vec<Bytes>) -> BoxFuture<'_, Result<Box<dyn Pending>, ChangeError>> {
        self.0.propose(change, bodies)
    }
    fn read_point(&self) -> BoxFuture<'_, Result<Arc<dyn Source>, ShowError>> {
        Box::pin(async { Ok(Arc::new(ForgetfulSource(self.0.read_point().await?)) as Arc<dyn Source>) })
    }
    fn reader(&self) -> Arc<dyn Source> {
        Arc::new(ForgetfulSource(self.0.reader()))
    }
    fn body(&self, body: BodyId) -> BoxFuture<'_, Result<Bytes, BodyError>> {
        self.0.body(body)
    }
    fn touched(&self) -> broadcast::Receiver<Arc<[Touched]>> {
        self.0.touched()
    }
    fn status(&self) -> watch::Receiver<Arc<NodeStatus>> {
        self.0.status()
    }
}

impl Source for ForgetfulSource {
    fn look(&self, question: &mut dyn FnMut(&dyn Snapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.0.look(&mut |moment| question(&ForgetfulMoment(moment)))
    }
}

impl Snapshot for ForgetfulMoment<'_> {
    fn account(&self, id: AccountId) -> Result<Option<Account>, ReadError> {
        self.0.account(id)
    }
    fn account_by_address(&self, address: &str) -> Result<Option<AccountId>, ReadError> {
        self.0.account_by_address(address)
    }
    fn find_accounts(&self, part: &str, limit: usize) -> Result<Vec<Account>, ReadError> {
        self.0.find_accounts(part, limit)
    }
    fn used_bytes(&self, account: AccountId) -> Result<u64, ReadError> {
        self.0.used_bytes(account)
    }
    fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, ReadError> {
        self.0.mailbox(id)
    }
    fn mailbox_by_name(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, ReadError> {
        self.0.mailbox_by_name(account, name)
    }
    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, ReadError> {
        self.0.mailboxes(account)
    }
    fn subscriptions(&self, account: AccountId) -> Result<Vec<String>, ReadError> {
        self.0.subscriptions(account)
    }
    fn counts(&self, mailbox: MailboxId) -> Result<Counts, ReadError> {
        self.0.counts(mailbox)
    }
    fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<MessageRow>, ReadError> {
        self.0.message(mailbox, uid)
    }
    fn messages(&self, mailbox: MailboxId) -> Result<Vec<MessageRow>, ReadError> {
        self.0.messages(mailbox)
    }
    fn changed_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vec<MessageRow>, ReadError> {
        self.0.changed_since(mailbox, since)
    }
    fn vanished_since(&self, _: MailboxId, _: ModSeq) -> Result<Vanished, ReadError> {
        Ok(Vanished::AllAbsent)
    }
}

#[tokio::test]
async fn l6_below_the_floor_every_absent_uid_has_vanished() {
    let (_, core) = service();
    let forgetful = Service::new(Arc::new(Forgetful(core)), watch::channel(Arc::new(settings())).1);
    let server = start_on(forgetful, |_| {}).await;
    server.deliver_many(6).await;
    let (mut client, mut other) = (server.in_inbox().await, server.in_inbox().await);
    other.ok("STORE 2,5 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    assert_eq!(client.ok("NOOP").await, ["* 2 EXPUNGE", "* 4 EXPUNGE"], "an open session knows what it counts");
    client.ok("ENABLE QRESYNC").await;
    let opened = client.ok("SELECT INBOX").await;
    let number = |word: &str| {
        let line = opened.iter().find(|line| line.contains(word)).unwrap();
        line.split(word).nth(1).unwrap().split(']').next().unwrap().trim().to_owned()
    };
    let (validity, modseq) = (number("[UIDVALIDITY"), number("[HIGHESTMODSEQ"));
    let lines = client.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq}))")).await;
    assert_eq!(with(&lines, "VANISHED"), ["* VANISHED (EARLIER) 2,5"]);
    // By the sequence numbers that the client remembers it agrees up to UID 4.
    let lines = client.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:6 (1,3 1,4)))")).await;
    assert_eq!(with(&lines, "VANISHED"), ["* VANISHED (EARLIER) 5"]);
    let lines = client.ok(&format!("UID FETCH 4:* FLAGS (CHANGEDSINCE {modseq} VANISHED)")).await;
    assert_eq!(with(&lines, "VANISHED"), ["* VANISHED (EARLIER) 5"]);
}
