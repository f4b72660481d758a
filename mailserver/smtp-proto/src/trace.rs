//! What a receiving server writes in front of a message: `Return-Path` and `Received`
//! (RFC 5321 section 4.4, RFC 3848).

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::address::{ForwardPath, ReversePath, write_literal};
use crate::session::{Protocol, Security};

/// Seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// The time as RFC 5322 `date-time` in UTC: `Mon, 23 Nov 2026 20:30:27 +0000`.
    pub fn to_rfc5322(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let days = self.0 / 86_400;
        let (hour, minute, second) = (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        let (year, month, day) = civil_from_days(days);
        let pick = |names: &[&'static str], at: u64| {
            usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
        };
        let weekday = pick(&DAYS, days % 7);
        let month = pick(&MONTHS, month - 1);
        format!("{weekday}, {day} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
    }
}

/// Year, month (1-12) and day of a day counted from 1970-01-01 (Gregorian). Years are counted from
/// March, so the leap day is the last of its year; an era is 400 years or 146097 days.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// What a `Received` field tells about one message.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The name the client gave itself.
    pub helo: &'a str,
    /// The address it came from.
    pub peer: IpAddr,
    /// The name of this server.
    pub host: &'a str,
    /// Protocol the message came by.
    pub protocol: Protocol,
    /// Whether EHLO (or LHLO) was used rather than HELO.
    pub extended: bool,
    /// Whether the connection was encrypted.
    pub security: Security,
    /// Whether the client had authenticated.
    pub authenticated: bool,
    /// The identity of this reception, without white space; shown in the reply too.
    pub id: &'a str,
    /// The recipient, when it is the only one: others must not learn of each other.
    pub sole_recipient: Option<&'a ForwardPath>,
    /// When the message was received.
    pub at: UnixSeconds,
}

impl Received<'_> {
    /// The transmission type of RFC 3848, such as `ESMTPSA`.
    pub fn with(&self) -> String {
        let base = match (self.protocol, self.extended) {
            (Protocol::Lmtp, _) => "LMTP",
            (Protocol::Smtp, true) => "ESMTP",
            // RFC 3848 has no form of plain SMTP with TLS or AUTH: both need EHLO.
            (Protocol::Smtp, false) => return "SMTP".to_owned(),
        };
        let secure = if self.security == Security::Tls { "S" } else { "" };
        let authenticated = if self.authenticated { "A" } else { "" };
        format!("{base}{secure}{authenticated}")
    }

    /// The field, folded, with its CRLF.
    pub fn to_field(&self) -> String {
        let mut field = format!("Received: from {} (", self.helo);
        // Writing to a String cannot fail.
        let _ = write_literal(&mut field, self.peer);
        let _ = write!(field, ")\r\n\tby {} with {} id {}", self.host, self.with(), self.id);
        if let Some(only) = self.sole_recipient {
            let _ = write!(field, "\r\n\tfor {only}");
        }
        let _ = write!(field, ";\r\n\t{}\r\n", self.at.to_rfc5322());
        field
    }
}

/// The `Return-Path` field with its CRLF, written at final delivery in front of everything else.
pub fn return_path_field(reverse_path: &ReversePath) -> String {
    format!("Return-Path: {reverse_path}\r\n")
}

/// How many `Received` fields the header of `message` has. Counting stops at `max + 1`.
pub fn count_hops(message: &[u8], max: usize) -> usize {
    const NAME: &[u8] = b"received:";
    message
        .split(|&byte| byte == b'\n')
        .take_while(|line| !matches!(line, [] | [b'\r']))
        .filter(|line| line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME)))
        .take(max.saturating_add(1))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let table = [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 +0000"),
            (1_795_465_827, "Mon, 23 Nov 2026 20:30:27 +0000"),
            (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
        ];
        for (seconds, want) in table {
            assert_eq!(UnixSeconds(seconds).to_rfc5322(), want);
        }
    }

    #[test]
    fn the_recipient_is_named_only_when_it_is_alone() {
        let ann = crate::address::parse_forward_path("<ann@a.example>").unwrap().0;
        let mut received = Received {
            helo: "client.example",
            peer: "2001:db8::1".parse().unwrap(),
            host: "mx.a.example",
            protocol: Protocol::Smtp,
            extended: true,
            security: Security::Tls,
            authenticated: true,
            id: "1f",
            sole_recipient: Some(&ann),
            at: UnixSeconds(0),
        };
        assert_eq!(
            received.to_field(),
            "Received: from client.example ([IPv6:2001:db8::1])\r\n\tby mx.a.example with ESMTPSA id 1f\
             \r\n\tfor <ann@a.example>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
        received.sole_recipient = None;
        assert!(!received.to_field().contains("for <"));
        received.security = Security::Plain;
        received.authenticated = false;
        assert_eq!(received.with(), "ESMTP");
        received.protocol = Protocol::Lmtp;
        assert_eq!(received.with(), "LMTP");
        received.protocol = Protocol::Smtp;
        received.extended = false;
        assert_eq!(received.with(), "SMTP");
    }

    #[test]
    fn hops_are_counted_in_the_header_only() {
        let message = b"Received: a\r\nX: b\r\nRECEIVED: c\r\n\r\nReceived: no\r\n";
        assert_eq!(count_hops(message, 100), 2);
        assert_eq!(count_hops(message, 0), 1);
    }
}
