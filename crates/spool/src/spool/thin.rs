//! Thinning: saying in fewer bytes what the oldest records say.

use super::Spool;
use crate::Error;
use crate::record::{
    FoundHead, HEAD_BYTES, Head, RECORD_HEAD_BYTES, head_bytes, put_record, read_head, records,
};

/// What became of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinned {
    /// Records that are smaller now.
    pub records: u64,
    /// Bytes that the spool is smaller by.
    pub bytes_saved: u64,
}

/// Says in fewer bytes what a record says, if that can be done; the first argument is its sequence.
pub type Thinner<'a> = dyn FnMut(u64, &[u8]) -> Option<Vec<u8>> + 'a;

impl Spool {
    /// Makes the oldest segment thinner that is not yet as thin as `level` and is not written to:
    /// gives each of its records that is not acknowledged to `thin`, and puts what comes back in the
    /// place of it, under the same sequence, if it is smaller. The segment has the level `level` from
    /// then on, over restarts too; one in which nothing became smaller is tried again after a restart.
    /// `None` when all segments are as thin as that.
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
        let mut done = Thinned::default();
        let (mut next, mut good_bytes) = (segment.first, HEAD_BYTES);
        let all = records(&old, segment.first);
        for (sequence, record) in all.take_while(|(sequence, _)| *sequence < segment.next) {
            let thinner = if sequence < self.floor {
                None
            } else {
                thin(sequence, record).filter(|thinner| thinner.len() < record.len())
            };
            done.records += u64::from(thinner.is_some());
            put_record(sequence, thinner.as_deref().unwrap_or(record), &mut new);
            good_bytes += RECORD_HEAD_BYTES + record.len();
            next = sequence + 1;
        }
        if next < segment.next {
            self.lose_rest(index, next, good_bytes as u64)?;
            let bytes_saved = segment.bytes.saturating_sub(good_bytes as u64);
            return Ok(Some(Thinned {
                records: 0,
                bytes_saved,
            }));
        }
        if done.records > 0 {
            self.put_thinner(index, level, &new)?;
        }
        self.segments[index].level = level;
        done.bytes_saved = segment.bytes - self.segments[index].bytes;
        Ok(Some(done))
    }

    fn put_thinner(&mut self, index: usize, level: u8, bytes: &[u8]) -> Result<(), Error> {
        let name = self.segments[index].name();
        let length = bytes.len() as u64;
        self.cursor = None;
        let replaced = self.disk.replace(&name, bytes);
        // After a failure too the new file may be the one that is there; it is shorter than the old.
        if replaced.is_ok() || self.disk.len(&name).is_ok_and(|there| there == length) {
            let segment = &mut self.segments[index];
            (segment.bytes, segment.level) = (length, level);
        }
        replaced.map_err(Error::disk("thin", &name))
    }
}
