//! ENVELOPE (RFC 3501 section 7.4.2).

use std::borrow::Cow;

use super::address;
use super::header::Header;

/// The envelope of a message: fields in raw form, on one line. A field that is missing is `None` (NIL), one that is
/// empty is an empty string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope<'a> {
    /// `Date:`
    pub date: Option<Cow<'a, [u8]>>,
    /// `Subject:`
    pub subject: Option<Cow<'a, [u8]>>,
    /// `From:`
    pub from: Vec<Address<'a>>,
    /// `Sender:`, or From where there is none.
    pub sender: Vec<Address<'a>>,
    /// `Reply-To:`, or From where there is none.
    pub reply_to: Vec<Address<'a>>,
    /// `To:`
    pub to: Vec<Address<'a>>,
    /// `Cc:`
    pub cc: Vec<Address<'a>>,
    /// `Bcc:`
    pub bcc: Vec<Address<'a>>,
    /// `In-Reply-To:`
    pub in_reply_to: Option<Cow<'a, [u8]>>,
    /// `Message-ID:`
    pub message_id: Option<Cow<'a, [u8]>>,
}

/// An address, or the beginning or end of a group.
///
/// * An address has `mailbox` and `host`; one of them may be empty where the header is malformed.
/// * A group begins with `host` NIL and its name in `mailbox`, and ends with all four NIL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Address<'a> {
    /// The display name, in raw form (RFC 2047 not decoded), without quotes.
    pub name: Option<Cow<'a, [u8]>>,
    /// The source route (`adl`), which nobody uses any longer.
    pub route: Option<Cow<'a, [u8]>>,
    /// What stands before the `@`.
    pub mailbox: Option<Cow<'a, [u8]>>,
    /// What stands behind it.
    pub host: Option<Cow<'a, [u8]>>,
}

impl<'a> Envelope<'a> {
    /// The envelope that a header gives. Of fields that occur more than once, the first counts.
    pub fn of(header: &Header<'a>) -> Self {
        let addresses = |name| header.first(name).map(address::parse).unwrap_or_default();
        let from = addresses("From");
        let or_from = |addresses: Vec<Address<'a>>| {
            if addresses.is_empty() { from.clone() } else { addresses }
        };
        Self {
            date: header.unfolded("Date"),
            subject: header.unfolded("Subject"),
            sender: or_from(addresses("Sender")),
            reply_to: or_from(addresses("Reply-To")),
            to: addresses("To"),
            cc: addresses("Cc"),
            bcc: addresses("Bcc"),
            in_reply_to: header.unfolded("In-Reply-To"),
            message_id: header.unfolded("Message-ID"),
            from,
        }
    }
}
