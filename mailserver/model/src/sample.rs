//! Sample histories, for tests and models: a master in miniature that writes a chained log of random operations over a
//! small world, so that collisions, refusals and repetitions are frequent. The same seed gives the same history.

use crate::allocate::{AllocateError, Allocator};
use crate::apply::{Applied, ApplyError, apply};
use crate::entry::{Entry, EntryError, Header, Kind};
use crate::flags::{Flag, When};
use crate::ids::{
    AccountId, AuthorityId, BodyId, ChainHash, Epoch, Hlc, Incarnation, MailboxId, MessageId, ModSeq, NodeId, Origin,
    Position, Seq, Uid,
};
use crate::memory::MemoryState;
use crate::operation::{
    Add, BodyMeta, Change, EpochStart, FlagItem, Mark, MessageRef, MoveItem, NewMailbox, Operation, PayloadError,
    SpecialUse, decode, encode,
};
use crate::outcome::{Done, Outcome};
use crate::state::Message;
use std::collections::VecDeque;
use std::convert::Infallible;

const NAMES: [&str; 8] = ["INBOX", "a", "a/x", "a/x/y", "b", "b/x", "Sent", "INBOX/z"];
const FLAGS: [&str; 6] = ["\\Seen", "\\Deleted", "\\Flagged", "$Work", "$WORK", "$Other"];

/// A sequence of numbers that a seed decides (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = usize::try_from(self.below(from.len() as u64)).ok()?;
        from.get(at)
    }
}

/// Why an entry of a sample history could not be made or applied. No history should ever cause one.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The entry could not be written.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The payload could not be written or read.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The operation broke a rule.
    #[error(transparent)]
    Apply(#[from] ApplyError<Infallible>),
}

/// Applies any entry to a state in memory; entries that change nothing there succeed.
///
/// # Errors
/// See [`SampleError`].
pub fn apply_entry<B: AsRef<[u8]>>(state: &mut MemoryState, entry: &Entry<B>) -> Result<Outcome, SampleError> {
    let header = entry.header();
    Ok(match header.kind {
        Kind::Operation => {
            let (operation, bodies) = Operation::decode(entry.payload())?;
            let (seq, origin) = (header.position.seq, header.origin);
            apply(state, Applied::Operation { seq, origin, operation: &operation, bodies: &bodies })?
        }
        Kind::Epoch => apply(state, Applied::Epoch(&decode::<EpochStart>(entry.payload())?.0))?,
        Kind::Grant | Kind::Seal | Kind::Mark => Outcome { result: Ok(Done::Plain), touched: Vec::new() },
    })
}

/// A master that writes a sample history. What it writes is applied some entries later, as in life.
#[derive(Debug)]
pub struct Master {
    random: Random,
    allocator: Allocator,
    state: MemoryState,
    pending: VecDeque<Entry<Vec<u8>>>,
    pending_max: u64,
    position: Position,
    hash: ChainHash,
    clock: Hlc,
    counter: u64,
    fresh: u128,
    written: Vec<(Origin, Change, Vec<Vec<u8>>)>,
}

impl Master {
    /// At most `pending_max` entries are written ahead of what is applied.
    pub fn new(seed: u64, pending_max: u64) -> Self {
        Self {
            random: Random(seed),
            allocator: Allocator::new(NodeId::Zero),
            state: MemoryState::default(),
            pending: VecDeque::new(),
            pending_max,
            position: Position { epoch: Epoch(2), seq: Seq::ZERO },
            hash: ChainHash::ORIGIN,
            clock: Hlc(0),
            counter: 0,
            fresh: 1 << 64,
            written: Vec::new(),
        }
    }

    /// What was applied so far.
    pub const fn state(&self) -> &MemoryState {
        &self.state
    }

    /// Applies everything that was written.
    ///
    /// # Errors
    /// See [`SampleError`].
    pub fn settle(&mut self) -> Result<(), SampleError> {
        while !self.pending.is_empty() {
            self.apply_oldest()?;
        }
        Ok(())
    }

