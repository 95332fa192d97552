//! How good the rules are, by what people said of their incidents.

use std::collections::BTreeMap;

use super::Centre;
use crate::Verdict;

/// What came of the incidents of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Incidents that its alerts were in.
    pub incidents: usize,
    /// Notifications made for them.
    pub words: u64,
    /// Verdicts.
    pub verdicts: BTreeMap<Verdict, usize>,
    /// Times until someone acknowledged, in milliseconds, ascending.
    pub to_acknowledge: Vec<i64>,
    /// Times until they were over, in milliseconds, ascending.
    pub to_resolve: Vec<i64>,
}

impl Record {
    /// The part of its judged incidents in which something was wrong: true of true and false. What was
    /// expected or told twice says nothing of the rule.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        let count = |verdict| self.verdicts.get(&verdict).copied().unwrap_or(0);
        let (right, wrong) = (count(Verdict::True), count(Verdict::False));
        let judged = u32::try_from(right + wrong).ok().filter(|n| *n > 0)?;
        Some(f64::from(u32::try_from(right).ok()?) / f64::from(judged))
    }

    /// The middle one of some times.
    #[must_use]
    pub fn median(times: &[i64]) -> Option<i64> {
        times.get(times.len() / 2).copied()
    }
}

impl Centre {
    /// What came of the incidents of each rule since some time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn records(&self, since_millis: i64) -> BTreeMap<String, Record> {
        let mut records: BTreeMap<String, Record> = BTreeMap::new();
        let incidents = self.incidents.values();
        for incident in incidents.filter(|it| it.opened_millis >= since_millis) {
            for rule in &incident.rules {
                let record = records.entry(rule.clone()).or_default();
                record.incidents += 1;
                record.words += u64::from(incident.words);
                if let Some((verdict, _)) = incident.verdict {
                    *record.verdicts.entry(verdict).or_default() += 1;
                }
                if self.routes.policy.incidents.resolution_tracking {
                    record
                        .to_acknowledge
                        .extend(incident.to_acknowledge_millis());
                    record.to_resolve.extend(incident.to_resolve_millis());
                }
            }
        }
        for record in records.values_mut() {
            record.to_acknowledge.sort_unstable();
            record.to_resolve.sort_unstable();
        }
        records
    }
}
