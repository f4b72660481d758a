//! Names of mailboxes: `/` between levels, `INBOX` in any letter case, at most [`NAME_MAX_BYTES`].

use super::ChangeError;
use mailmirror_model::ids::MailboxId;
use mailmirror_model::operation::{NewMailbox, SpecialUse};

/// The longest full name, in bytes of UTF-8.
pub const NAME_MAX_BYTES: usize = 512;
/// The most levels of a name.
pub const LEVELS_MAX: usize = 20;
/// The most mailboxes of one account.
pub const MAILBOXES_MAX: usize = 10_000;

/// The name as it is kept: its first level `INBOX` in capitals, no `/` at the end.
pub fn canonical(name: &str) -> String {
    let name = name.strip_suffix('/').unwrap_or(name);
    let (first, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    if first.eq_ignore_ascii_case("INBOX") { format!("INBOX{rest}") } else { name.to_owned() }
}

/// The name as it is kept, if a new mailbox may have it.
pub fn check(name: &str) -> Result<String, ChangeError> {
    let name = canonical(name);
    let bad = |why: String| Err(ChangeError::BadName(why));
    if name.len() > NAME_MAX_BYTES {
        return bad(format!("a mailbox name may have {NAME_MAX_BYTES} bytes"));
    }
    if name.split('/').any(|level| level.is_empty() || level.trim() != level) {
        return bad("a level of a mailbox name is empty, or begins or ends with a space".to_owned());
    }
    if name.split('/').count() > LEVELS_MAX {
        return bad(format!("a mailbox name may have {LEVELS_MAX} levels"));
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '*' | '%')) {
        return bad("a mailbox name may hold neither control characters nor * or %".to_owned());
    }
    Ok(name)
}

/// A mailbox to be created behind those above it. Which of them are there already is decided where they are created.
pub fn with_parents(name: &str, role: Option<SpecialUse>, mut identity: impl FnMut() -> MailboxId) -> Vec<NewMailbox> {
    let mut all = parents(name, &mut identity);
    all.push(NewMailbox { mailbox: identity(), name: name.to_owned(), special_use: role });
    all
}

/// The mailboxes above this name. `INBOX` is always there.
pub fn parents(name: &str, identity: &mut impl FnMut() -> MailboxId) -> Vec<NewMailbox> {
    let ends = name.match_indices('/').map(|(at, _)| &name[..at]);
    ends.filter(|parent| *parent != "INBOX")
        .map(|parent| NewMailbox { mailbox: identity(), name: parent.to_owned(), special_use: None })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn inbox_is_one_name_in_any_letter_case_also_above_others() {
        assert_eq!(canonical("inBox"), "INBOX");
        assert_eq!(canonical("Inbox/Work"), "INBOX/Work");
        assert_eq!(canonical("Inboxes"), "Inboxes");
        assert_eq!(canonical("Work/"), "Work");
    }

    #[test]
    fn names_that_no_mailbox_can_have_are_refused_with_a_reason() {
        for bad in ["", "/", "/a", "a//b", "a/ b", "a*", "a%b", "a\nb", &"x".repeat(513), &vec!["l"; 21].join("/")] {
            assert!(matches!(check(bad), Err(ChangeError::BadName(_))), "{bad:?}");
        }
        assert_eq!(check("Übung/März").unwrap(), "Übung/März");
    }

    #[test]
    fn the_levels_above_come_first() {
        let mut next = 0;
        let made = with_parents("a/b/c", None, || {
            next += 1;
            MailboxId(next)
        });
        let names: Vec<_> = made.iter().map(|new| new.name.as_str()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c"]);
        assert_eq!(with_parents("INBOX/x", None, || MailboxId(1)).len(), 1);
    }
}
