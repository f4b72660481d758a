//! An IMAP client (RFC 3501, RFC 4315) that can say what a mailbox is, down to the byte.

use super::Security;
use super::stream::LineStream;
use crate::clients::imap::parse::Item;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

mod parse;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
}

/// What a command told.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it ended.
    pub status: Status,
    /// The text of the tagged response, with its response code.
    pub text: String,
    /// The untagged responses, literals in place.
    pub untagged: Vec<Vec<u8>>,
}

impl Answer {
    /// The arguments of a response code, such as `UIDNEXT`, wherever it stands.
    pub fn code(&self, name: &str) -> Option<String> {
        let begin = format!("[{name} ");
        let texts = self.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned());
        let mut texts = texts.chain([self.text.clone()]);
        texts.find_map(|text| Some(text.split_once(&begin)?.1.split_once(']')?.0.to_owned()))
    }

    fn number(&self, name: &str) -> Result<u32> {
        let text = self.code(name).with_context(|| format!("there is no {name}"))?;
        text.parse().with_context(|| format!("{name} is {text:?}"))
    }
}

/// A mailbox as it was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    /// UIDVALIDITY
    pub uid_validity: u32,
    /// UIDNEXT
    pub uid_next: u32,
    /// EXISTS
    pub exists: u32,
}

/// A message as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Its flags without `\Recent`, which is of a session.
    pub flags: BTreeSet<String>,
    /// INTERNALDATE
    pub internal_date: String,
    /// Every byte; empty where it was not asked for.
    pub body: Vec<u8>,
}

/// All that a client can know of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// UIDVALIDITY
    pub uid_validity: u32,
    /// UIDNEXT
    pub uid_next: u32,
    /// The messages by UID.
    pub messages: BTreeMap<u32, Shown>,
}

impl View {
    /// What differs, for a person; `None`: nothing.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if (self.uid_validity, self.uid_next) != (other.uid_validity, other.uid_next) {
            let names = (self.uid_validity, self.uid_next, other.uid_validity, other.uid_next);
            return Some(format!("UIDVALIDITY and UIDNEXT of one and the other: {names:?}"));
        }
        let uids: BTreeSet<_> = self.messages.keys().chain(other.messages.keys()).collect();
        uids.into_iter().find_map(|uid| match (self.messages.get(uid), other.messages.get(uid)) {
            (Some(here), Some(there)) if here == there => None,
            (Some(here), Some(there)) => Some(format!(
                "UID {uid}: {:?} {} {} bytes, and {:?} {} {} bytes{}",
                here.flags,
                here.internal_date,
                here.body.len(),
                there.flags,
                there.internal_date,
                there.body.len(),
                if here.body == there.body { "" } else { ", which differ" }
            )),
            (Some(_), None) => Some(format!("UID {uid} is on the first only")),
            (None, _) => Some(format!("UID {uid} is on the second only")),
        })
    }

    /// UIDs by the subject of the message.
    pub fn by_subject(&self) -> BTreeMap<String, Vec<u32>> {
        let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (uid, shown) in &self.messages {
            let subject = crate::mail::subject(&shown.body).unwrap_or_default();
            found.entry(subject.to_owned()).or_default().push(*uid);
        }
        found
    }
}

/// A session.
pub struct Imap {
    stream: LineStream,
    tags: u32,
}

impl Imap {
    /// Connects.
    ///
    /// # Errors
    /// When there is no greeting.
    pub async fn connect(address: SocketAddr, security: Security, patience: Duration) -> Result<Self> {
        let mut imap = Self { stream: LineStream::connect(address, security, patience).await?, tags: 0 };
        let greeting = imap.response().await?;
        if !greeting.starts_with(b"* OK") {
            bail!("no greeting: {}", String::from_utf8_lossy(&greeting));
        }
        Ok(imap)
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// When either fails.
    pub async fn login(address: SocketAddr, security: Security, who: (&str, &str), patience: Duration) -> Result<Self> {
        let mut imap = Self::connect(address, security, patience).await?;
        imap.ok(&format!("LOGIN {} {}", quoted(who.0), quoted(who.1))).await?;
        Ok(imap)
    }

    /// Gives a command and reads until it is answered.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn run(&mut self, command: &str) -> Result<Answer> {
        let tag = self.begin(command).await?;
        self.finish(&tag, Vec::new()).await.with_context(|| format!("failed to do {command:?}"))
    }

