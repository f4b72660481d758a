//! What is offered.

use mailmirror_imap_proto::command::EnableCapability;

/// Always, TLS or login aside.
const ALWAYS: [&str; 5] = ["IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE"];
/// After a login.
const LOGGED_IN: [&str; 14] = [
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "MOVE",
    "UNSELECT",
    "CONDSTORE",
    "QRESYNC",
    "CHILDREN",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "ESEARCH",
    "STATUS=SIZE",
];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    /// A login is possible only before one.
    pub(super) logged_in: bool,
    /// TLS can be started.
    pub(super) can_start_tls: bool,
    /// A password would be taken.
    pub(super) may_log_in: bool,
}

/// The capabilities for this client now.
pub(super) fn capabilities(asker: Asker) -> Vec<&'static str> {
    let mut all = ALWAYS.to_vec();
    if asker.logged_in {
        all.extend(LOGGED_IN);
        return all;
    }
    if asker.can_start_tls {
        all.push("STARTTLS");
    }
    all.push(if asker.may_log_in { "AUTH=PLAIN" } else { "LOGINDISABLED" });
    all
}

/// What ENABLE has switched on (RFC 5161, RFC 7162).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Enabled {
    pub(super) condstore: bool,
    pub(super) qresync: bool,
}

impl Enabled {
    /// Switches on what is known, and says what that was.
    pub(super) fn enable(&mut self, wanted: Vec<EnableCapability>) -> Vec<EnableCapability> {
        let known = |wanted: &EnableCapability| !matches!(wanted, EnableCapability::Other(_));
        let known: Vec<EnableCapability> = wanted.into_iter().filter(known).collect();
        self.qresync |= known.contains(&EnableCapability::QResync);
        // QRESYNC implies CONDSTORE (RFC 7162 section 3.2.3).
        self.condstore |= !known.is_empty();
        known
    }
}
