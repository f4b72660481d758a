//! The commands of `tellmail`, as values: `POST /v1/tell` takes a [`Tell`] and answers a [`Told`].

use serde::{Deserialize, Serialize};

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Tell {
    /// The status in the words of the administrator: the two mirror lines and what stands beside them.
    Status,
    /// Creates an account.
    AddUser {
        /// `local@domain`.
        address: String,
        /// In plain text; only its hash is kept.
        password: String,
    },
    /// Deletes an account with its mail.
    DeleteUser {
        /// `local@domain`.
        address: String,
    },
    /// Sets a password.
    ChangePass {
        /// `local@domain`.
        address: String,
        /// In plain text; only its hash is kept.
        password: String,
    },
    /// Finds accounts.
    FindUser {
        /// Part of an address.
        pattern: String,
    },
    /// Where an account is kept.
    Path {
        /// `local@domain`.
        user: String,
    },
    /// What an account holds, line by line the same on both nodes when they are equal.
    Dir {
        /// `local@domain`.
        user: String,
        /// One mailbox only.
        folder: Option<String>,
    },
    /// Compares the digests of both nodes at a mark and sends what differs (rule R2).
    ResyncFast,
    /// Compares both nodes; in full: item by item.
    VerifyMirror {
        /// Everything, not digests alone.
        full: bool,
    },
    /// Makes this node the master: plain hosts only, where a person is the authority (rule A9).
    Promote {
        /// That what the other node has alone may be lost.
        accept_loss: bool,
    },
    /// Swaps the roles without loss: plain hosts only.
    Swap,
    /// Reads the settings again.
    Reload,
    /// Stops the server in order.
    Shutdown,
}

/// An answer: text for people, and the same as data for `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whether it was done.
    pub ok: bool,
    /// What to print.
    pub text: String,
    /// The same as data.
    pub data: serde_json::Value,
}
