//! What a client was told on a node, and whether what it is told later agrees with it (promises P1, P2; rules U1-U4).

use super::pair::Node;
use mailmirror_model::ids::{AccountId, MailboxId, Uid};
use mailmirror_model::state::{Account, Mailbox};
use mailserver::service::{MessageRow, Snapshot, Vanished};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a node shows at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub accounts: Vec<Account>,
    pub subscriptions: BTreeMap<AccountId, Vec<String>>,
    pub mailboxes: BTreeMap<MailboxId, (Mailbox, Vec<MessageRow>)>,
}

impl Look {
    /// After a read point, as a client sees it.
    pub async fn at(node: &Node) -> Self {
        node.service.show().await.unwrap().read(|snapshot| Self::read(snapshot)).await.unwrap()
    }

    fn read(snapshot: &dyn Snapshot) -> Result<Self, mailserver::service::ReadError> {
        let accounts = snapshot.find_accounts("", 10_000)?;
        let (mut subscriptions, mut mailboxes) = (BTreeMap::new(), BTreeMap::new());
        for account in &accounts {
            subscriptions.insert(account.id, snapshot.subscriptions(account.id)?);
            for mailbox in snapshot.mailboxes(account.id)? {
                let rows = snapshot.messages(mailbox.id)?;
                mailboxes.insert(mailbox.id, (mailbox, rows));
            }
        }
        Ok(Self { accounts, subscriptions, mailboxes })
    }

    pub fn mailbox(&self, account: AccountId, name: &str) -> Option<&(Mailbox, Vec<MessageRow>)> {
        self.mailboxes.values().find(|(mailbox, _)| mailbox.account == account && mailbox.name == name)
    }

    /// Checks that a client that was told this before, and is told `now`, is told nothing wrong. Mailboxes of `known`
    /// were there on both nodes: they keep their UIDVALIDITY.
    pub async fn is_kept_by(&self, now: &Self, node: &Node, known: &BTreeSet<MailboxId>) {
        for (id, (before, rows)) in &self.mailboxes {
            let Some((after, now_rows)) = now.mailboxes.get(id) else {
                if let Some((other, _)) = now.mailbox(before.account, &before.name) {
                    assert_ne!(other.uid_validity, before.uid_validity, "u4: another mailbox named {}", before.name);
                }
                continue;
            };
            if before.uid_validity == after.uid_validity {
                check_mailbox((before, rows), (after, now_rows), node).await;
            } else {
                let is_renamed = before.name != after.name;
                assert!(!known.contains(id) || is_renamed, "u4: UIDVALIDITY of {} changed", before.name);
            }
        }
    }
}

async fn check_mailbox(
    (before, rows): (&Mailbox, &[MessageRow]),
    (after, now_rows): (&Mailbox, &[MessageRow]),
    node: &Node,
) {
    let name = &before.name;
    assert!(after.uid_next >= before.uid_next, "u1: UIDNEXT of {name} fell");
    assert!(after.highest_modseq >= before.highest_modseq, "u1: HIGHESTMODSEQ of {name} fell");
    for row in now_rows {
        let known = rows.iter().find(|known| known.uid == row.uid);
        let is_told = row.modseq > before.highest_modseq;
        if let Some(known) = known {
            let (uid, same) = (row.uid, (known.id, known.body) == (row.id, row.body));
            assert!(same, "u4: UID {uid:?} of {name} has another meaning");
            assert!(known.flags == row.flags || is_told, "u3: flags of UID {uid:?} of {name} changed unseen");
        } else {
            let is_above = before.uid_next.is_some_and(|next| row.uid >= next);
            assert!(is_above, "u2: UID {:?} of {name} came below the announced UIDNEXT", row.uid);
            assert!(is_told, "u3: UID {:?} of {name} came unseen", row.uid);
        }
    }
    let present: BTreeSet<Uid> = now_rows.iter().map(|row| row.uid).collect();
    let (id, since) = (before.id, before.highest_modseq);
    let vanished = node.service.show().await.unwrap().read(move |view| view.vanished_since(id, since)).await.unwrap();
    for row in rows.iter().filter(|row| !present.contains(&row.uid)) {
        let is_told = match &vanished {
            Vanished::Uids(uids) => uids.contains(&row.uid),
            Vanished::AllAbsent => true,
        };
        assert!(is_told, "u2: UID {:?} of {name} went unseen", row.uid);
    }
}