    /// Writes the next entry.
    ///
    /// # Errors
    /// See [`SampleError`].
    pub fn write(&mut self) -> Result<Entry<Vec<u8>>, SampleError> {
        while self.pending.len() as u64 > self.random.below(self.pending_max + 1) {
            self.apply_oldest()?;
        }
        if self.random.one_in(60) {
            return self.write_epoch();
        }
        if self.random.one_in(40) {
            let payload = encode(&Mark { id: self.random.bits() })?;
            return self.write_entry(Kind::Mark, None, &[&payload]);
        }
        loop {
            let repeated = self.random.one_in(20).then(|| self.random.pick(&self.written).cloned()).flatten();
            let (origin, (change, bodies)) = if let Some((origin, change, bodies)) = repeated {
                (Some(origin), (change, bodies))
            } else {
                (None, self.change())
            };
            let now_seconds = 1_700_000_000 + self.random.below(100);
            let when = When { clock: Hlc(self.clock.0 + self.random.below(3)), node: NodeId::Zero };
            let seq = self.position.seq.next();
            match self.allocator.allocate(&self.state, seq, change.clone(), when, now_seconds) {
                Ok(operation) => {
                    let payload = encode(&operation)?;
                    let mut parts: Vec<&[u8]> = vec![&payload];
                    parts.extend(bodies.iter().map(Vec::as_slice));
                    let entry = self.write_entry(Kind::Operation, origin, &parts)?;
                    self.written.push((entry.header().origin, change, bodies));
                    return Ok(entry);
                }
                Err(AllocateError::Refused(_)) => {}
                Err(AllocateError::View(error)) => match error {},
            }
        }
    }

    fn write_epoch(&mut self) -> Result<Entry<Vec<u8>>, SampleError> {
        self.settle()?;
        let after = self.position;
        let holder = *self.random.pick(&NodeId::BOTH).unwrap_or(&NodeId::Zero);
        let epoch = after.epoch.next_for(holder);
        let gap = self.random.one_in(2);
        self.position.epoch = epoch;
        let payload = encode(&EpochStart { authority: AuthorityId(1), epoch, holder, after, gap })?;
        let entry = self.write_entry(Kind::Epoch, None, &[&payload])?;
        self.settle()?;
        self.allocator = Allocator::new(holder);
        Ok(entry)
    }

    fn write_entry(
        &mut self,
        kind: Kind,
        origin: Option<Origin>,
        payload: &[&[u8]],
    ) -> Result<Entry<Vec<u8>>, SampleError> {
        self.counter += 1;
        self.clock = Hlc(self.clock.0 + 1);
        self.position.seq = self.position.seq.next();
        let header = Header {
            position: self.position,
            kind,
            origin: origin.unwrap_or(Origin {
                node: NodeId::Zero,
                incarnation: Incarnation(u64::MAX - 7),
                counter: self.counter,
            }),
            clock: self.clock,
            commit: Seq(self.position.seq.0 - 1),
            previous: self.hash,
        };
        let entry = Entry::write(header, payload)?;
        self.hash = entry.hash();
        self.pending.push_back(entry.clone());
        Ok(entry)
    }

    fn apply_oldest(&mut self) -> Result<(), SampleError> {
        if let Some(entry) = self.pending.pop_front() {
            apply_entry(&mut self.state, &entry)?;
            self.allocator.forget_applied(entry.header().position.seq);
        }
        Ok(())
    }

