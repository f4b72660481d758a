//! Values with units: `10s`, `500ms`, `10M`, `TRUE`.

use std::time::Duration;

/// A duration: a whole number with `ms`, `s`, `m`, `h` or `d`; without a unit, seconds.
///
/// # Errors
/// What was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text:?} is no duration: give a number with ms, s, m, h or d, such as 10s");
    let (number, unit) = split(text).ok_or_else(expected)?;
    let millis = match unit.to_ascii_lowercase().as_str() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(expected)
}

/// A size in bytes: a whole number with `K`, `M`, `G` or `T` (powers of 1024; `B` and `iB` may follow).
///
/// # Errors
/// What was expected.
pub fn size(text: &str) -> Result<u64, String> {
    let expected = || format!("{text:?} is no size: give a number with K, M, G or T, such as 10M");
    let (number, unit) = split(text).ok_or_else(expected)?;
    let unit = unit.to_ascii_uppercase();
    let letter = unit.strip_suffix("IB").or_else(|| unit.strip_suffix('B')).unwrap_or(&unit);
    let factor: u64 = match letter {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return Err(expected()),
    };
    number.checked_mul(factor).ok_or_else(expected)
}

/// `TRUE`, `yes`, `on`, `1` and their opposites, in any letter case.
///
/// # Errors
/// What was expected.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither TRUE nor FALSE")),
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("10s").unwrap(), Duration::from_secs(10));
        assert_eq!(duration("2").unwrap(), Duration::from_secs(2));
        assert_eq!(duration("1500 ms").unwrap(), Duration::from_millis(1500));
        assert_eq!(duration("1d").unwrap(), Duration::from_hours(24));
        assert_eq!(size("10M").unwrap(), 10 << 20);
        assert_eq!(size("10MiB").unwrap(), 10 << 20);
        assert_eq!(size("3 gb").unwrap(), 3 << 30);
        assert_eq!(size("512").unwrap(), 512);
        for bad in ["", "s", "-1s", "1.5s", "10 parsecs", "99999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["", "M", "10X", "99999999999999999T"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn truth_is_said_in_any_letter_case() {
        assert!(boolean("TRUE").unwrap() && boolean("yes").unwrap() && !boolean("False").unwrap());
        assert!(boolean("perhaps").is_err());
    }
}
