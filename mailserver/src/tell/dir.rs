//! What an account holds, in lines that are the same on both nodes when they are equal.

use super::{Answer, Teller};
use crate::service::{MessageRow, ReadError, Snapshot, View};
use mailmirror_model::ids::AccountId;
use mailmirror_model::state::Mailbox;

/// The most lines of one answer: it has to fit into what a client reads.
pub(super) const LINES_MAX: usize = 200_000;

impl Teller {
    pub(super) async fn dir(&self, user: &str, folder: Option<&str>) -> Answer {
        let account =
            self.service().find_account(user).await.map_err(|error| format!("failed to find {user}: {error}"))?;
        let lines = lines(&self.view().await, account.id, folder.map(str::to_owned)).await;
        let lines = lines.map_err(|error| error.to_string())?;
        if lines.is_empty() {
            return Err(format!("{user} has no mailbox {:?}", folder.unwrap_or("INBOX")));
        }
        if lines.len() > LINES_MAX {
            return Err(format!("more than {LINES_MAX} lines: name a folder (tellmail dir {user} FOLDER)"));
        }
        let mut text = lines.join("\n");
        text.push('\n');
        Ok((text, lines.into()))
    }
}

/// The lines of an account, or of one of its mailboxes. One more than [`LINES_MAX`] at most.
pub(super) async fn lines(view: &View, account: AccountId, folder: Option<String>) -> Result<Vec<String>, ReadError> {
    view.read(move |snapshot| {
        let mut lines = Vec::new();
        if folder.is_none() {
            lines.extend(snapshot.subscriptions(account)?.into_iter().map(|name| format!("subscribed {name:?}")));
        }
        for mailbox in snapshot.mailboxes(account)? {
            if folder.as_ref().is_none_or(|folder| same_name(folder, &mailbox.name)) {
                mailbox_lines(snapshot, &mailbox, &mut lines)?;
            }
            if lines.len() > LINES_MAX {
                lines.truncate(LINES_MAX + 1);
                break;
            }
        }
        Ok(lines)
    })
    .await
}

fn mailbox_lines(snapshot: &dyn Snapshot, mailbox: &Mailbox, lines: &mut Vec<String>) -> Result<(), ReadError> {
    let uid_next = mailbox.uid_next.map_or_else(|| "-".to_owned(), |uid| uid.to_string());
    lines.push(format!(
        "{:?} uidvalidity={} uidnext={uid_next} highestmodseq={}",
        mailbox.name, mailbox.uid_validity, mailbox.highest_modseq
    ));
    lines.extend(snapshot.messages(mailbox.id)?.iter().map(|message| message_line(&mailbox.name, message)));
    Ok(())
}

fn message_line(mailbox: &str, message: &MessageRow) -> String {
    let flags: Vec<_> = message.flags.iter().map(ToString::to_string).collect();
    format!(
        "{mailbox:?} uid={} modseq={} flags=({}) size={} date={} body={}",
        message.uid,
        message.modseq,
        flags.join(" "),
        message.size_bytes,
        message.internal_date_seconds,
        message.body
    )
}

fn same_name(wanted: &str, name: &str) -> bool {
    wanted == name || (name == "INBOX" && wanted.eq_ignore_ascii_case(name))
}