    fn change(&mut self) -> (Change, Vec<Vec<u8>>) {
        let mailbox = self.mailbox();
        let change = match self.random.below(24) {
            0 => self.create_account(),
            1 => self.set_account(),
            2 if self.random.one_in(3) => Change::DeleteAccount { account: self.account() },
            3 => self.create_mailbox(),
            4 => self.rename_mailbox(mailbox),
            5 => Change::DeleteMailbox { account: self.account_of(mailbox), mailbox },
            6 => Change::Subscribe { account: self.account(), name: self.name(), subscribed: self.random.one_in(2) },
            7 => Change::PutSetting { name: format!("g_{}", self.random.below(3)), values: self.values() },
            8 => Change::Tombstone { mailbox, uids: self.uids() },
            9 => Change::Touch { mailbox, items: self.messages(mailbox).into_iter().map(|(id, _)| id).collect() },
            10 if self.random.one_in(2) => Change::Nothing,
            10 => self.branch_delete(mailbox),
            11..=13 => self.flag_items(mailbox),
            14 => Change::Expunge { mailbox, items: self.references(mailbox) },
            15 => Change::Move { from: mailbox, to: self.mailbox(), items: self.move_items(mailbox) },
            _ => return self.add(),
        };
        (change, Vec::new())
    }

    fn branch_delete(&mut self, mailbox: MailboxId) -> Change {
        Change::BranchDelete {
            account: self.account_of(mailbox),
            mailbox: (!self.random.one_in(4)).then_some(mailbox),
            through: Seq(self.random.below(self.position.seq.0 + 1)),
            items: self.messages(mailbox).into_iter().map(|(id, _)| id).collect(),
        }
    }

    fn fresh(&mut self) -> u128 {
        self.fresh += 1;
        self.fresh
    }

    fn account(&mut self) -> AccountId {
        let known: Vec<_> = self.state.all_accounts().map(|account| account.id).collect();
        let unknown = AccountId(u128::from(self.random.below(4)));
        if self.random.one_in(8) { unknown } else { self.random.pick(&known).copied().unwrap_or(unknown) }
    }

    fn account_of(&self, id: MailboxId) -> AccountId {
        self.state.all_mailboxes().find(|mailbox| mailbox.id == id).map_or(AccountId(0), |mailbox| mailbox.account)
    }

    fn mailbox(&mut self) -> MailboxId {
        let known: Vec<_> = self.state.all_mailboxes().map(|mailbox| mailbox.id).collect();
        let unknown = MailboxId(u128::from(self.random.below(50)));
        if self.random.one_in(20) { unknown } else { self.random.pick(&known).copied().unwrap_or(unknown) }
    }

    fn name(&mut self) -> String {
        self.random.pick(&NAMES).copied().unwrap_or("a").to_owned()
    }

    fn values(&mut self) -> Vec<String> {
        (0..self.random.below(3)).map(|value| value.to_string()).collect()
    }

    fn new_mailbox(&mut self, name: String) -> NewMailbox {
        let special_use = (name == "Sent").then_some(SpecialUse::Sent);
        NewMailbox { mailbox: MailboxId(self.fresh()), name, special_use }
    }

    /// A new mailbox with those above it.
    fn with_parents(&mut self, name: &str) -> Vec<NewMailbox> {
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        ends.filter_map(|end| name.get(..end)).map(|name| self.new_mailbox(name.to_owned())).collect()
    }

    fn create_account(&mut self) -> Change {
        let address = format!("u{}@example.org", self.random.below(3));
        let mut mailboxes = vec![self.new_mailbox("INBOX".to_owned()), self.new_mailbox("Sent".to_owned())];
        mailboxes.truncate(usize::from(!self.random.one_in(5)) + 1);
        let quota_bytes = self.random.one_in(2).then_some(1000);
        Change::CreateAccount {
            account: AccountId(self.fresh()),
            address,
            password: "x".to_owned(),
            mailboxes,
            quota_bytes,
        }
    }

    fn set_account(&mut self) -> Change {
        Change::SetAccount {
            account: self.account(),
            password: self.random.one_in(2).then(|| "y".to_owned()),
            enabled: self.random.one_in(2).then_some(true),
            quota_bytes: self.random.one_in(2).then_some(None),
        }
    }

