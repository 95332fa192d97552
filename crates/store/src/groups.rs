//! Groups: the series that came together and so share their times, in head and chunks.
//!
//! A series is in one group at a time. It joins the group of the sample before it if the two came in
//! one batch with one time and the group has room; else it starts a group. So a target's series find
//! together whoever sends them. A group that turns out to share few of its times is retired: its
//! series find together anew.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use crate::SeriesId;
use crate::paged::{Paged, Slot};

/// Most series of one group: bounds what is read for one of them.
pub(crate) const COLUMNS_MAX: usize = 128;

/// Number of a group. Never given again.
pub(crate) type GroupId = u32;

const NONE: GroupId = GroupId::MAX;
/// A row of a greater number is damaged: the next number is counted from the greatest, and must not
/// overflow.
pub(crate) const NUMBER_MAX: GroupId = GroupId::MAX / 2;
const VERSION: u8 = 1;

/// Where the samples of a series go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    group: GroupId,
    column: u16,
}

impl Slot for Place {
    const VACANT: Self = Self {
        group: NONE,
        column: 0,
    };

    fn is_vacant(&self) -> bool {
        self.group == NONE
    }
}

/// Some samples that follow one another: of one group, one time, and adjacent columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) group: GroupId,
    pub(crate) column: u16,
    /// The first sample, and the first after the last.
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A group: its series by column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    pub(crate) series: Vec<SeriesId>,
    pub(crate) retired: bool,
}

/// All groups, and the place of each series.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    places: Paged<Place>,
    /// Groups that a series was in before the one it is in now.
    former: HashMap<SeriesId, Vec<GroupId>, FixedState>,
    members: BTreeMap<GroupId, Members>,
    next: GroupId,
    /// Groups whose row on disk is behind.
    dirty: Vec<GroupId>,
    /// Groups whose row cannot be read: whose their chunks are is not known.
    unreadable: Vec<GroupId>,
}

impl Groups {
    /// Finds the place of each column of a block, giving one to series that have none.
    pub(crate) fn place_columns(&mut self, series: &[SeriesId], out: &mut Vec<Stretch>) {
        self.place(series.iter().copied(), |_| 0, out);
    }

    /// Finds the place of each sample, giving one to series that have none.
    pub(crate) fn place_samples(&mut self, samples: &codec::Samples, out: &mut Vec<Stretch>) {
        let series = samples.series.iter().map(|id| SeriesId(*id));
        let time = |index| samples.times.get(index).copied().unwrap_or(0);
        self.place(series, time, out);
    }

    fn place(
        &mut self,
        series: impl Iterator<Item = SeriesId>,
        times: impl Fn(usize) -> i64,
        out: &mut Vec<Stretch>,
    ) {
        for (index, id) in series.enumerate() {
            let mut place = self.places.get(id).copied().unwrap_or(Place::VACANT);
            let before = out
                .last_mut()
                .filter(|last| last.end as usize == index && index > 0)
                .filter(|_| times(index) == times(index.saturating_sub(1)));
            if place.is_vacant() {
                let beside = before.as_ref().map(|last| last.group);
                place = self.settle(id, beside);
            }
            match before {
                Some(last)
                    if last.group == place.group
                        && u32::from(last.column) + (last.end - last.start)
                            == u32::from(place.column) =>
                {
                    last.end += 1;
                }
                _ => {
                    // A batch is bounded far below four billion samples.
                    let start = u32::try_from(index).unwrap_or(u32::MAX);
                    out.push(Stretch {
                        group: place.group,
                        column: place.column,
                        start,
                        end: start.saturating_add(1),
                    });
                }
            }
        }
    }

    fn settle(&mut self, id: SeriesId, beside: Option<GroupId>) -> Place {
        let has_room = |group: &GroupId| {
            self.members
                .get(group)
                .is_some_and(|members| members.series.len() < COLUMNS_MAX)
        };
        let group = beside.filter(has_room).unwrap_or_else(|| {
            let group = self.next;
            self.next += 1;
            group
        });
        let members = self.members.entry(group).or_default();
        let column = u16::try_from(members.series.len()).unwrap_or(u16::MAX);
        members.series.push(id);
        if self.dirty.last() != Some(&group) {
            self.dirty.push(group);
        }
        let place = Place { group, column };
        self.set_place(id, place);
        place
    }

