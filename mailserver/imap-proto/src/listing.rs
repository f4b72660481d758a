//! What LIST and LSUB answer (RFC 3501 sections 6.3.8 and 6.3.9, RFC 5258, RFC 6154), from what is known of the
//! mailboxes.

use std::collections::BTreeMap;

use crate::command::List;
use crate::response::{ListAttribute, ListEntry};
use crate::types::{DELIMITER, ListPattern, MailboxName, SpecialUse};

/// What is known of a name. A subscription without a mailbox is a name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The name.
    pub name: MailboxName,
    /// Is there a mailbox of this name?
    pub exists: bool,
    /// Is it subscribed?
    pub subscribed: bool,
    /// What the mailbox is for.
    pub special_use: Option<SpecialUse>,
}

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: MailboxName,
    /// Its attributes.
    pub attributes: Vec<ListAttribute>,
    /// Something below it is subscribed, and RECURSIVEMATCH was asked for.
    pub child_info_subscribed: bool,
    /// There is such a mailbox: with `RETURN (STATUS …)` its STATUS follows.
    pub exists: bool,
}

impl Listed {
    /// For [`crate::response::ResponseBuffer::list`] and [`crate::response::ResponseBuffer::lsub`].
    pub fn entry(&self) -> ListEntry<'_> {
        ListEntry { name: &self.name, attributes: &self.attributes, child_info_subscribed: self.child_info_subscribed }
    }
}

/// What LIST answers; INBOX first, the others by name. The empty pattern is no matter of mailboxes: answer it with
/// [`crate::response::ResponseBuffer::list_root`].
pub fn list(command: &List, known: &[Known]) -> Vec<Listed> {
    let patterns: Vec<ListPattern> = command
        .patterns
        .iter()
        .filter(|pattern| !pattern.is_empty())
        .map(|pattern| pattern.under(&command.reference))
        .collect();
    let nodes = nodes(known, |name| command.selects(name));
    let mut listed = Vec::new();
    for (name, node) in nodes {
        let is_level = node.known.is_none_or(|known| !known.exists) && node.child_exists;
        let parent_of_match = command.select.recursive_match && node.child_selected;
        let unselective = !command.select.subscribed && !command.select.special_use;
        let wanted =
            node.known.is_some_and(|known| command.selects(known)) || parent_of_match || (is_level && unselective);
        if wanted && patterns.iter().any(|pattern| pattern.matches(&name)) {
            listed.push(Listed {
                attributes: command.attributes(&node),
                child_info_subscribed: parent_of_match && command.select.subscribed,
                exists: node.known.is_some_and(|known| known.exists),
                name,
            });
        }
    }
    inbox_first(listed)
}

/// What LSUB answers. A level above a subscribed name is told, as `\Noselect`, when the pattern has `%` and only the
/// level matches (RFC 3501 section 6.3.9).
pub fn lsub(reference: &ListPattern, pattern: &ListPattern, known: &[Known]) -> Vec<Listed> {
    let pattern = pattern.under(reference);
    let has_percent = pattern.as_str().contains('%');
    let mut listed = Vec::new();
    for (name, node) in nodes(known, |known| known.subscribed) {
        let subscribed = node.known.is_some_and(|known| known.subscribed);
        let wanted = subscribed || (has_percent && node.child_selected);
        if wanted && pattern.matches(&name) {
            let attributes = if subscribed { Vec::new() } else { vec![ListAttribute::NoSelect] };
            listed.push(Listed {
                name,
                attributes,
                child_info_subscribed: false,
                exists: node.known.is_some_and(|known| known.exists),
            });
        }
    }
    inbox_first(listed)
}

impl List {
    /// Is the name meant by the selection options?
    fn selects(&self, known: &Known) -> bool {
        let select = &self.select;
        (known.exists || select.subscribed)
            && (known.subscribed || !select.subscribed)
            && (known.special_use.is_some() || !select.special_use)
    }

    fn attributes(&self, node: &Node<'_>) -> Vec<ListAttribute> {
        let mut attributes = Vec::new();
        if node.known.is_none_or(|known| !known.exists) {
            // `\NonExistent` implies `\Noselect`, but only who writes the extended syntax knows that.
            attributes.push(if self.extended { ListAttribute::NonExistent } else { ListAttribute::NoSelect });
        }
        let subscribed = node.known.is_some_and(|known| known.subscribed);
        if subscribed && (self.select.subscribed || self.returns.subscribed) {
            attributes.push(ListAttribute::Subscribed);
        }
        // Told unasked too: cheap, allowed (RFC 3348, RFC 6154 section 2), and many clients never ask.
        attributes.push(if node.child_exists { ListAttribute::HasChildren } else { ListAttribute::HasNoChildren });
        let special_use = node.known.and_then(|known| known.special_use);
        attributes.extend(special_use.map(ListAttribute::SpecialUse));
        attributes
    }
}

/// A name, or a level above one.
#[derive(Default)]
struct Node<'a> {
    known: Option<&'a Known>,
    /// Something below it exists.
    child_exists: bool,
    /// Something below it is selected.
    child_selected: bool,
}

fn nodes(known: &[Known], selected: impl Fn(&Known) -> bool) -> BTreeMap<MailboxName, Node<'_>> {
    let mut nodes: BTreeMap<MailboxName, Node<'_>> = BTreeMap::new();
    for known in known {
        let is_selected = selected(known);
        let mut level = known.name.parent();
        while let Some(name) = level {
            level = name.parent();
            let node = nodes.entry(name).or_default();
            node.child_exists |= known.exists;
            node.child_selected |= is_selected;
        }
        nodes.entry(known.name.clone()).or_default().known = Some(known);
    }
    nodes
}

fn inbox_first(mut listed: Vec<Listed>) -> Vec<Listed> {
    listed.sort_by_key(|line| {
        let first = line.name.as_str().split(DELIMITER).next();
        first != Some("INBOX")
    });
    listed
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
