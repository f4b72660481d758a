//! SEARCH.

use jiff::civil::Date;

use super::cursor::{Cursor, Result, utf8};
use super::error::Problem;
use crate::command::{Command, FieldName, Search, SearchReturn};
use crate::search::{SearchKey, SearchProgram, SearchText};
use crate::types::{Flag, Keyword, parse_date};

/// How deep NOT, OR and parentheses may be nested.
const DEPTH_MAX: usize = 32;
/// Keys in one program, all levels together.
const KEYS_MAX: usize = 2_000;

pub(super) fn search(cursor: &mut Cursor<'_>, uid: bool) -> Result<Command> {
    let mut keys = Keys { count: 0 };
    let mut returns = None;
    let mut all = Vec::new();
    let mut charset_allowed = true;
    cursor.sp()?;
    loop {
        match key_start(cursor)? {
            KeyStart::Name(name) if name == "RETURN" && all.is_empty() && returns.is_none() && charset_allowed => {
                cursor.sp()?;
                returns = Some(return_options(cursor)?);
            }
            KeyStart::Name(name) if name == "CHARSET" && all.is_empty() && charset_allowed => {
                cursor.sp()?;
                charset(cursor)?;
                charset_allowed = false;
            }
            start => all.push(keys.key(cursor, start, 0)?),
        }
        if !cursor.more() {
            break;
        }
    }
    if all.is_empty() {
        return Err(Problem::Expected("a search key"));
    }
    Ok(Command::Search(Search { uid, returns, program: SearchProgram::new(all) }))
}

fn charset(cursor: &mut Cursor<'_>) -> Result<()> {
    let name = cursor.astring()?;
    if name.eq_ignore_ascii_case(b"UTF-8") || name.eq_ignore_ascii_case(b"US-ASCII") {
        Ok(())
    } else {
        Err(Problem::Charset)
    }
}

fn return_options(cursor: &mut Cursor<'_>) -> Result<SearchReturn> {
    let mut returns = SearchReturn::default();
    cursor.list("result options", 16, |cursor| {
        match cursor.keyword()?.as_str() {
            "MIN" => returns.min = true,
            "MAX" => returns.max = true,
            "ALL" => returns.all = true,
            "COUNT" => returns.count = true,
            other => return Err(Problem::ResultOption(other.chars().take(32).collect())),
        }
        Ok(())
    })?;
    if returns == SearchReturn::default() {
        returns.all = true;
    }
    Ok(returns)
}

/// What a search key begins with.
enum KeyStart {
    Name(String),
    Set,
    Open,
}

fn key_start(cursor: &mut Cursor<'_>) -> Result<KeyStart> {
    match cursor.peek() {
        Some(b'(') => Ok(KeyStart::Open),
        Some(b'0'..=b'9' | b'*' | b'$') => Ok(KeyStart::Set),
        _ => cursor.keyword().map(KeyStart::Name).map_err(|_| Problem::Expected("a search key")),
    }
}

struct Keys {
    count: usize,
}