    fn set_place(&mut self, id: SeriesId, place: Place) {
        let before = self.places.set(id, place);
        if !before.is_vacant() {
            self.former.entry(id).or_default().push(before.group);
        }
    }

    /// Lets the series of a group find together anew. Its row must be written again.
    pub(crate) fn retire(&mut self, group: GroupId) {
        let Some(members) = self.members.get_mut(&group) else {
            return;
        };
        members.retired = true;
        for id in members.series.clone() {
            if self.places.get(id).is_some_and(|it| it.group == group) {
                self.set_place(id, Place::VACANT);
            }
        }
        self.dirty.push(group);
    }

    /// Groups whose rows are to be written, each with its row; they count as written afterwards.
    pub(crate) fn take_dirty(&mut self) -> Vec<(GroupId, Vec<u8>)> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        let rows = dirty.into_iter().filter_map(|group| {
            let members = self.members.get(&group)?;
            Some((group, encode(members)))
        });
        rows.collect()
    }

    /// Puts back a group from its row. Groups come in ascending order. Only series that are known get
    /// their place.
    pub(crate) fn insert(
        &mut self,
        group: GroupId,
        members: Members,
        is_known: impl Fn(SeriesId) -> bool,
    ) {
        let columns = members.series.iter().enumerate();
        for (column, id) in columns.filter(|(_, id)| is_known(**id)) {
            let column = u16::try_from(column).unwrap_or(u16::MAX);
            self.set_place(*id, Place { group, column });
            if members.retired {
                self.set_place(*id, Place::VACANT);
            }
        }
        self.next = self.next.max(group.saturating_add(1));
        self.members.insert(group, members);
    }

    /// Takes note of a group whose row cannot be read: its number is not given again.
    pub(crate) fn insert_unreadable(&mut self, group: GroupId) {
        if group <= NUMBER_MAX {
            self.next = self.next.max(group + 1);
        }
        self.unreadable.push(group);
    }

    /// The groups whose rows cannot be read.
    pub(crate) fn unreadable(&self) -> &[GroupId] {
        &self.unreadable
    }

    pub(crate) fn members(&self, group: GroupId) -> Option<&Members> {
        self.members.get(&group)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.members.keys().copied()
    }

    /// The groups that each of `series` is or was in, with the series' columns there.
    pub(crate) fn groups_of(
        &self,
        series: impl Iterator<Item = SeriesId>,
    ) -> BTreeMap<GroupId, Vec<(u16, SeriesId)>> {
        let mut found: BTreeMap<GroupId, Vec<(u16, SeriesId)>> = BTreeMap::new();
        for id in series {
            if let Some(place) = self.places.get(id).filter(|it| !it.is_vacant()) {
                found
                    .entry(place.group)
                    .or_default()
                    .push((place.column, id));
            }
            for group in self.former.get(&id).into_iter().flatten() {
                let columns = self
                    .members
                    .get(group)
                    .into_iter()
                    .flat_map(|it| &it.series);
                if let Some(column) = columns.clone().position(|member| *member == id) {
                    let column = u16::try_from(column).unwrap_or(u16::MAX);
                    found.entry(*group).or_default().push((column, id));
                }
            }
        }
        found
    }

    /// Forgets series, and groups that have none left; gives the groups that are gone.
    pub(crate) fn remove(&mut self, series: &roaring::RoaringBitmap) -> Vec<GroupId> {
        for id in series {
            self.places.set(SeriesId(id), Place::VACANT);
            self.former.remove(&SeriesId(id));
        }
        let mut gone = Vec::new();
        let Self {
            places,
            former,
            members,
            ..
        } = self;
        members.retain(|group, members| {
            let lives = members.series.iter().any(|id| {
                places.get(*id).is_some_and(|it| !it.is_vacant()) || former.contains_key(id)
            });
            if !lives {
                gone.push(*group);
            }
            lives
        });
        gone
    }

    /// Bytes of memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        // Each series stands in its group too, with half the bytes of a place.
        self.places.bytes() / 2 * 3 + self.members.len() * 96 + self.former.len() * 48
    }
}

