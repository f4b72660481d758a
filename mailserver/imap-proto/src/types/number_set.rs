//! Sets of numbers (UIDs or sequence numbers), kept as ranges.

use std::fmt;
use std::ops::RangeInclusive;

/// A set of numbers from 1 to `u32::MAX`, kept as sorted, disjoint ranges that do not touch.
/// `Display` writes it the way COPYUID, VANISHED and ESEARCH want it: `1:3,5`; the empty set is the empty string,
/// which those do not allow, so ask [`Self::is_empty`] first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash)]
pub struct NumberSet {
    ranges: Vec<(u32, u32)>,
}

impl NumberSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// The set of these numbers; 0 is left out.
    pub fn from_range(range: RangeInclusive<u32>) -> Self {
        let mut set = Self::new();
        set.insert_range(range);
        set
    }

    /// Adds a number; 0 is no number of IMAP and is ignored. Fast when numbers come in ascending order.
    pub fn insert(&mut self, number: u32) {
        self.insert_range(number..=number);
    }

    /// Adds all numbers of the range, without 0. An empty range adds nothing.
    pub fn insert_range(&mut self, range: RangeInclusive<u32>) {
        let (start, end) = (*range.start().max(&1), *range.end());
        if start > end {
            return;
        }
        // The ranges that overlap or touch the new one become one with it.
        let first = self.ranges.partition_point(|&(_, e)| e < start.saturating_sub(1));
        let last = self.ranges.partition_point(|&(s, _)| s <= end.saturating_add(1));
        if first == last {
            self.ranges.insert(first, (start, end));
            return;
        }
        let merged = (start.min(self.ranges[first].0), end.max(self.ranges[last - 1].1));
        self.ranges[first] = merged;
        self.ranges.drain(first + 1..last);
    }

    /// Is the number in the set?
    pub fn contains(&self, number: u32) -> bool {
        let at = self.ranges.partition_point(|&(_, end)| end < number);
        self.ranges.get(at).is_some_and(|&(start, _)| start <= number)
    }

    /// Is nothing in it?
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers are in it.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(start, end)| u64::from(end - start) + 1).sum()
    }

    /// The smallest number.
    pub fn min(&self) -> Option<u32> {
        self.ranges.first().map(|&(start, _)| start)
    }

    /// The largest number.
    pub fn max(&self) -> Option<u32> {
        self.ranges.last().map(|&(_, end)| end)
    }

    /// The ranges in ascending order, both ends included.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = RangeInclusive<u32>> + '_ {
        self.ranges.iter().map(|&(start, end)| start..=end)
    }

    /// The numbers in ascending order. Beware of `1:4294967295`: bound it first with [`Self::clipped`], or go
    /// through [`Self::select`].
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges().flatten()
    }

    /// What of it is at most `last`.
    #[must_use]
    pub fn clipped(&self, last: u32) -> Self {
        let ranges = self
            .ranges
            .iter()
            .filter(|&&(start, _)| start <= last)
            .map(|&(start, end)| (start, end.min(last)))
            .collect();
        Self { ranges }
    }

    /// Positions in an ascending list whose numbers are in the set, in ascending order. Time grows with the ranges
    /// and with what is found, not with the width of the ranges.
    pub fn select<'a>(&'a self, ascending: &'a [u32]) -> impl Iterator<Item = usize> + 'a {
        self.ranges.iter().flat_map(move |&(start, end)| {
            let from = ascending.partition_point(|&n| n < start);
            let to = from + ascending[from..].partition_point(|&n| n <= end);
            from..to
        })
    }

    /// The numbers in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut left, mut right) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        let mut ranges = Vec::new();
        while let (Some(&&(ls, le)), Some(&&(rs, re))) = (left.peek(), right.peek()) {
            let (start, end) = (ls.max(rs), le.min(re));
            if start <= end {
                ranges.push((start, end));
            }
            if le <= re {
                left.next();
            } else {
                right.next();
            }
        }
        Self { ranges }
    }

    /// The numbers in this set but not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let mut holes = other.ranges.iter().peekable();
        for &(mut start, end) in &self.ranges {
            loop {
                while holes.next_if(|&&(_, hole_end)| hole_end < start).is_some() {}
                match holes.peek() {
                    Some(&&(hole_start, hole_end)) if hole_start <= end => {
                        if hole_start > start {
                            ranges.push((start, hole_start - 1));
                        }
                        if hole_end >= end {
                            break;
                        }
                        start = hole_end + 1;
                    }
                    _ => {
                        ranges.push((start, end));
                        break;
                    }
                }
            }
        }
        Self { ranges }
    }
}

impl FromIterator<u32> for NumberSet {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> Self {
        let mut set = Self::new();
        set.extend(numbers);
        set
    }
}

impl Extend<u32> for NumberSet {
    fn extend<I: IntoIterator<Item = u32>>(&mut self, numbers: I) {
        numbers.into_iter().for_each(|number| self.insert(number));
    }
}

impl fmt::Display for NumberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, &(start, end)) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if start == end {
                write!(f, "{start}")?;
            } else {
                write!(f, "{start}:{end}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_ranges() {
        let set: NumberSet = [5, 1, 2, 3, 9, 10, 0].into_iter().collect();
        assert_eq!(set.to_string(), "1:3,5,9:10");
        assert_eq!(set.len(), 6);
        let all = NumberSet::from_range(1..=u32::MAX);
        assert_eq!(all.to_string(), "1:4294967295");
        assert_eq!(all.len(), u64::from(u32::MAX));
        assert_eq!(all.select(&[3, 7]).collect::<Vec<_>>(), [0, 1]);
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(a in proptest::collection::vec(0u32..60, 0..40),
                              b in proptest::collection::vec(0u32..60, 0..40), last in 0u32..60) {
            let (x, y): (NumberSet, NumberSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            let (p, q): (BTreeSet<u32>, BTreeSet<u32>) =
                (a.into_iter().filter(|n| *n > 0).collect(), b.into_iter().filter(|n| *n > 0).collect());
            prop_assert_eq!(x.iter().collect::<Vec<_>>(), p.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(x.len(), p.len() as u64);
            prop_assert_eq!(x.min(), p.first().copied());
            prop_assert_eq!(x.max(), p.last().copied());
            for n in 0..60 {
                prop_assert_eq!(x.contains(n), p.contains(&n));
            }
            prop_assert_eq!(x.intersection(&y), p.intersection(&q).copied().collect::<NumberSet>());
            prop_assert_eq!(x.difference(&y), p.difference(&q).copied().collect::<NumberSet>());
            prop_assert_eq!(x.clipped(last), p.range(..=last).copied().collect::<NumberSet>());
            let list: Vec<u32> = q.into_iter().collect();
            let found: Vec<u32> = x.select(&list).map(|at| list[at]).collect();
            prop_assert_eq!(found, x.intersection(&y).iter().collect::<Vec<_>>());
            // Ranges are as few as can be.
            let ranges: Vec<_> = x.ranges().collect();
            prop_assert!(ranges.windows(2).all(|w| w[0].end() + 1 < *w[1].start()));
        }

        #[test]
        fn ranges_in_any_order(ranges in proptest::collection::vec((0u32..60, 0u32..60), 0..12)) {
            let mut set = NumberSet::new();
            let mut oracle = BTreeSet::new();
            for (start, end) in ranges {
                set.insert_range(start..=end);
                oracle.extend((start..=end).filter(|n| *n > 0));
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), oracle.into_iter().collect::<Vec<_>>());
        }
    }
}
