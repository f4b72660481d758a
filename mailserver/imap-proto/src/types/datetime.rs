//! Dates as IMAP writes them.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The internal date of a message: a second in time, and the offset from UTC under which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InternalDate {
    unix_seconds: i64,
    offset_minutes: i16,
}

/// Why text is not a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// Not of the form that RFC 3501 gives.
    #[error("date is not of the form 02-Jan-2006 15:04:05 +0000")]
    Form,
    /// Well formed, but there is no such day, time or offset.
    #[error("there is no such date")]
    Range,
}

impl InternalDate {
    /// Seconds since 1970 in UTC, years 1 to 9998; what lies outside is moved to the nearest bound.
    pub fn from_unix_seconds(unix_seconds: i64) -> Self {
        Self { unix_seconds: unix_seconds.clamp(-62_135_510_400, 253_370_764_800), offset_minutes: 0 }
    }

    /// Seconds since 1970, shown at an offset from UTC (at most a day).
    pub fn with_offset(unix_seconds: i64, offset_minutes: i16) -> Result<Self, DateError> {
        if offset_minutes.abs() >= 24 * 60 {
            return Err(DateError::Range);
        }
        Ok(Self { offset_minutes, ..Self::from_unix_seconds(unix_seconds) })
    }

    /// Parses the text between the quotes of a `date-time`: `" 2-Jan-2006 15:04:05 +0000"`.
    pub fn parse(text: &[u8]) -> Result<Self, DateError> {
        let text = text.trim_ascii();
        let mut words = text.split(|&b| b == b' ');
        let (Some(date), Some(time), Some(zone), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(DateError::Form);
        };
        let date = parse_date(date)?;
        let offset_minutes = parse_zone(zone)?;
        let (hour, minute, second) = parse_time(time)?;
        let local = date.at(hour, minute, second, 0);
        let unix_seconds =
            Offset::UTC.to_timestamp(local).map_err(|_| DateError::Range)?.as_second() - i64::from(offset_minutes) * 60;
        Self::with_offset(unix_seconds, offset_minutes)
    }

    /// Seconds since 1970.
    pub fn unix_seconds(self) -> i64 {
        self.unix_seconds
    }

    /// Minutes east of UTC.
    pub fn offset_minutes(self) -> i16 {
        self.offset_minutes
    }

    /// The day, in its own time zone: what SEARCH BEFORE, ON and SINCE compare.
    pub fn date(self) -> Date {
        self.local().date()
    }

    fn local(self) -> DateTime {
        // Within bounds by construction: years 1 to 9998 and less than a day of offset.
        let seconds = self.unix_seconds + i64::from(self.offset_minutes) * 60;
        Timestamp::from_second(seconds).map_or(DateTime::MIN, |t| Offset::UTC.to_datetime(t))
    }
}

impl fmt::Display for InternalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.local();
        let (sign, offset) = match self.offset_minutes {
            negative @ ..0 => ('-', -negative),
            positive => ('+', positive),
        };
        write!(
            f,
            "{:02}-{}-{:04} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            local.day(),
            month_name(local.month()),
            local.year(),
            local.hour(),
            local.minute(),
            local.second(),
            offset / 60,
            offset % 60,
        )
    }
}

/// Parses `2-Jan-2006`; the day with one or two digits, the month in any case.
pub fn parse_date(text: &[u8]) -> Result<Date, DateError> {
    let mut words = text.split(|&b| b == b'-');
    let (Some(day), Some(month), Some(year), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(DateError::Form);
    };
    if year.len() != 4 {
        return Err(DateError::Form);
    }
    let month =
        (1i8..).zip(MONTHS).find(|(_, name)| name.as_bytes().eq_ignore_ascii_case(month)).ok_or(DateError::Form)?.0;
    let day = i8::try_from(digits(day)?).map_err(|_| DateError::Range)?;
    let year = i16::try_from(digits(year)?).map_err(|_| DateError::Range)?;
    Date::new(year, month, day).map_err(|_| DateError::Range)
}

/// Writes `2-Jan-2006`.
pub fn format_date(date: Date) -> String {
    format!("{}-{}-{:04}", date.day(), month_name(date.month()), date.year())
}

