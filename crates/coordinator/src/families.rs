//! What metrics mean: the help and unit that agents and senders of remote writes say of them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use series::labels::is_metric_name;
use series::{Family, MetricKind};
use store::{StateRow, Store};

/// State space of families. Never reused for anything else.
const SPACE: u8 = 3;

/// Most families that are kept; those that come after them are left out. A fleet has some thousands.
const FAMILIES_MAX: usize = 50_000;
/// Longest name.
const NAME_BYTES_MAX: usize = 256;
/// Longest help and unit; what is longer is cut.
const HELP_BYTES_MAX: usize = 1024;
const UNIT_BYTES_MAX: usize = 64;

/// The families of all metrics, each as it was said last. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Families {
    store: Arc<Store>,
    by_name: Arc<RwLock<BTreeMap<String, Family>>>,
}

impl Families {
    /// Those that `store` remembers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Arc<Store>) -> Result<Self, store::Error> {
        let mut by_name = BTreeMap::new();
        for row in store.scan_state(SPACE, &[], FAMILIES_MAX)? {
            match String::from_utf8(row.key).map(|name| (decode(&name, &row.value), name)) {
                Ok((Some(family), name)) => {
                    by_name.insert(name, family);
                }
                _ => tracing::warn!("a metric family's row cannot be read and is left where it is"),
            }
        }
        Ok(Self {
            store,
            by_name: Arc::new(RwLock::new(by_name)),
        })
    }

    /// Takes note of families; what was known already costs nothing. A family without help and unit
    /// takes away neither.
    ///
    /// # Errors
    /// When what is new cannot be written.
    pub fn note(&self, said: impl IntoIterator<Item = Family>) -> Result<(), store::Error> {
        let mut new: Vec<Family> = Vec::new();
        {
            let known = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
            for mut family in said {
                cut(&mut family.help, HELP_BYTES_MAX);
                cut(&mut family.unit, UNIT_BYTES_MAX);
                let is_named = is_metric_name(&family.name) && family.name.len() <= NAME_BYTES_MAX;
                let has_room = known.len() + new.len() < FAMILIES_MAX;
                let changes = match known.get(&family.name) {
                    Some(before) => {
                        complete(&mut family, before);
                        *before != family
                    }
                    None => has_room && !is_empty(&family),
                };
                if is_named && changes {
                    new.push(family);
                }
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let row = |family: &Family| StateRow {
            key: family.name.clone().into_bytes(),
            value: encode(family),
        };
        self.store.put_state(SPACE, new.iter().map(row).collect())?;
        let mut known = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(new.into_iter().map(|family| (family.name.clone(), family)));
        Ok(())
    }

    /// What is known of a metric.
    #[must_use]
    pub fn get(&self, metric: &str) -> Option<Family> {
        let known = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        known.get(metric).cloned()
    }
}

fn is_empty(family: &Family) -> bool {
    family.help.is_empty() && family.unit.is_empty() && family.kind == MetricKind::Unknown
}

/// Fills what is not said with what was said before.
fn complete(family: &mut Family, before: &Family) {
    if family.help.is_empty() {
        family.help.clone_from(&before.help);
    }
    if family.unit.is_empty() {
        family.unit.clone_from(&before.unit);
    }
    if family.kind == MetricKind::Unknown {
        family.kind = before.kind;
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

/// Kind, length of the unit, unit, help.
fn encode(family: &Family) -> Vec<u8> {
    let unit = u8::try_from(family.unit.len()).unwrap_or(0);
    let mut row = vec![family.kind.code(), unit];
    row.extend_from_slice(family.unit.as_bytes());
    row.extend_from_slice(family.help.as_bytes());
    row
}

fn decode(name: &str, row: &[u8]) -> Option<Family> {
    let [kind, unit, texts @ ..] = row else {
        return None;
    };
    let texts = std::str::from_utf8(texts).ok()?;
    let (unit, help) = texts.split_at_checked(usize::from(*unit))?;
    Some(Family {
        name: name.to_owned(),
        kind: MetricKind::from_code(*kind),
        help: help.to_owned(),
        unit: unit.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use store::engine::memory::Memory;

    use super::*;

    fn family(name: &str, kind: MetricKind, help: &str, unit: &str) -> Family {
        Family {
            name: name.to_owned(),
            kind,
            help: help.to_owned(),
            unit: unit.to_owned(),
        }
    }

    fn open(engine: &Arc<Memory>) -> Families {
        let (store, _) = Store::open(Box::new(Arc::clone(engine))).unwrap();
        Families::open(Arc::new(store)).unwrap()
    }

    #[test]
    fn what_is_said_of_a_metric_is_kept_over_a_restart() {
        let engine = Arc::new(Memory::default());
        let families = open(&engine);
        let said = family("a_seconds_total", MetricKind::Counter, "Time.", "seconds");
        families.note([said.clone()]).unwrap();
        // Who says less takes nothing away, and who says something else is believed.
        let silent = family("a_seconds_total", MetricKind::Unknown, "", "");
        families.note([silent]).unwrap();
        assert_eq!(families.get("a_seconds_total"), Some(said));
        let other = family("a_seconds_total", MetricKind::Unknown, "Time spent.", "");
        families.note([other]).unwrap();
        let both = family(
            "a_seconds_total",
            MetricKind::Counter,
            "Time spent.",
            "seconds",
        );
        assert_eq!(families.get("a_seconds_total"), Some(both.clone()));
        assert_eq!(open(&engine).get("a_seconds_total"), Some(both));
    }

    #[test]
    fn what_is_said_is_bounded() {
        let engine = Arc::new(Memory::default());
        let families = open(&engine);
        let long = "ü".repeat(2000);
        families
            .note([
                family("long", MetricKind::Gauge, &long, &long),
                family("no name", MetricKind::Gauge, "x", ""),
                family(&"n".repeat(257), MetricKind::Gauge, "x", ""),
                family("nothing", MetricKind::Unknown, "", ""),
            ])
            .unwrap();
        let kept = families.get("long").unwrap();
        assert_eq!((kept.help.len(), kept.unit.len()), (1024, 64));
        assert_eq!(families.by_name.read().unwrap().len(), 1);
        let many = |from: usize| {
            (from..from + 50_000).map(|n| family(&format!("m{n}"), MetricKind::Gauge, "x", ""))
        };
        families.note(many(0)).unwrap();
        families.note(many(50_000)).unwrap();
        assert_eq!(families.by_name.read().unwrap().len(), FAMILIES_MAX);
    }
}