    fn create_mailbox(&mut self) -> Change {
        let (account, name) = (self.account(), self.name());
        Change::CreateMailbox { account, mailboxes: self.with_parents(&name) }
    }

    fn rename_mailbox(&mut self, mailbox: MailboxId) -> Change {
        let name = self.name();
        let mut created = self.with_parents(&name);
        let inbox = self.state.all_mailboxes().any(|known| known.id == mailbox && known.name == "INBOX");
        let moved = if inbox { self.move_items(mailbox) } else { Vec::new() };
        if !inbox {
            created.pop();
        }
        Change::RenameMailbox { account: self.account_of(mailbox), mailbox, name, created, moved }
    }

    fn uids(&mut self) -> Vec<Uid> {
        let count = self.random.below(3);
        (0..count).filter_map(|_| Uid::new(1 + u32::try_from(self.random.below(12)).unwrap_or(0))).collect()
    }

    /// Some messages of a mailbox by what is applied; some may be gone by then, and some never were.
    fn messages(&mut self, mailbox: MailboxId) -> Vec<(MessageId, Uid)> {
        let known: Vec<(MessageId, Uid)> = self
            .state
            .all_messages()
            .filter(|known| known.mailbox == mailbox)
            .map(|known| (known.id, known.uid))
            .collect();
        let mut picked: Vec<_> = known.into_iter().filter(|_| self.random.one_in(3)).collect();
        if self.random.one_in(10) {
            picked.push((MessageId(u128::from(self.random.below(9))), Uid::FIRST));
        }
        if self.random.one_in(10)
            && let Some((_, uid)) = picked.last_mut()
        {
            *uid = Uid::FIRST;
        }
        picked
    }

    fn references(&mut self, mailbox: MailboxId) -> Vec<MessageRef> {
        self.messages(mailbox).into_iter().map(|(message, uid)| MessageRef { uid, message }).collect()
    }

    fn move_items(&mut self, mailbox: MailboxId) -> Vec<MoveItem> {
        let sources = self.references(mailbox);
        sources.into_iter().map(|source| MoveItem { source, message: MessageId(self.fresh()) }).collect()
    }

    fn some_flags(&mut self) -> Vec<Flag> {
        FLAGS.iter().filter(|_| self.random.one_in(4)).filter_map(|flag| Flag::parse(flag).ok()).collect()
    }

    fn flag_items(&mut self, mailbox: MailboxId) -> Change {
        let targets = self.references(mailbox);
        let items =
            targets.into_iter().map(|target| FlagItem { target, set: self.some_flags(), clear: self.some_flags() });
        let items = items.collect();
        let unchanged_since = self.random.one_in(4).then(|| ModSeq(self.random.below(20)));
        Change::Flags { mailbox, items, unchanged_since }
    }

    /// A delivery, an APPEND or a COPY; the body of a copy may be gone by then.
    fn add(&mut self) -> (Change, Vec<Vec<u8>>) {
        let stored: Vec<Message> = self.state.all_messages().cloned().collect();
        let copied = self.random.one_in(4).then(|| self.random.pick(&stored).cloned()).flatten();
        let body = format!("Subject: {}\r\n\r\nx", self.random.below(6)).into_bytes();
        let (id, size_bytes) = copied
            .as_ref()
            .map_or_else(|| (BodyId::of(&body), body.len() as u64), |message| (message.body, message.size_bytes));
        let count = 1 + self.random.below(3);
        let adds = (0..count)
            .map(|_| Add {
                mailbox: self.mailbox(),
                message: MessageId(self.fresh()),
                body: id,
                size_bytes,
                internal_date_seconds: 1_700_000_000,
                flags: self.some_flags(),
            })
            .collect();
        if copied.is_some() {
            return (Change::Add { adds, bodies: Vec::new() }, Vec::new());
        }
        (Change::Add { adds, bodies: vec![BodyMeta { body: id, size_bytes }] }, vec![body])
    }
}