    /// The same; `NO` and `BAD` are errors.
    ///
    /// # Errors
    /// When it is not done.
    pub async fn ok(&mut self, command: &str) -> Result<Answer> {
        let answer = self.run(command).await?;
        match answer.status {
            Status::Ok => Ok(answer),
            Status::No | Status::Bad => bail!("{command:?} was answered {:?} {}", answer.status, answer.text),
        }
    }

    /// Selects a mailbox.
    ///
    /// # Errors
    /// When that fails, or something that has to be told is missing.
    pub async fn select(&mut self, mailbox: &str) -> Result<Selected> {
        let answer = self.ok(&format!("SELECT {}", quoted(mailbox))).await?;
        let exists = answer.untagged.iter().find_map(|line| {
            let text = std::str::from_utf8(line).ok()?;
            text.strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok()
        });
        Ok(Selected {
            uid_validity: answer.number("UIDVALIDITY")?,
            uid_next: answer.number("UIDNEXT")?,
            exists: exists.context("there is no EXISTS")?,
        })
    }

    /// Appends a message by a synchronising literal; UIDVALIDITY and UID of it.
    ///
    /// # Errors
    /// When it was not appended.
    pub async fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> Result<(u32, u32)> {
        let command = format!("APPEND {} ({flags}) {{{}}}", quoted(mailbox), message.len());
        let tag = self.begin(&command).await?;
        let mut untagged = Vec::new();
        loop {
            let line = self.response().await?;
            if line.starts_with(b"+") {
                break;
            }
            if line.starts_with(tag.as_bytes()) {
                bail!("APPEND was answered {}", String::from_utf8_lossy(&line));
            }
            untagged.push(line);
        }
        self.stream.write(message).await?;
        self.stream.write(b"\r\n").await?;
        let answer = self.finish(&tag, untagged).await?;
        if answer.status != Status::Ok {
            bail!("APPEND was answered {:?} {}", answer.status, answer.text);
        }
        let uid = answer.code("APPENDUID").context("there is no APPENDUID")?;
        let (validity, uid) = uid.split_once(' ').context("APPENDUID has one number")?;
        Ok((validity.parse()?, uid.parse()?))
    }

    /// Messages of the selected mailbox from a UID on; their bytes only if asked for.
    ///
    /// # Errors
    /// When that fails.
    pub async fn fetch(&mut self, from_uid: u32, bodies: bool) -> Result<BTreeMap<u32, Shown>> {
        let items = if bodies { "UID FLAGS INTERNALDATE BODY.PEEK[]" } else { "UID FLAGS INTERNALDATE" };
        let answer = self.ok(&format!("UID FETCH {from_uid}:* ({items})")).await?;
        let mut messages = BTreeMap::new();
        for line in answer.untagged.iter().filter(|line| !line.starts_with(b"* OK")) {
            let Some((uid, shown)) = fetched(line)? else { continue };
            // `n:*` always names the last message (RFC 3501 section 6.4.8).
            if uid >= from_uid && messages.insert(uid, shown).is_some() {
                bail!("UID {uid} was told twice");
            }
        }
        Ok(messages)
    }

    /// Everything in a mailbox.
    ///
    /// # Errors
    /// When that fails.
    pub async fn view(&mut self, mailbox: &str) -> Result<View> {
        let selected = self.select(mailbox).await?;
        let mut messages = if selected.exists == 0 { BTreeMap::new() } else { self.fetch(1, true).await? };
        // What has come in since is not part of the mailbox as it was selected.
        messages.retain(|uid, _| *uid < selected.uid_next);
        if messages.len() != usize::try_from(selected.exists)? {
            bail!("{} messages exist, {} were told", selected.exists, messages.len());
        }
        Ok(View { uid_validity: selected.uid_validity, uid_next: selected.uid_next, messages })
    }

    /// Waits in IDLE (RFC 2177) until this many messages exist.
    ///
    /// # Errors
    /// When the server is silent for longer than the patience of this session.
    pub async fn idle_until(&mut self, exists: u32) -> Result<()> {
        let tag = self.begin("IDLE").await?;
        let wanted = |line: &[u8]| {
            let text = std::str::from_utf8(line).ok();
            let count = text.and_then(|text| text.strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse::<u32>().ok());
            count.is_some_and(|count| count >= exists)
        };
        loop {
            let line = self.response().await?;
            if line.starts_with(tag.as_bytes()) || line.starts_with(b"* BYE") {
                bail!("IDLE ended: {}", String::from_utf8_lossy(&line));
            }
            if wanted(&line) {
                break;
            }
        }
        self.stream.write(b"DONE\r\n").await?;
        self.finish(&tag, Vec::new()).await.map(drop)
    }

