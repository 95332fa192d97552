//! What was done and what was refused, by whom: kept as long as samples are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::{StateRow, Store};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::metrics::Metrics;

/// State space of the audit log. Never reused for anything else.
const SPACE: u8 = 4;
/// Entries that may wait to be written. Beyond it they are counted and left out.
const WAITING_MAX: usize = 4096;
/// What is refused again in this time is counted, and told in one entry at its end: who knocks a
/// thousand times a second fills no disk.
const REPEATS_EVERY: Duration = Duration::from_secs(60);
/// Refusals that are told apart within that time; beyond it those that come new are told as one.
const KINDS_MAX: usize = 1024;
/// Most entries of one page of a listing.
pub const LISTING_MAX: usize = 1000;
/// Most entries looked at for one page.
const LOOKED_AT_MAX: usize = 100_000;
/// Entries read at a time.
const READ_MAX: usize = 1000;
/// Most entries written at a time.
const TOGETHER_MAX: usize = 256;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not let in.
    Refused,
}

impl Outcome {
    /// As it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// Reads what [`Self::as_str`] shows.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let all = [Self::Done, Self::Refused];
        all.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Who; empty when it is not known.
    pub who: String,
    /// From where.
    pub address: String,
    /// What was wanted: a service, a page or a change.
    pub action: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was refused, or what was changed.
    pub detail: String,
}

/// Which entries are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only those at or after this time, in milliseconds since the Unix epoch.
    pub since_millis: i64,
    /// Only those before this time.
    pub until_millis: Option<i64>,
    /// Only those of this caller.
    pub who: Option<String>,
    /// Only those of actions that begin so.
    pub action: String,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
    /// At most so many, and never more than [`LISTING_MAX`].
    pub limit: usize,
    /// Where the page before ended: [`Page::next`].
    pub from: Option<Vec<u8>>,
}

impl Wanted {
    fn has(&self, entry: &Entry) -> bool {
        self.who.as_ref().is_none_or(|who| *who == entry.who)
            && entry.action.starts_with(&self.action)
            && self.outcome.is_none_or(|it| it == entry.outcome)
    }

    fn start(&self) -> Vec<u8> {
        // The first key of an instant comes before all of the instant before.
        let until = self
            .until_millis
            .map_or(i64::MAX, |at| at.saturating_sub(1));
        let first = first_key_at(until).to_vec();
        match &self.from {
            Some(from) if *from > first => from.clone(),
            _ => first,
        }
    }
}

/// A part of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries, newest first.
    pub entries: Vec<Entry>,
    /// Where the next page begins; none after the last.
    pub next: Option<Vec<u8>>,
}

/// The audit log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    waiting: mpsc::Sender<Entry>,
    metrics: Arc<Metrics>,
}

impl Audit {
    /// A log and the end of it that is to be run, which writes it.
    #[must_use]
    pub fn new(store: Arc<Store>, metrics: Arc<Metrics>) -> (Self, Writing) {
        let (waiting, entries) = mpsc::channel(WAITING_MAX);
        let writing = Writing {
            store,
            metrics: Arc::clone(&metrics),
            entries,
            kinds: HashMap::new(),
            number: 0,
        };
        (Self { waiting, metrics }, writing)
    }

    /// Records an entry soon. It never waits.
    pub fn record(&self, entry: Entry) {
        if self.waiting.try_send(entry).is_err() {
            self.metrics.audit_left_out.inc();
        }
    }

    /// A page of the entries that are wanted, newest first. It ends early when very many had to be looked at.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list(store: &Store, wanted: &Wanted) -> Result<Page, store::Error> {
        let limit = wanted.limit.min(LISTING_MAX);
        let mut page = Page::default();
        let mut start = wanted.start();
        for _ in 0..LOOKED_AT_MAX / READ_MAX {
            let rows = store.scan_state(SPACE, &start, READ_MAX)?;
            let is_last = rows.len() < READ_MAX;
            for row in rows {
                start = [&row.key[..], &[0]].concat();
                let Ok(entry) = serde_json::from_slice::<Entry>(&row.value) else {
                    continue;
                };
                if entry.at_millis < wanted.since_millis {
                    return Ok(page);
                }
                if !wanted.has(&entry) {
                    continue;
                }
                if page.entries.len() == limit {
                    page.next = Some(row.key);
                    return Ok(page);
                }
                page.entries.push(entry);
            }
            if is_last {
                return Ok(page);
            }
        }
        page.next = Some(start);
        Ok(page)
    }
}

