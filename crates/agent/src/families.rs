//! What the metrics of this agent mean, in words: kept while they are said, and told bit by bit on
//! each stream.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use series::Family;
use wire::Message as _;
use wire::proto::MetricFamily;

/// Most metrics that are kept; of those that come after them nothing is told.
const FAMILIES_MAX: usize = 20_000;
/// Longest help that is told; the coordinator keeps no more.
const HELP_BYTES_MAX: usize = 1024;
/// Longest unit.
const UNIT_BYTES_MAX: usize = 64;
/// Most metrics that are told in one message.
const MESSAGE_FAMILIES_MAX: usize = 2000;
/// Most bytes of a message's field before its content.
const FIELD_BYTES_MAX: usize = 3;

#[derive(Debug, Default)]
struct Said {
    /// The place of each metric in the order of telling.
    places: HashMap<String, u64>,
    in_order: BTreeMap<u64, MetricFamily>,
    next: u64,
}

/// Help and unit of metrics, each as it was said last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Families(Arc<Mutex<Said>>);

impl Families {
    /// Takes note of what is said of a metric.
    pub(crate) fn note(&self, metric: &str, family: &Family) {
        if family.help.is_empty() && family.unit.is_empty() {
            return;
        }
        let help = cut(&family.help, HELP_BYTES_MAX);
        let unit = cut(&family.unit, UNIT_BYTES_MAX);
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Said {
            places,
            in_order,
            next,
        } = &mut *said;
        if let Some(place) = places.get(metric) {
            let before = in_order.get(place);
            if before.is_some_and(|it| it.help == help && it.unit == unit) {
                return;
            }
            in_order.remove(place);
        } else if places.len() >= FAMILIES_MAX {
            return;
        }
        places.insert(metric.to_owned(), *next);
        let family = MetricFamily {
            name: metric.to_owned(),
            help: help.to_owned(),
            unit: unit.to_owned(),
        };
        in_order.insert(*next, family);
        *next += 1;
    }

    /// Those noted at `place` or later, in order, as many as `bytes_max` bytes hold, and the place of
    /// the next ones.
    pub(crate) fn from(&self, place: u64, bytes_max: usize) -> (Vec<MetricFamily>, u64) {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut families, mut bytes, mut next) = (Vec::new(), 0, place);
        for (place, family) in said.in_order.range(place..) {
            bytes += family.encoded_len() + FIELD_BYTES_MAX;
            if bytes > bytes_max || families.len() >= MESSAGE_FAMILIES_MAX {
                break;
            }
            families.push(family.clone());
            next = place + 1;
        }
        (families, next)
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use wire::proto::SeriesDefinitions;

    use super::*;

    const ALL: usize = usize::MAX;

    fn family(help: &str, unit: &str) -> Family {
        Family {
            help: help.to_owned(),
            unit: unit.to_owned(),
            ..Family::default()
        }
    }

    fn names(families: &[MetricFamily]) -> Vec<&str> {
        families.iter().map(|it| it.name.as_str()).collect()
    }

    #[test]
    fn each_is_told_once_and_again_when_it_changes() {
        let families = Families::default();
        families.note("a", &family("A.", ""));
        families.note("b", &family("B.", "seconds"));
        families.note("nothing", &family("", ""));
        let (told, next) = families.from(0, ALL);
        assert_eq!((names(&told), next), (vec!["a", "b"], 2));
        families.note("a", &family("A.", ""));
        assert_eq!(families.from(next, ALL), (vec![], next));
        families.note("a", &family("Another.", ""));
        let (told, last) = families.from(next, ALL);
        assert_eq!(
            (told[0].help.as_str(), told.len(), last),
            ("Another.", 1, 3)
        );
        // A new stream hears of all.
        assert_eq!(names(&families.from(0, ALL).0), ["b", "a"]);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let families = Families::default();
        for number in 0..=FAMILIES_MAX {
            families.note(
                &format!("m{number}"),
                &family(&"ü".repeat(600), &"u".repeat(100)),
            );
        }
        let bytes_max = 16 * 1024;
        let (mut place, mut all) = (0, 0);
        loop {
            let (told, next) = families.from(place, bytes_max);
            let message = SeriesDefinitions {
                families: told.clone(),
                ..SeriesDefinitions::default()
            };
            assert!(message.encoded_len() <= bytes_max);
            let cut = |it: &MetricFamily| (it.help.len(), it.unit.len()) == (1024, 64);
            assert!(told.iter().all(cut));
            if told.is_empty() {
                break;
            }
            (place, all) = (next, all + told.len());
        }
        assert_eq!(all, FAMILIES_MAX);
        assert_eq!(families.from(0, 1000), (vec![], 0), "too little for one");
    }
}
