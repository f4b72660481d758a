//! The words of control between the two nodes.

use mailmirror_control::record::Record;
use mailmirror_control::status::{Obeyed, Role};
use mailmirror_model::flags::When;
use mailmirror_model::ids::{ChainHash, Epoch, Incarnation, NodeId, Origin, Position, Seq, StoreId};
use mailmirror_model::operation::Change;
use serde::{Deserialize, Serialize};

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// Who is there; sent first, and again when it is different.
    Standing(Standing),
    /// A slave asks what both logs have in common (rule L1: by hash).
    Probe {
        /// Places in its log, in falling order.
        samples: Vec<Sample>,
    },
    /// The master answers.
    Probed {
        /// The highest sample that it has too; the beginning of all logs is common.
        common: Seq,
        /// The lowest sample above it, which it does not have.
        differs: Option<Seq>,
        /// The first entry that its log still holds.
        first: Seq,
    },
    /// A slave has everything up to here and wants what comes after.
    Follow {
        /// The last entry that it has.
        after: Seq,
        /// What of that is on its disk (rule L2).
        #[serde(default = "nothing")]
        flushed: Seq,
        /// Whether a resync or a rebase is open (rule A3).
        busy: bool,
    },
    /// A slave has these on its disk (rule L2).
    Ack {
        /// Up to here.
        flushed: Seq,
        /// Whether a resync or a rebase is open.
        busy: bool,
    },
    /// A master tells what is committed (rule N3).
    Commit {
        /// Up to here.
        seq: Seq,
    },
    /// Are you there?
    Ping {
        /// On the clock of the sender.
        sent: u64,
        /// The epoch that it obeys.
        epoch: Epoch,
        /// Whether it asks for the lease (rule A6).
        office: bool,
    },
    /// Yes.
    Pong {
        /// As it was asked.
        sent: u64,
        /// As it was asked.
        epoch: Epoch,
        /// Whether the lease is given.
        lease: bool,
    },
    /// A slave wants to show state (rule N4).
    AskReadPoint {
        /// Counted.
        id: u64,
    },
    /// The master's commit position.
    ReadPoint {
        /// As it was asked.
        id: u64,
        /// `None`: the slave may not show state now (rule N5).
        from: Option<Seq>,
    },
    /// A forward was refused before anything was written.
    ForwardRefused {
        /// Which.
        origin: Origin,
        /// As it was sent.
        #[serde(default)]
        round: u64,
        /// Why.
        why: ForwardRefusal,
    },
    /// A forward is in the master's log already.
    ForwardKnown {
        /// Which.
        origin: Origin,
    },
    /// A slave asks for a mark.
    AskMark {
        /// Its identity.
        mark: u64,
    },
    /// The digest of a node at a mark (rule R2).
    MarkDigest {
        /// Which mark.
        mark: u64,
        /// 32 hexadecimal digits.
        digest: String,
    },
    /// On plain hosts: the record that the master's node keeps (rule A9).
    Record(Box<Record>),
    /// The reason for the end of the connection.
    Goodbye {
        /// For the log of the other node.
        why: String,
    },
    /// A message of a later version.
    #[serde(other)]
    Unknown,
}

fn nothing() -> Seq {
    Seq::ZERO
}

/// Who a node is, and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Which node.
    pub node: NodeId,
    /// Its store.
    pub store: StoreId,
    /// The run of its process.
    pub incarnation: Incarnation,
    /// Its role.
    pub role: Role,
    /// What it obeyed.
    pub obeyed: Option<Obeyed>,
    /// The end of its log.
    pub tail: Position,
    /// The last entry that it knows to be committed (rule A5: a master that lacks it has lost something).
    #[serde(default)]
    pub committed: Option<Position>,
}

/// A place in a log and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The place.
    pub seq: Seq,
    /// The chained hash there.
    pub hash: ChainHash,
}

/// Why a master does not put a forward in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum ForwardRefusal {
    /// It is not in a position to: try again, here or at the other node.
    NotNow,
    /// Its disk is full.
    NoSpace,
    /// It is larger than any entry.
    TooLarge,
    /// It would be refused when it is applied; the words are a [`mailmirror_model::outcome::Refusal`]'s.
    Refused {
        /// The variant's name.
        refusal: String,
    },
    /// A reason of a later version.
    #[serde(other)]
    Unknown,
}

/// What a slave forwards; the bodies of the change follow in the frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// Its identity (rule N2).
    pub origin: Origin,
    /// When it was wanted.
    pub when: When,
    /// What is wanted.
    pub change: Change,
}

/// Places for a [`Message::Probe`] between what is known to be common and what is known to differ, falling: dense at
/// the end, where logs usually part, then at doubling distances.
pub fn probe_places(common: Seq, differs: Seq) -> Vec<Seq> {
    const MOST: usize = 256;
    let mut places = Vec::new();
    let mut distance = 1;
    let mut at = differs.0.saturating_sub(1);
    while at > common.0 && places.len() < MOST {
        places.push(Seq(at));
        if places.len() >= 16 {
            distance *= 2;
        }
        at = at.saturating_sub(distance);
    }
    places
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn l7_a_message_of_a_later_version_is_passed_over() {
        let later = r#"{"type":"sing","song":"la"}"#;
        assert_eq!(serde_json::from_str::<Message>(later).unwrap(), Message::Unknown);
        let with_more = r#"{"type":"commit","seq":5,"mood":"good"}"#;
        assert_eq!(serde_json::from_str::<Message>(with_more).unwrap(), Message::Commit { seq: Seq(5) });
    }

    #[test]
    fn r1_probing_finds_the_fork_of_any_two_logs_in_a_few_rounds() {
        for (common, tail) in [(0, 0), (0, 1), (0, 5_000_000), (17, 18), (4_999_000, 5_000_000), (100, 3_000_000)] {
            let (mut low, mut high, mut rounds) = (0, tail + 1, 0);
            while low + 1 < high {
                let places = probe_places(Seq(low), Seq(high));
                assert!(!places.is_empty() && places.windows(2).all(|pair| pair[0] > pair[1]));
                let found = places.iter().find(|place| place.0 <= common);
                high = places.iter().rev().find(|place| place.0 > common).map_or(high, |place| place.0);
                low = found.map_or(low, |place| place.0);
                rounds += 1;
                assert!(rounds < 40, "{common} of {tail}");
            }
            assert_eq!(low, common);
        }
    }
}