/// Drops what was recorded before `oldest_millis`.
///
/// # Errors
/// When the store fails.
pub(crate) fn retain(store: &Store, oldest_millis: i64) -> Result<(), store::Error> {
    store.drop_state(SPACE, &first_key_at(oldest_millis.saturating_sub(1)))
}

/// Newest first.
fn first_key_at(at_millis: i64) -> [u8; 8] {
    (u64::MAX - (at_millis.cast_unsigned() ^ (1 << 63))).to_be_bytes()
}

/// What tells refusals apart: who, from which host, what, why.
type Kind = [String; 4];

/// The writing end.
#[derive(Debug)]
pub struct Writing {
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    entries: mpsc::Receiver<Entry>,
    /// Kinds of refusals of the present minute, with the last one and how often it came again.
    kinds: HashMap<Kind, (Entry, u64)>,
    /// Tells entries of one millisecond apart.
    number: u32,
}

impl Writing {
    /// Writes what is recorded until no one can record any more, and tells of repeats each minute.
    pub async fn run(mut self) {
        let mut minutes = interval(REPEATS_EVERY);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        minutes.reset();
        let mut together = Vec::new();
        loop {
            let fresh = tokio::select! {
                got = self.entries.recv_many(&mut together, TOGETHER_MAX) => got,
                _ = minutes.tick() => {
                    let repeats = self.repeats();
                    self.write(repeats).await;
                    continue;
                }
            };
            if fresh == 0 {
                let repeats = self.repeats();
                return self.write(repeats).await;
            }
            let entries = std::mem::take(&mut together);
            let told = entries.into_iter().filter_map(|entry| self.told(entry));
            let told = told.collect();
            self.write(told).await;
        }
    }

    /// The entry, unless it repeats one of this minute.
    fn told(&mut self, entry: Entry) -> Option<Entry> {
        if entry.outcome != Outcome::Refused {
            return Some(entry);
        }
        // The port of each attempt is another.
        let host = entry.address.rsplit_once(':').map_or("", |(host, _)| host);
        let mut kind = [&entry.who, host, &entry.action, &entry.detail].map(str::to_owned);
        if self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind) {
            kind = std::array::from_fn(|_| String::new());
        }
        if let Some((last, more)) = self.kinds.get_mut(&kind) {
            (*last, *more) = (entry, *more + 1);
            return None;
        }
        self.kinds.insert(kind, (entry.clone(), 0));
        Some(entry)
    }

    /// What came again in the minute that ends.
    fn repeats(&mut self) -> Vec<Entry> {
        let kinds = std::mem::take(&mut self.kinds);
        let again = kinds.into_values().filter(|(_, more)| *more > 0);
        again
            .map(|(mut entry, more)| {
                entry.detail = format!("{} ({more} more times within a minute)", entry.detail);
                entry
            })
            .collect()
    }

    async fn write(&mut self, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let rows = entries.iter().map(|entry| {
            self.number = self.number.wrapping_add(1);
            let mut key = first_key_at(entry.at_millis).to_vec();
            key.extend_from_slice(&(u32::MAX - self.number).to_be_bytes());
            let value = serde_json::to_vec(entry).unwrap_or_default();
            StateRow { key, value }
        });
        let rows: Vec<StateRow> = rows.collect();
        let (count, store) = (rows.len() as u64, Arc::clone(&self.store));
        let written = daemon::blocking::spawn(move || store.put_state(SPACE, rows)).await;
        let failed = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => daemon::chain(&error),
            Err(_panicked) => "writing panicked".to_owned(),
        };
        self.metrics.audit_left_out.add(count);
        tracing::error!(error = failed, count, "entries of the audit log are lost");
    }
}

#[cfg(test)]
mod tests {
    use store::engine::memory::Memory;

    use super::*;

