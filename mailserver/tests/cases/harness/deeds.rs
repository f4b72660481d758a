//! What people do on a node. Messages are known by a label, which is their subject.

use super::pair::{A, B, Pair};
use super::promises::Look;
use bytes::Bytes;
use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{BodyId, MailboxId, NodeId};
use mailmirror_model::outcome::Placed;
use mailserver::service::{FlagAction, MessageRow, NewMessage, Service};

impl Pair {
    fn body(&self, label: &str) -> Bytes {
        let body = Bytes::from(format!("Subject: {label}\r\n\r\n{label}\r\n"));
        self.labels.lock().unwrap().insert(BodyId::of(&body), label.to_owned());
        body
    }

    pub async fn mailbox(&self, at: NodeId, name: &str) -> MailboxId {
        let view = self.node(at).service.show().await.unwrap();
        view.mailbox(self.ann.id, name).await.unwrap().expect(name).id
    }

    pub async fn row(&self, at: NodeId, mailbox: &str, label: &str) -> MessageRow {
        let id = self.mailbox(at, mailbox).await;
        let opened = self.node(at).service.show().await.unwrap().open(id).await.unwrap().unwrap();
        let body = BodyId::of(&self.body(label));
        opened.messages.into_iter().find(|row| row.body == body).expect(label)
    }

    /// APPEND.
    pub async fn add(&self, at: NodeId, mailbox: &str, label: &str) -> Placed {
        let id = self.mailbox(at, mailbox).await;
        let message = NewMessage { body: self.body(label), flags: Vec::new(), internal_date_seconds: 1 };
        self.node(at).service.append(&self.ann, id, message).await.unwrap().unwrap()
    }

    pub async fn add_all(&self, at: NodeId, mailbox: &str, labels: &[&str]) {
        for label in labels {
            self.add(at, mailbox, label).await;
        }
    }

    /// As SMTP does it.
    pub async fn deliver(&self, at: NodeId, label: &str) {
        self.node(at).service.deliver(&[self.ann.id], self.body(label), 1).await.unwrap();
    }

    pub async fn deliver_to(&self, at: NodeId, label: String) {
        self.deliver(at, &label).await;
    }

    pub async fn deliver_by(&self, service: &Service, label: &str) {
        service.deliver(&[self.ann.id], self.body(label), 1).await.unwrap();
    }

    pub async fn set(&self, at: NodeId, mailbox: &str, label: &str, flags: &str) {
        self.store(at, mailbox, label, FlagAction::Add, flags).await;
    }

    pub async fn clear(&self, at: NodeId, mailbox: &str, label: &str, flags: &str) {
        self.store(at, mailbox, label, FlagAction::Remove, flags).await;
    }

    async fn store(&self, at: NodeId, mailbox: &str, label: &str, action: FlagAction, flags: &str) {
        let (id, row) = (self.mailbox(at, mailbox).await, self.row(at, mailbox, label).await);
        let flags: Vec<Flag> = flags.split(' ').map(|flag| Flag::parse(flag).unwrap()).collect();
        self.node(at).service.store_flags(&self.ann, id, &[row.target()], action, &flags, None).await.unwrap();
    }

    pub async fn expunge(&self, at: NodeId, mailbox: &str, label: &str) {
        let (id, row) = (self.mailbox(at, mailbox).await, self.row(at, mailbox, label).await);
        self.node(at).service.expunge(&self.ann, id, &[row.target()]).await.unwrap();
    }

    pub async fn copy(&self, at: NodeId, from: &str, label: &str, to: &str) {
        let (source, target) = (self.mailbox(at, from).await, self.mailbox(at, to).await);
        let row = self.row(at, from, label).await;
        let copied = self.node(at).service.copy(&self.ann, source, &[row.target()], target).await.unwrap();
        assert_eq!(copied.len(), 1);
    }

    pub async fn move_to(&self, at: NodeId, from: &str, label: &str, to: &str) {
        let (source, target) = (self.mailbox(at, from).await, self.mailbox(at, to).await);
        let row = self.row(at, from, label).await;
        let moved = self.node(at).service.move_messages(&self.ann, source, &[row.target()], target).await.unwrap();
        assert_eq!(moved.len(), 1);
    }

    pub async fn create(&self, at: NodeId, name: &str) {
        self.node(at).service.create_mailbox(&self.ann, name, None).await.unwrap();
    }

    pub async fn rename(&self, at: NodeId, from: &str, to: &str) {
        self.node(at).service.rename_mailbox(&self.ann, from, to).await.unwrap();
    }

    pub async fn delete(&self, at: NodeId, name: &str) {
        self.node(at).service.delete_mailbox(&self.ann, name).await.unwrap();
    }

    pub async fn subscribe(&self, at: NodeId, name: &str, subscribed: bool) {
        self.node(at).service.subscribe(&self.ann, name, subscribed).await.unwrap();
    }

    /// Labels and flags of all messages in a mailbox of ann, sorted; both nodes hold the same.
    pub async fn content(&self, mailbox: &str) -> Vec<String> {
        let look = Look::at(&self.node(A)).await;
        let (_, rows) = look.mailbox(self.ann.id, mailbox).expect(mailbox);
        let labels = self.labels.lock().unwrap();
        let mut found: Vec<String> = rows
            .iter()
            .map(|row| {
                let label = labels.get(&row.body).expect("a message that was given").clone();
                row.flags.iter().fold(label, |text, flag| format!("{text} {flag}"))
            })
            .collect();
        found.sort();
        found
    }

    /// How many messages a node shows.
    pub async fn count(&self, at: NodeId) -> usize {
        Look::at(&self.node(at)).await.mailboxes.values().map(|(_, rows)| rows.len()).sum()
    }

    /// Labels of all messages of ann wherever they are, sorted.
    pub async fn everything(&self) -> Vec<String> {
        let mut all = Vec::new();
        for name in self.names().await {
            all.extend(self.content(&name).await);
        }
        all.sort();
        all
    }

    /// The mailboxes of ann, sorted.
    pub async fn names(&self) -> Vec<String> {
        let look = Look::at(&self.node(B)).await;
        let owned = look.mailboxes.values().filter(|(mailbox, _)| mailbox.account == self.ann.id);
        let mut names: Vec<String> = owned.map(|(mailbox, _)| mailbox.name.clone()).collect();
        names.sort();
        names
    }

    /// Those that an account does not begin with.
    pub async fn own_names(&self) -> Vec<String> {
        let mut names = self.names().await;
        names.retain(|name| !["INBOX", "Sent", "Trash", "Archive"].contains(&name.as_str()));
        names
    }
}
