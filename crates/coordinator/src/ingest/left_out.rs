//! What of a batch is not taken, while the rest of it is.

use series::Block;
use store::SeriesId;

use super::future::Future;
use crate::losses;

/// What was left out of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftOut {
    /// Samples of a time that has not come.
    pub(super) future: Future,
    /// Why a block was refused, the last one.
    pub(super) refusal: Option<String>,
    /// Samples of series for which there was no room.
    pub(super) homeless: u64,
    /// The first and the last time of blocks that had such samples.
    homeless_span: Option<(i64, i64)>,
}

impl LeftOut {
    /// Takes note of the columns of a block that have no series.
    pub(super) fn note_homeless(&mut self, series: &[Option<SeriesId>], block: &Block) {
        let columns = series.iter().zip(&block.columns);
        let homeless = columns.filter(|(series, _)| series.is_none());
        let samples: usize = homeless.map(|(_, column)| column.values.len()).sum();
        let (Some(&first), Some(&last)) = (block.times.first(), block.times.last()) else {
            return;
        };
        if samples == 0 {
            return;
        }
        self.homeless += samples as u64;
        let (least, most) = self.homeless_span.unwrap_or((first, last));
        self.homeless_span = Some((least.min(first), most.max(last)));
    }

    /// What to say to the agent of a batch of which nothing is taken.
    pub(super) fn refusal(&self) -> Option<String> {
        let of = |what: &str| Some(format!("holds nothing but samples of {what}"));
        match &self.refusal {
            Some(reason) => Some(reason.clone()),
            None if self.future.samples > 0 => of("the future"),
            None if self.homeless > 0 => of("series that were refused when they were defined"),
            None => None,
        }
    }

    /// Why a batch counts as lost. Of what is partly here only one thing can be said.
    pub(super) fn reason(&self, is_anything_taken: bool) -> Option<&'static str> {
        if self.future.samples > 0 {
            Some(losses::FUTURE)
        } else if self.refusal.is_some() && is_anything_taken {
            Some(losses::REFUSED_PART)
        } else if self.refusal.is_some() {
            Some(losses::REFUSED)
        } else {
            (self.homeless > 0).then_some(losses::SERIES_REFUSED)
        }
    }

    /// When it was by our clock that what was left out was made, as far as it is known.
    pub(super) fn span(&self, offset_millis: i64, now_millis: i64) -> Option<(i64, i64)> {
        let future = self.future.span(offset_millis, now_millis);
        future.or_else(|| self.homeless_span.filter(|_| self.refusal.is_none()))
    }
}

#[cfg(test)]
mod tests {
    use series::{Column, Rows};

    use super::*;

    #[test]
    fn the_worst_is_said_and_how_much_of_it_there_is() {
        let mut left_out = LeftOut::default();
        let block = |times: [i64; 2]| Block {
            times: times.to_vec(),
            columns: vec![Column {
                rows: Rows::All,
                values: [1.0, 2.0].into_iter().collect(),
            }],
        };
        left_out.note_homeless(&[None], &Block::default());
        assert_eq!((left_out.reason(true), left_out.refusal()), (None, None));
        left_out.note_homeless(&[None], &block([5, 6]));
        left_out.note_homeless(&[None], &block([2, 3]));
        assert_eq!(left_out.homeless, 4);
        assert_eq!(left_out.span(0, 9), Some((2, 6)));
        assert_eq!(left_out.reason(true), Some(losses::SERIES_REFUSED));
        assert!(left_out.refusal().unwrap().contains("were refused"));
        left_out.refusal = Some("is damaged".to_owned());
        assert_eq!(left_out.reason(true), Some(losses::REFUSED_PART));
        assert_eq!(left_out.reason(false), Some(losses::REFUSED));
        assert_eq!(left_out.refusal().unwrap(), "is damaged");
        assert_eq!(left_out.span(0, 9), None);
        left_out.future.cut(&mut block([7, 8]), 1);
        assert_eq!(left_out.reason(false), Some(losses::FUTURE));
        assert_eq!(left_out.span(0, 9), Some((7, 8)));
    }
}
