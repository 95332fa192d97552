//! Records that are gone, and the list of them that must reach the coordinator.

/// Why records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The spool was full and dropped its oldest.
    Full,
    /// Their bytes cannot be read; they were set aside.
    Damaged,
    /// Their file is not there.
    Missing,
    /// They could not be written: the disk was full or failed for longer than memory could hold them.
    Unwritten,
}

impl Reason {
    /// All reasons, in the order of [`Reason::code`] from 1 on.
    pub const ALL: [Self; 4] = [Self::Full, Self::Damaged, Self::Missing, Self::Unwritten];

    /// A stable number for disk.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Full => 1,
            Self::Damaged => 2,
            Self::Missing => 3,
            Self::Unwritten => 4,
        }
    }

    /// The reason of a [`Reason::code`].
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// A word for logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::Unwritten => "unwritten",
        }
    }
}

/// The least and the greatest time of something, both inside.
pub type Span = (i64, i64);

/// The times of a record whose content is not known: none. For [`crate::Config::span_of`].
#[must_use]
pub const fn no_span(_record: &[u8]) -> Option<Span> {
    None
}

/// The span that holds both; one that is not known adds nothing.
#[must_use]
pub fn hull(one: Option<Span>, other: Option<Span>) -> Option<Span> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (known, None) | (None, known) => known,
    }
}

/// An interval of sequences that will never be given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Loss {
    /// The first sequence lost.
    pub first: u64,
    /// The last sequence lost, inside.
    pub last: u64,
    /// Why.
    pub reason: Reason,
    /// The first and the last time in those records, as [`crate::Config::span_of`] tells it, of as
    /// many of them as could be read; where none could, the last time before them and the first after. None if no time is known.
    pub span: Option<Span>,
}

/// Most intervals that are remembered. Past it the two oldest become one that spans both.
pub const LOSSES_MAX: usize = 1024;

/// Losses that are still to be told, and told ones that still explain a hole in the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    pub(crate) untold: Vec<Loss>,
    pub(crate) told: Vec<Loss>,
}

impl Losses {
    /// Adds what of `loss` is not known yet; tells what that is.
    pub(crate) fn add(&mut self, loss: Loss) -> Vec<Loss> {
        let mut parts = vec![loss];
        for known in self.untold.iter().chain(&self.told) {
            parts = parts.iter().flat_map(|part| minus(part, known)).collect();
        }
        for part in &parts {
            match self.untold.last_mut() {
                Some(last)
                    if last.reason == part.reason
                        && last.last.checked_add(1) == Some(part.first) =>
                {
                    last.last = part.last;
                    last.span = hull(last.span, part.span);
                }
                _ => self.untold.push(*part),
            }
        }
        bound(&mut self.untold);
        parts
    }

    /// The times of a loss that was added last without any; one that became one with others has theirs too.
    pub(crate) fn set_span(&mut self, loss: &Loss) {
        let mut untold = self.untold.iter_mut();
        if let Some(known) = untold.find(|it| it.first <= loss.first && loss.last <= it.last) {
            known.span = hull(known.span, loss.span);
        }
    }

    /// Takes note that `loss` was told, or as much of it as is still untold.
    pub(crate) fn tell(&mut self, loss: &Loss) {
        self.untold = self
            .untold
            .iter()
            .flat_map(|untold| minus(untold, loss))
            .collect();
        self.told.push(*loss);
        bound(&mut self.told);
    }

    /// Forgets told losses below `floor`: nothing will look for those sequences again.
    pub(crate) fn forget_below(&mut self, floor: u64) {
        self.told.retain(|told| told.last >= floor);
    }
}

/// What is left of `loss` without the sequences of `other`. A part has the span of the whole, since
/// nobody knows which of its times are whose.
fn minus(loss: &Loss, other: &Loss) -> impl Iterator<Item = Loss> + use<> {
    let before = Loss {
        last: loss.last.min(other.first.saturating_sub(1)),
        ..*loss
    };
    let after = Loss {
        first: loss.first.max(other.last.saturating_add(1)),
        ..*loss
    };
    let apart = loss.last < other.first || other.last < loss.first;
    let parts = if apart {
        [Some(*loss), None]
    } else {
        [Some(before), Some(after)]
    };
    parts
        .into_iter()
        .flatten()
        .filter(|part| part.first <= part.last)
}

fn bound(losses: &mut Vec<Loss>) {
    while losses.len() > LOSSES_MAX {
        let oldest = losses.remove(0);
        if let Some(next) = losses.first_mut() {
            next.first = next.first.min(oldest.first);
            next.last = next.last.max(oldest.last);
            next.span = hull(next.span, oldest.span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn loss(first: u64, last: u64) -> Loss {
        Loss {
            first,
            last,
            reason: Reason::Full,
            span: None,
        }
    }

    #[test]
    fn neighbours_of_one_reason_span_the_times_of_both() {
        let timed = |first, last, span| Loss {
            span,
            ..loss(first, last)
        };
        let mut losses = Losses::default();
        losses.add(timed(1, 3, Some((10, 30))));
        losses.add(timed(4, 4, None));
        losses.add(timed(5, 6, Some((5, 20))));
        let other = Loss {
            reason: Reason::Damaged,
            ..timed(7, 8, Some((1, 99)))
        };
        losses.add(other);
        assert_eq!(losses.untold, [timed(1, 6, Some((5, 30))), other]);
        // A part that is still to be told keeps the span of the whole.
        losses.tell(&timed(1, 2, None));
        assert_eq!(losses.untold[0], timed(3, 6, Some((5, 30))));
    }

    #[test]
    fn neighbours_become_one_and_what_is_known_is_not_added_again() {
        let mut losses = Losses::default();
        assert_eq!(losses.add(loss(1, 3)), [loss(1, 3)]);
        assert_eq!(losses.add(loss(2, 5)), [loss(4, 5)]);
        assert_eq!(losses.untold, [loss(1, 5)]);
        assert_eq!(losses.add(loss(1, 5)), []);
    }

    #[test]
    fn a_loss_that_grew_while_it_was_told_keeps_its_rest() {
        let mut losses = Losses::default();
        losses.add(loss(1, 3));
        losses.add(loss(4, 9));
        losses.tell(&loss(1, 3));
        assert_eq!(losses.untold, [loss(4, 9)]);
        assert_eq!(losses.add(loss(2, 2)), []);
        losses.forget_below(4);
        assert_eq!(losses.told, []);
    }

    #[test]
    fn the_list_is_bounded() {
        let mut losses = Losses::default();
        for turn in 0..3000_u64 {
            let at = turn.cast_signed();
            losses.add(Loss {
                span: Some((at, at)),
                ..loss(turn * 10 + 1, turn * 10 + 2)
            });
        }
        assert_eq!(losses.untold.len(), LOSSES_MAX);
        let merged = 3000 - i64::try_from(LOSSES_MAX).unwrap();
        assert_eq!(
            (losses.untold[0].first, losses.untold[0].span),
            (1, Some((0, merged)))
        );
    }
}
