//! Series that are only in older days: their labels are on disk and not in memory.
//!
//! A deployment replaces every pod and with it every series, so a store of a year knows many times the
//! series that are alive. The index holds those of the heads and of the two newest days. The others
//! are *cold*: a number in a bitmap. A read whose range touches days that have cold series reads the
//! rows of these series and compares labels one by one, about a microsecond each.
//!
//! A label set that comes again after its series went cold gets another series, so a read joins series
//! of the same labels.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use roaring::RoaringBitmap;
use series::{Labels, Matcher, MetricKind, TimeRange};

use crate::engine::{Engine, EngineError, Family};
use crate::head::{self, Piece};
use crate::open::engine_error;
use crate::runs::Days;
use crate::{Error, Selected, SeriesId, Store, keys, locked, reading, writing};

/// The newest days whose series are in memory: a series that pauses over midnight stays.
const HOT_DAYS: usize = 2;

/// Cold series, with what their rows say.
pub(crate) type Cold = BTreeMap<SeriesId, (Arc<Labels>, MetricKind)>;

/// Series that selectors mean.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    /// All of them.
    pub(crate) ids: RoaringBitmap,
    /// Those whose labels are not in the index.
    pub(crate) cold: Cold,
    /// Cold series whose rows do not decode: they cannot be found.
    pub(crate) damaged: Vec<String>,
}

/// The series of the newest days.
pub(crate) fn hot_of(days: &Days) -> RoaringBitmap {
    let newest = days.values().rev().take(HOT_DAYS);
    newest.fold(RoaringBitmap::new(), |hot, day| hot | &day.series)
}

/// A series' row: its kind and labels; `None` when it is damaged.
pub(crate) fn parse_row(row: &[u8]) -> Option<(Labels, MetricKind)> {
    let (kind, labels) = row.split_first()?;
    let labels = codec::decode_labels(labels).ok()?;
    Some((labels, MetricKind::from_code(*kind)))
}

/// Reads the rows of some series and says which do not decode.
fn read_rows(
    engine: &dyn Engine,
    ids: &RoaringBitmap,
    mut each: impl FnMut(SeriesId, Labels, MetricKind),
) -> Result<Vec<String>, EngineError> {
    let mut damaged = Vec::new();
    let (Some(first), Some(last)) = (ids.min(), ids.max()) else {
        return Ok(damaged);
    };
    let end = [&keys::series(last)[..], &[0]].concat();
    engine.scan(
        Family::Series,
        &keys::series(first),
        &end,
        &mut |key, row| {
            let id = key.try_into().map(u32::from_be_bytes);
            if let Some(id) = id.ok().filter(|id| ids.contains(*id)) {
                match parse_row(row) {
                    Some((labels, kind)) => each(SeriesId(id), labels, kind),
                    None => damaged.push(format!("series {id}: its labels do not decode")),
                }
            }
            ControlFlow::Continue(())
        },
    )?;
    Ok(damaged)
}

fn passes(labels: &Labels, matchers: &[Matcher]) -> bool {
    let value = |matcher: &Matcher| labels.get(matcher.name());
    matchers
        .iter()
        .all(|matcher| matcher.matches(value(matcher)))
}

impl Store {
    /// The series that pass at least one of the selectors (all when there is none) and are in a head or
    /// in a day that `range` touches. `disk` is asked before any labels are read from disk.
    pub(crate) fn matching(
        &self,
        selectors: &[&[Matcher]],
        range: TimeRange,
        disk: &dyn Fn() -> bool,
    ) -> Result<Matching, Error> {
        let selectors: &[&[Matcher]] = if selectors.is_empty() {
            &[&[]]
        } else {
            selectors
        };
        let present = self.present(range);
        let (mut ids, cold_ids) = {
            let index = reading(&self.index);
            let each = selectors.iter().map(|matchers| index.select(matchers));
            let ids = each.fold(RoaringBitmap::new(), |all, ids| all | ids);
            (ids & &present, index.cold() & &present)
        };
        if !cold_ids.is_empty() && !disk() {
            return Err(Error::Stopped);
        }
        let mut cold = Cold::new();
        let damaged = read_rows(&*self.engine, &cold_ids, |id, labels, kind| {
            if selectors.iter().any(|matchers| passes(&labels, matchers)) {
                ids.insert(id.0);
                cold.insert(id, (Arc::new(labels), kind));
            }
        })
        .map_err(engine_error("reading the labels of old series"))?;
        Ok(Matching { ids, cold, damaged })
    }

    /// What names a series that was found.
    pub(crate) fn labels_of(&self, id: SeriesId, cold: &Cold) -> Option<Arc<Labels>> {
        match cold.get(&id) {
            Some((labels, _)) => Some(Arc::clone(labels)),
            None => self
                .columns
                .labels(id, || reading(&self.index).labels(id).map(Arc::new)),
        }
    }

    /// Brings the index in line with the days: series of heads and of the newest days are in it, the
    /// others are cold.
    pub(crate) fn set_temperature(&self) -> Result<(), Error> {
        let mut hot = hot_of(&reading(&self.days));
        {
            let groups = reading(&self.groups);
            let heads = reading(&self.heads);
            hot |= heads.active.series(&groups);
            if let Some(frozen) = &heads.frozen {
                hot |= frozen.series(&groups);
            }
        }
        let (cooling, warming) = {
            let index = reading(&self.index);
            (index.hot() - &hot, index.cold() & &hot)
        };
        let mut rows = Vec::new();
        read_rows(&*self.engine, &warming, |id, labels, kind| {
            rows.push((id, labels, kind));
        })
        .map_err(engine_error("reading the labels of series that came back"))?;
        if cooling.is_empty() && rows.is_empty() {
            return Ok(());
        }
        let mut index = writing(&self.index);
        let staged = locked(&self.staged);
        for (id, labels, kind) in rows {
            index.warm(id, &labels, kind);
        }
        // What was defined and not committed yet is not on disk.
        let cooling = cooling
            - staged
                .series
                .iter()
                .map(|id| id.0)
                .collect::<RoaringBitmap>();
        for id in &cooling {
            index.cool(SeriesId(id));
        }
        Ok(())
    }
}

/// Joins series of the same labels; a later series' samples count where both have a time.
pub(crate) fn join_same(series: Vec<Selected>) -> Vec<Selected> {
    let mut joined: Vec<Selected> = Vec::with_capacity(series.len());
    let mut places: HashMap<Arc<Labels>, usize> = HashMap::new();
    for series in series {
        match places.entry(Arc::clone(&series.labels)) {
            Entry::Vacant(place) => {
                place.insert(joined.len());
                joined.push(series);
            }
            Entry::Occupied(place) => {
                if let Some(before) = joined.get_mut(*place.get()) {
                    let piece = |it: &Selected| Piece {
                        times: Arc::clone(&it.times),
                        rows: series::Rows::All,
                        values: it.values.whole().into(),
                    };
                    let (times, values) = head::merge(&[piece(before), piece(&series)]);
                    (before.times, before.values) = (times.into(), values.into());
                }
            }
        }
    }
    joined
}