/// A group's row: version, flags (1: retired), then runs of ids (first `u32`, count `u32`).
fn encode(members: &Members) -> Vec<u8> {
    let mut out = vec![VERSION, u8::from(members.retired)];
    for run in members
        .series
        .chunk_by(|a, b| a.0.checked_add(1) == Some(b.0))
    {
        let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&run.first().map_or(0, |id| id.0).to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
    }
    out
}

/// Reads a group's row; `None` when it is damaged.
pub(crate) fn decode(row: &[u8]) -> Option<Members> {
    let (&[version, flags], mut runs) = row.split_first_chunk::<2>()?;
    if version != VERSION || flags > 1 {
        return None;
    }
    let mut series = Vec::new();
    while let Some((first, rest)) = runs.split_first_chunk::<4>() {
        let (count, rest) = rest.split_first_chunk::<4>()?;
        let (first, count) = (u32::from_le_bytes(*first), u32::from_le_bytes(*count));
        if series.len() + count as usize > COLUMNS_MAX {
            return None;
        }
        for step in 0..count {
            series.push(SeriesId(first.checked_add(step)?));
        }
        runs = rest;
    }
    runs.is_empty().then_some(Members {
        series,
        retired: flags == 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(groups: &mut Groups, samples: &[(u32, i64)]) -> Vec<(GroupId, u16, u32, u32)> {
        let series: Vec<SeriesId> = samples.iter().map(|(id, _)| SeriesId(*id)).collect();
        let mut out = Vec::new();
        groups.place(series.into_iter(), |index| samples[index].1, &mut out);
        out.iter()
            .map(|it| (it.group, it.column, it.start, it.end))
            .collect()
    }

    #[test]
    fn series_that_come_with_one_time_find_together() {
        let mut groups = Groups::default();
        let first = place(&mut groups, &[(0, 5), (1, 5), (2, 6), (3, 6)]);
        assert_eq!(first, [(0, 0, 0, 2), (1, 0, 2, 4)]);
        // Known series keep their groups, whatever comes beside them; a new one joins.
        let again = place(&mut groups, &[(0, 9), (1, 9), (2, 9), (7, 9), (3, 9)]);
        assert_eq!(
            again,
            [(0, 0, 0, 2), (1, 0, 2, 3), (1, 2, 3, 4), (1, 1, 4, 5)]
        );
        let rows = groups.take_dirty();
        assert_eq!(rows.len(), 2);
        assert_eq!(decode(&rows[1].1).unwrap().series, [2, 3, 7].map(SeriesId));
        assert!(groups.take_dirty().is_empty());
    }

    #[test]
    fn a_full_group_is_followed_by_another() {
        let mut groups = Groups::default();
        let samples: Vec<(u32, i64)> = (0..200).map(|id| (id, 1)).collect();
        assert_eq!(
            place(&mut groups, &samples),
            [(0, 0, 0, 128), (1, 0, 128, 200)]
        );
    }

    #[test]
    fn retired_groups_are_remembered_for_reading() {
        let mut groups = Groups::default();
        place(&mut groups, &[(0, 5), (1, 5)]);
        groups.retire(0);
        assert_eq!(
            place(&mut groups, &[(1, 6), (0, 7)]),
            [(1, 0, 0, 1), (2, 0, 1, 2)]
        );
        let mut again = Groups::default();
        for (group, row) in groups.take_dirty() {
            again.insert(group, decode(&row).unwrap(), |_| true);
        }
        for groups in [&groups, &again] {
            let found = groups.groups_of([SeriesId(0)].into_iter());
            let found: Vec<_> = found.into_iter().collect();
            assert_eq!(
                found,
                [(0, vec![(0, SeriesId(0))]), (2, vec![(0, SeriesId(0))])]
            );
        }
        let gone = again.remove(&roaring::RoaringBitmap::from_iter([0, 1]));
        assert_eq!(gone, [0, 1, 2]);
    }

    #[test]
    fn a_damaged_row_is_refused() {
        assert_eq!(decode(&[1]), None);
        assert_eq!(decode(&[1, 2]), None);
        assert_eq!(decode(&[1, 0, 1, 2]), None);
        assert_eq!(decode(&[1, 0, 0, 0, 0, 0, 0, 1, 0, 0]), None);
    }
}