impl Keys {
    fn next(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<SearchKey> {
        cursor.sp()?;
        let start = key_start(cursor)?;
        self.key(cursor, start, depth)
    }

    fn key(&mut self, cursor: &mut Cursor<'_>, start: KeyStart, depth: usize) -> Result<SearchKey> {
        self.count += 1;
        if self.count > KEYS_MAX {
            let (what, limit) = ("search keys", KEYS_MAX);
            return Err(Problem::Limit { what, limit });
        }
        if depth > DEPTH_MAX {
            let (what, limit) = ("levels of search keys", DEPTH_MAX);
            return Err(Problem::Limit { what, limit });
        }
        match start {
            KeyStart::Set => Ok(SearchKey::Sequence(cursor.sequence_set()?)),
            KeyStart::Open => {
                let keys = cursor.list("search keys", KEYS_MAX, |cursor| {
                    let start = key_start(cursor)?;
                    self.key(cursor, start, depth + 1)
                })?;
                if keys.is_empty() {
                    return Err(Problem::Expected("a search key"));
                }
                Ok(SearchKey::And(keys))
            }
            KeyStart::Name(name) => match name.as_str() {
                "NOT" => Ok(SearchKey::not(self.next(cursor, depth + 1)?)),
                "OR" => {
                    let left = self.next(cursor, depth + 1)?;
                    let right = self.next(cursor, depth + 1)?;
                    Ok(SearchKey::Or(Box::new(left), Box::new(right)))
                }
                name => named_key(cursor, name),
            },
        }
    }
}

fn named_key(cursor: &mut Cursor<'_>, name: &str) -> Result<SearchKey> {
    if let Some(key) = flag_key(name) {
        return Ok(key);
    }
    cursor.sp()?;
    Ok(match name {
        "KEYWORD" => SearchKey::Flag(keyword(cursor)?),
        "UNKEYWORD" => SearchKey::not(SearchKey::Flag(keyword(cursor)?)),
        "UID" => SearchKey::Uid(cursor.sequence_set()?),
        "BEFORE" => SearchKey::Before(date(cursor)?),
        "ON" => SearchKey::On(date(cursor)?),
        "SINCE" => SearchKey::Since(date(cursor)?),
        "SENTBEFORE" => SearchKey::SentBefore(date(cursor)?),
        "SENTON" => SearchKey::SentOn(date(cursor)?),
        "SENTSINCE" => SearchKey::SentSince(date(cursor)?),
        "LARGER" => SearchKey::Larger(cursor.number64()?),
        "SMALLER" => SearchKey::Smaller(cursor.number64()?),
        "BODY" => SearchKey::Body(text(cursor)?),
        "TEXT" => SearchKey::Text(text(cursor)?),
        "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" => header(cursor, name.as_bytes())?,
        "HEADER" => {
            let field = cursor.astring()?;
            cursor.sp()?;
            header(cursor, &field)?
        }
        "MODSEQ" => mod_seq(cursor)?,
        _ => return Err(Problem::Expected("a search key")),
    })
}

/// The keys without an argument.
fn flag_key(name: &str) -> Option<SearchKey> {
    let is = SearchKey::Flag;
    let not = |flag| SearchKey::not(SearchKey::Flag(flag));
    Some(match name {
        "ALL" => SearchKey::All,
        "ANSWERED" => is(Flag::Answered),
        "DELETED" => is(Flag::Deleted),
        "DRAFT" => is(Flag::Draft),
        "FLAGGED" => is(Flag::Flagged),
        "SEEN" => is(Flag::Seen),
        "UNANSWERED" => not(Flag::Answered),
        "UNDELETED" => not(Flag::Deleted),
        "UNDRAFT" => not(Flag::Draft),
        "UNFLAGGED" => not(Flag::Flagged),
        "UNSEEN" => not(Flag::Seen),
        "RECENT" => SearchKey::Recent,
        "OLD" => SearchKey::not(SearchKey::Recent),
        "NEW" => SearchKey::And(vec![SearchKey::Recent, not(Flag::Seen)]),
        _ => return None,
    })
}

fn keyword(cursor: &mut Cursor<'_>) -> Result<Flag> {
    Ok(Flag::Keyword(Keyword::new(&cursor.atom()?)?))
}

fn text(cursor: &mut Cursor<'_>) -> Result<SearchText> {
    Ok(SearchText::new(&utf8(&cursor.astring()?)?))
}

fn header(cursor: &mut Cursor<'_>, field: &[u8]) -> Result<SearchKey> {
    let field = FieldName::new(field).ok_or(Problem::Expected("a header field name"))?;
    let value = text(cursor)?;
    Ok(SearchKey::Header { field, value })
}

fn date(cursor: &mut Cursor<'_>) -> Result<Date> {
    let text = cursor.astring()?;
    Ok(parse_date(&text)?)
}

/// `MODSEQ [entry-name entry-type] n`: modification sequences are kept per message here, so the entry is ignored
/// (RFC 7162 section 3.1.5).
fn mod_seq(cursor: &mut Cursor<'_>) -> Result<SearchKey> {
    if cursor.peek() == Some(b'"') {
        cursor.quoted()?;
        cursor.sp()?;
        if !matches!(cursor.keyword()?.as_str(), "ALL" | "PRIV" | "SHARED") {
            return Err(Problem::Expected("all, priv or shared"));
        }
        cursor.sp()?;
    }
    Ok(SearchKey::ModSeq(cursor.mod_seq()?))
}