    fn refused(at_millis: i64, who: &str, port: u16) -> Entry {
        Entry {
            at_millis,
            who: who.to_owned(),
            address: format!("10.0.0.1:{port}"),
            action: "ingest".to_owned(),
            outcome: Outcome::Refused,
            detail: "no".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_is_refused_again_is_told_once_with_its_count() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        let store = Arc::new(store);
        let (audit, writing) = Audit::new(Arc::clone(&store), Metrics::new());
        for at in 0..1000 {
            audit.record(refused(at, "a", 1000 + u16::try_from(at).unwrap()));
        }
        audit.record(refused(1000, "b", 1));
        audit.record(Entry {
            outcome: Outcome::Done,
            ..refused(1000, "c", 1)
        });
        drop(audit);
        writing.run().await;
        let list = |since_millis, limit| {
            let wanted = Wanted {
                since_millis,
                limit,
                ..Wanted::default()
            };
            Audit::list(&store, &wanted).unwrap().entries
        };
        let told = list(0, 99);
        let told: Vec<_> = told
            .iter()
            .map(|entry| (entry.at_millis, entry.who.as_str(), entry.detail.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (1000, "c", "no"),
                (1000, "b", "no"),
                (999, "a", "no (999 more times within a minute)"),
                (0, "a", "no"),
            ]
        );
        assert_eq!(list(999, 2).len(), 2);
        retain(&store, 999).unwrap();
        assert_eq!(list(0, 99).len(), 3);
    }

    #[tokio::test]
    async fn every_entry_is_on_one_page_whatever_is_wanted() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        let store = Arc::new(store);
        let (audit, writing) = Audit::new(Arc::clone(&store), Metrics::new());
        let writing = tokio::spawn(writing.run());
        let all: Vec<Entry> = (0..2500_i64)
            .map(|number| Entry {
                // Several in one millisecond.
                at_millis: number / 7,
                outcome: Outcome::Done,
                who: format!("who-{}", number % 3),
                action: format!(
                    "{}.{number}",
                    ["silence", "token"][usize::from(number % 2 == 0)]
                ),
                ..refused(0, "", 1)
            })
            .collect();
        for entry in &all {
            audit.waiting.send(entry.clone()).await.unwrap();
        }
        drop(audit);
        writing.await.unwrap();
        let wanted = |who: Option<&str>, action: &str, until_millis| Wanted {
            who: who.map(str::to_owned),
            action: action.to_owned(),
            until_millis,
            since_millis: 20,
            limit: 97,
            ..Wanted::default()
        };
        for (wanted, pages) in [
            (wanted(None, "", None), 25),
            (wanted(Some("who-1"), "", None), 9),
            (wanted(None, "token", Some(300)), 11),
            (wanted(Some("nobody"), "", None), 1),
        ] {
            let mut found = Vec::new();
            let mut from = None;
            let mut count = 0;
            loop {
                let wanted = Wanted {
                    from,
                    ..wanted.clone()
                };
                let page = Audit::list(&store, &wanted).unwrap();
                found.extend(page.entries);
                count += 1;
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
            let before = wanted.until_millis.unwrap_or(i64::MAX);
            let times = wanted.since_millis..before;
            let expected = all.iter().rev();
            let expected = expected.filter(|it| times.contains(&it.at_millis) && wanted.has(it));
            assert_eq!(found, expected.cloned().collect::<Vec<_>>());
            assert_eq!(count, pages, "{wanted:?}");
        }
    }

    #[test]
    fn a_page_for_which_too_many_were_looked_at_ends_early_and_the_next_goes_on() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        // The oldest is the only one of its caller.
        let rows = (0..=LOOKED_AT_MAX).map(|number| {
            let at_millis = i64::try_from(number).unwrap();
            let who = if number == 0 { "b" } else { "a" };
            StateRow {
                key: first_key_at(at_millis).to_vec(),
                value: serde_json::to_vec(&refused(at_millis, who, 1)).unwrap(),
            }
        });
        store.put_state(SPACE, rows.collect()).unwrap();
        let mut wanted = Wanted {
            who: Some("b".to_owned()),
            limit: 1,
            ..Wanted::default()
        };
        let page = Audit::list(&store, &wanted).unwrap();
        assert!(page.entries.is_empty() && page.next.is_some());
        wanted.from = page.next;
        let page = Audit::list(&store, &wanted).unwrap();
        assert_eq!((page.entries, page.next), (vec![refused(0, "b", 1)], None));
    }

    #[tokio::test]
    async fn so_many_kinds_of_refusals_are_told_as_one() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        let store = Arc::new(store);
        let (audit, writing) = Audit::new(Arc::clone(&store), Metrics::new());
        for who in 0..2 * KINDS_MAX {
            audit.record(refused(1, &who.to_string(), 1));
        }
        drop(audit);
        writing.run().await;
        assert_eq!(
            store.scan_state(SPACE, &[], 9999).unwrap().len(),
            KINDS_MAX + 2
        );
    }
}
