//! Thinning: saying in fewer bytes what the oldest records say.

use super::Spool;
use crate::Error;
use crate::record::{
    FoundHead, HEAD_BYTES, Head, RECORD_HEAD_BYTES, head_bytes, put_record, read_head, records,
};

/// What became of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinned {
    /// Records that are different now.
    pub records: u64,
    /// Bytes that the spool is smaller by.
    pub bytes_saved: u64,
}

/// Says in fewer bytes what records with their sequences say: gives for each, in their order, what is to
/// stand in its place, or none if it is to stay. What follows behind the last one given stays too.
pub type Thinner<'a> = dyn FnMut(&[(u64, &[u8])]) -> Vec<Option<Vec<u8>>> + 'a;

impl Spool {
    /// Makes the oldest segment thinner that is not yet as thin as `level` and is not written to:
    /// gives those of its records that are not acknowledged to `thin`, all at once so that one may say
    /// what several said, and puts what comes back in the place of them, under the same sequences, if
    /// the segment is smaller then. It has the level `level` from then on, over restarts too; one that
    /// did not become smaller is tried again after a restart. `None` when all segments are as thin as
    /// that.
    ///
    /// The segment is replaced as a whole: whatever happens, it is there as it was or as it is to be.
    ///
    /// # Errors
    /// When the disk fails or has no room for the thinner segment beside the old one. Records that
    /// cannot be read are set aside and become a [`crate::Loss`], as in reading.
    pub fn thin_oldest(
        &mut self,
        level: u8,
        thin: &mut Thinner<'_>,
    ) -> Result<Option<Thinned>, Error> {
        let closed = self.segments.len() - 1;
        let mut closed = self.segments.iter().take(closed);
        let Some(index) = closed.position(|segment| segment.level < level) else {
            return Ok(None);
        };
        let segment = self.segments[index].clone();
        let old = self.load(&segment)?;
        let epoch = match read_head(&old) {
            FoundHead::Good(head) => head.epoch,
            FoundHead::LaterVersion(_) | FoundHead::Damaged => self.epoch,
        };
        let mut new = head_bytes(&Head {
            first: segment.first,
            epoch,
            level,
        })
        .to_vec();
        let all = records(&old, segment.first);
        let all: Vec<_> = all.take_while(|(at, _)| *at < segment.next).collect();
        let next = segment.first + all.len() as u64;
        if next < segment.next {
            let sizes = all.iter().map(|(_, it)| RECORD_HEAD_BYTES + it.len());
            let good_bytes = (HEAD_BYTES + sizes.sum::<usize>()) as u64;
            // It is not the one that is written to, so it is always done.
            self.lose_rest(index, next, good_bytes)?;
            return Ok(Some(Thinned {
                records: 0,
                bytes_saved: segment.bytes.saturating_sub(good_bytes),
            }));
        }
        let acknowledged = all.partition_point(|(at, _)| *at < self.floor);
        let (stays, pending) = all.split_at(acknowledged);
        for (sequence, record) in stays {
            put_record(*sequence, record, &mut new);
        }
        let mut thinner = thin(pending).into_iter();
        let mut done = Thinned::default();
        for (sequence, record) in pending {
            let thinner = thinner.next().flatten();
            done.records += u64::from(thinner.is_some());
            put_record(*sequence, thinner.as_deref().unwrap_or(record), &mut new);
        }
        done.bytes_saved = segment.bytes.saturating_sub(new.len() as u64);
        if done.bytes_saved == 0 {
            done.records = 0;
        } else {
            self.put_thinner(index, level, &new)?;
        }
        self.segments[index].level = level;
        Ok(Some(done))
    }

    fn put_thinner(&mut self, index: usize, level: u8, bytes: &[u8]) -> Result<(), Error> {
        let name = self.segments[index].name();
        let length = bytes.len() as u64;
        self.cursor = None;
        let replaced = if self.segments[index].damaged.is_some() {
            let moved = self.with_reserve(|disk| disk.replace_aside(&name, bytes));
            moved.map(|aside| {
                self.segments[index].damaged = None;
                self.is_set_aside(aside);
            })
        } else {
            self.with_reserve(|disk| disk.replace(&name, bytes))
        };
        // After a failure too the new file may be the one that is there; it is shorter than the old.
        if replaced.is_ok() || self.disk.len(&name).is_ok_and(|there| there == length) {
            let segment = &mut self.segments[index];
            (segment.bytes, segment.level) = (length, level);
        }
        self.keep_reserve();
        replaced.map_err(Error::disk("thin", &name))
    }
}
