//! The reasons that stand in conditions and events: one list, from which the documentation is made.

macro_rules! reasons {
    ($($name:ident: $text:literal,)*) => {
        /// Why a condition is as it is, or why an event was written. The name is the word that is seen in the cluster.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $text] $name,)*
        }

        impl Reason {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it means and what to do.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    Serving: "The master serves mail, and the objects of the pair are written. Nothing to do.",
    InSync: "Both nodes have everything that was acknowledged. Nothing to do.",
    UpToDate: "Nothing is under way.",
    AllWell: "Nothing is degraded.",
    NotBlocked: "A failover would be carried out now if it were needed.",
    AsOrdered: "The master is the one that `spec.master` names, or any will do.",
    NotStalled: "Nothing waits for a person.",

    NoRecord: "The pair has no first master yet: the nodes have not answered. Look at the pods with `kubectl describe pod`.",
    WaitingForNodes: "The first master is chosen when both nodes have answered, or the other one certainly has no store.",
    MasterStarting: "The master answers and is not in office yet.",
    MasterSilent: "The master does not answer; see `FailoverBlocked` for what follows.",
    MasterStoreReplaced: "The master came back with another store or volume than the recorded one: its disk was lost or restored.",
    NotRouted: "The Service does not lead to the master yet: its pod is not ready or not labelled.",
    NotMirroredYet: "The pair is new and its slave is not in sync yet.",
    ChildrenPending: "Objects of the pair could not be written yet; the message says which and why.",

    SlaveSilent: "The slave does not answer. Look at its pod.",
    LinkDown: "The nodes have no connection to each other on port 7025.",
    CatchingUp: "The slave is connected and has not everything yet.",
    Resyncing: "A resync or rebase is under way; see the progress of the nodes in the status.",
    Lagging: "Under acknowledgement Local: the slave lacks changes.",

    FirstStart: "The pair is being made.",
    SwapUnderWay: "The roles are being swapped.",
    SwapWaiting: "A swap is ordered and cannot begin yet; the message says why.",
    FailingOver: "The master is lost and the slave is being promoted.",
    Updating: "Pods of an old revision are being replaced, the slave first.",
    UpdateWaiting: "Pods of an old revision wait until the pair is in sync.",
    Paused: "`spec.reconciliation` is Paused: no failover, no swap, no update. Set it to Active.",

    RunningAlone: "The master answers alone: what it acknowledges now is on one disk only.",
    PodStuck: "A pod cannot start; the message has the reason of the kubelet or the scheduler.",
    NodeProblem: "A mail server reports a problem; the message has its words.",

    ManualFailover: "`spec.failover.mode` is Manual: order the promotion with `spec.master`.",
    SlaveNotInSync: "The slave is not in the recorded set: promoting it may lose acknowledged mail. Bring the old master back, or accept the loss with the command in the message.",
    NobodyAnswers: "Neither node answers: nobody can be promoted.",
    TooSoon: "The latest failover was less than `spec.failover.minimumInterval` ago.",
    LagTooLarge: "Under acknowledgement Local the slave lacked more than `spec.failover.maxLagEntries` when it was last seen.",
    MasterStillLinked: "The operator cannot reach the master, but the slave is connected to it: mail is served, nobody is promoted.",
    RecordLost: "The record is missing or older than what the nodes report: both must answer, or a person accepts loss with the command in the message.",
    TwoStores: "Both nodes have mail and neither has ever been part of a pair: a person must say which one is first.",
    WaitingForStop: "Loss is accepted, but the old master is not known to be stopped: delete its pod, or add `,stopped` to the annotation if it certainly is.",
    AcceptanceNotNeeded: "The acceptance of loss names another epoch, or nothing needs it: it is ignored.",

    FailedOver: "A failover made the other node master; nothing swaps back by itself. Order it by changing `spec.master`, or with the swap annotation.",
    SwappedAway: "The roles were swapped since, for a drain, an update or by the annotation; nothing swaps back by itself. Order it by changing `spec.master`, or with the swap annotation.",
    SwapNotDone: "The swap to the ordered master was given up; order it again by changing `spec.master`.",
    OrderPending: "The ordered swap waits or is under way.",

    InvalidObject: "The object cannot be acted on; the message says which field and what to write.",
    SecretMissing: "The Secret of `spec.secret` is missing or unusable; the message says what to create.",
    ForeignObject: "An object with the name of a child exists and does not belong to this pair: delete or rename it.",
    RecordUnreadable: "The Lease with the record cannot be read by this operator: a newer one wrote it, or it was edited. Restore it, or delete it when both nodes are up.",

    FirstMaster: "Event: the first master was recorded.",
    RecordRecreated: "Event: a lost record was made anew, above everything the nodes reported.",
    Promoted: "Event: the slave was promoted because the master was lost.",
    PromotedWithLoss: "Event: a node was promoted although mail may be lost, by acceptance or by policy.",
    Granted: "Event: the master lost its slave and may answer alone.",
    JoinedSet: "Event: the slave has everything and is in the recorded set.",
    VolumeReplaced: "Event: a node came with another volume and is no member of the set any more.",
    PolicyChanged: "Event: the acknowledgement policy was changed.",
    SwapBegan: "Event: the master was told to hold, drain and seal.",
    SwapDone: "Event: the roles were swapped.",
    SwapTimedOut: "Event: the swap took too long; the old master goes on.",
    SwapCancelled: "Event: the swap was called off; the old master goes on.",
    PodRestarted: "Event: a pod of an old revision was deleted to be made anew.",
    RecordRefused: "Event: a node refused to obey the record; the message has its reason.",
    VolumeGrown: "Event: the claims were asked for more room.",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// The page `docs/operator-reasons.md`.
pub fn page() -> String {
    use std::fmt::Write;
    let mut page = String::from(
        "# Reasons of the operator\n\nGenerated by `mailmirror-operator reasons`; do not edit.\n\n| reason | meaning and what to do |\n|---|---|\n",
    );
    for reason in Reason::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{reason}` | {} |", reason.text());
    }
    page
}
