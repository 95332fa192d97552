//! The index: which series there are, and which of them a selector means.
//!
//! Every label pair has a number and a bitmap of the series that carry it (a posting list). A series
//! is the numbers of its pairs, so text is kept once, whatever the number of series. A selector is
//! answered by set operations on bitmaps; no series is looked at one by one.

mod interned;

use roaring::RoaringBitmap;
use series::{MatchOp, Matcher};

pub(crate) use interned::Index;

impl Index {
    /// The series that pass every matcher, of those whose labels are here.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        // Equality first: it is cheapest and cuts most.
        let (equal, other): (Vec<_>, Vec<_>) = matchers
            .iter()
            .partition(|matcher| matcher.op() == MatchOp::Equal);
        for matcher in equal.into_iter().chain(other) {
            let passing = self.passing(matcher);
            let rest = match found {
                None => passing,
                Some(found) => found & passing,
            };
            if rest.is_empty() {
                return rest;
            }
            found = Some(rest);
        }
        found.unwrap_or_else(|| self.hot().clone())
    }

    fn passing(&self, matcher: &Matcher) -> RoaringBitmap {
        if matcher.matches_absent() {
            // Series without the label pass too: take away those whose value does not.
            let mut passing = self.hot().clone();
            for (_, ids) in self
                .values(matcher.name())
                .filter(|(value, _)| !matcher.matches(value))
            {
                passing -= ids;
            }
            return passing;
        }
        let mut passing = RoaringBitmap::new();
        if let Some(literals) = matcher.literals() {
            for value in literals {
                if let Some(ids) = self.with(matcher.name(), value) {
                    passing |= ids;
                }
            }
            return passing;
        }
        let prefix = matcher.prefix();
        let mut values = self.values_from(matcher.name(), prefix);
        while let Some((value, ids)) = values.next().filter(|(value, _)| value.starts_with(prefix))
        {
            if matcher.matches(value) {
                passing |= ids;
            }
        }
        passing
    }
}

#[cfg(test)]
mod tests;