    /// Ends the session.
    ///
    /// # Errors
    /// When the server does not say goodbye.
    pub async fn logout(mut self) -> Result<()> {
        self.ok("LOGOUT").await.map(drop)
    }

    async fn begin(&mut self, command: &str) -> Result<String> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.stream.write(format!("{tag} {command}\r\n").as_bytes()).await?;
        Ok(format!("{tag} "))
    }

    async fn finish(&mut self, tag: &str, mut untagged: Vec<Vec<u8>>) -> Result<Answer> {
        loop {
            let line = match self.response().await {
                Ok(line) => line,
                Err(error) => {
                    let bye = untagged.iter().find(|line| line.starts_with(b"* BYE"));
                    let said = bye.map(|line| String::from_utf8_lossy(line).into_owned()).unwrap_or_default();
                    return Err(error.context(format!("the session ended {said}")));
                }
            };
            let Some(rest) = line.strip_prefix(tag.as_bytes()) else {
                untagged.push(line);
                continue;
            };
            let text = String::from_utf8_lossy(rest).into_owned();
            let (word, text) = text.split_once(' ').unwrap_or((&text, ""));
            let status = match word {
                "OK" => Status::Ok,
                "NO" => Status::No,
                "BAD" => Status::Bad,
                other => bail!("a command ended with {other:?}"),
            };
            return Ok(Answer { status, text: text.to_owned(), untagged });
        }
    }

    /// One response with its literals in place.
    async fn response(&mut self) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let line = self.stream.line().await?;
            whole.extend_from_slice(&line);
            let Some(count) = parse::literal_at_end(&line) else { return Ok(whole) };
            whole.extend_from_slice(b"\r\n");
            whole.extend(self.stream.exactly(count).await?);
        }
    }
}

/// A quoted string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// UID and content of a FETCH response; `None`: it is another response.
fn fetched(line: &[u8]) -> Result<Option<(u32, Shown)>> {
    let items = parse::items(line).with_context(|| format!("failed to read {}", String::from_utf8_lossy(line)))?;
    let [_, _, Item::Text(fetch), Item::List(pairs)] = items.as_slice() else { return Ok(None) };
    if fetch != b"FETCH" {
        return Ok(None);
    }
    let (mut uid, mut shown) = (None, Shown::default());
    for pair in pairs.chunks(2) {
        let [Item::Text(name), value] = pair else { bail!("an item without a value") };
        match (name.as_slice(), value) {
            (b"UID", Item::Text(text)) => uid = Some(std::str::from_utf8(text)?.parse()?),
            (b"FLAGS", Item::List(flags)) => {
                let texts = flags.iter().filter_map(|flag| match flag {
                    Item::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    Item::List(_) => None,
                });
                shown.flags = texts.filter(|flag| !flag.eq_ignore_ascii_case("\\Recent")).collect();
            }
            (b"INTERNALDATE", Item::Text(text)) => shown.internal_date = String::from_utf8_lossy(text).into_owned(),
            (b"BODY[]", Item::Text(text)) => shown.body.clone_from(text),
            _ => {}
        }
    }
    // A FETCH without UID is news of another session's change, not an answer.
    Ok(uid.map(|uid| (uid, shown)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_fetch_response_is_read_to_the_byte() {
        let line = b"* 3 FETCH (UID 7 FLAGS (\\Seen \\Recent $x) INTERNALDATE \"01-Jan-2026 00:00:00 +0000\" BODY[] {6}\r\na)(\"\r\n)";
        let (uid, shown) = fetched(line).unwrap().unwrap();
        assert_eq!((uid, shown.body.as_slice()), (7, &b"a)(\"\r\n"[..]));
        assert_eq!(shown.flags.into_iter().collect::<Vec<_>>(), ["$x", "\\Seen"]);
        assert_eq!(fetched(b"* 3 EXISTS").unwrap(), None);
        assert_eq!(fetched(b"* 3 FETCH (FLAGS ())").unwrap(), None);
    }

    #[test]
    fn two_views_are_compared_message_by_message() {
        let shown = |body: &[u8]| Shown { body: body.to_vec(), ..Shown::default() };
        let view = |messages: &[(u32, &[u8])]| View {
            uid_validity: 1,
            uid_next: 9,
            messages: messages.iter().map(|(uid, body)| (*uid, shown(body))).collect(),
        };
        let one = view(&[(1, b"a"), (2, b"b")]);
        assert_eq!(one.difference(&one), None);
        assert!(one.difference(&view(&[(1, b"a")])).unwrap().contains("UID 2 is on the first only"));
        assert!(one.difference(&view(&[(1, b"a"), (2, b"c")])).unwrap().contains("which differ"));
    }
}