fn month_name(month: i8) -> &'static str {
    usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or("Jan")
}

/// One to four digits.
fn digits(text: &[u8]) -> Result<u16, DateError> {
    if text.is_empty() || text.len() > 4 || !text.iter().all(u8::is_ascii_digit) {
        return Err(DateError::Form);
    }
    Ok(text.iter().fold(0, |n, &b| n * 10 + u16::from(b - b'0')))
}

fn two_digits(text: &[u8]) -> Result<i8, DateError> {
    if text.len() != 2 {
        return Err(DateError::Form);
    }
    i8::try_from(digits(text)?).map_err(|_| DateError::Form)
}

fn parse_time(text: &[u8]) -> Result<(i8, i8, i8), DateError> {
    let mut words = text.split(|&b| b == b':');
    let (Some(hour), Some(minute), Some(second), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(DateError::Form);
    };
    let (hour, minute, second) = (two_digits(hour)?, two_digits(minute)?, two_digits(second)?);
    if hour > 23 || minute > 59 || second > 60 {
        return Err(DateError::Range);
    }
    // A leap second has no place of its own in Unix time.
    Ok((hour, minute, second.min(59)))
}

fn parse_zone(text: &[u8]) -> Result<i16, DateError> {
    let (sign, digits) = text.split_first().ok_or(DateError::Form)?;
    if digits.len() != 4 {
        return Err(DateError::Form);
    }
    let (hours, minutes) = (two_digits(&digits[..2])?, two_digits(&digits[2..])?);
    if hours > 23 || minutes > 59 {
        return Err(DateError::Range);
    }
    let offset = i16::from(hours) * 60 + i16::from(minutes);
    match sign {
        b'+' => Ok(offset),
        b'-' => Ok(-offset),
        _ => Err(DateError::Form),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes() {
        for (text, seconds, written) in [
            ("17-Jul-1996 02:44:25 -0700", 837_596_665, "17-Jul-1996 02:44:25 -0700"),
            (" 1-jan-1970 00:00:00 +0000", 0, "01-Jan-1970 00:00:00 +0000"),
            ("1-Jan-1970 01:30:00 +0130", 0, "01-Jan-1970 01:30:00 +0130"),
            ("31-Dec-1998 23:59:60 +0000", 915_148_799, "31-Dec-1998 23:59:59 +0000"),
        ] {
            let date = InternalDate::parse(text.as_bytes()).unwrap();
            assert_eq!(date.unix_seconds(), seconds, "{text}");
            assert_eq!(date.to_string(), written);
        }
    }

    #[test]
    fn refuses() {
        for bad in [
            "",
            "17-Jul-1996",
            "17-Jul-1996 02:44:25",
            "17-Jul-96 02:44:25 +0000",
            "30-Feb-2020 00:00:00 +0000",
            "1-Foo-2020 00:00:00 +0000",
            "1-Jan-2020 24:00:00 +0000",
            "1-Jan-2020 00:00 +0000",
            "1-Jan-2020 00:00:00 0000",
            "1-Jan-2020 00:00:00 +9999",
            "1-Jan-2020 00:00:00 +00000",
            "1-Jan-2020  00:00:00 +0000",
            "-1-Jan-2020 00:00:00 +0000",
            "1-Jan-0000 00:00:00 +2359x",
        ] {
            assert!(InternalDate::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn day_is_the_local_one() {
        let date = InternalDate::parse(b"1-Mar-2020 00:30:00 +0200").unwrap();
        assert_eq!(format_date(date.date()), "1-Mar-2020");
        assert_eq!(format_date(InternalDate::from_unix_seconds(date.unix_seconds()).date()), "29-Feb-2020");
    }

    proptest! {
        #[test]
        fn any_second_roundtrips(seconds in any::<i64>(), offset in -1439i16..1440) {
            let date = InternalDate::with_offset(seconds, offset).unwrap();
            prop_assert_eq!(InternalDate::parse(date.to_string().as_bytes()).unwrap(), date);
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = InternalDate::parse(&bytes);
            let _ = parse_date(&bytes);
        }
    }
}
