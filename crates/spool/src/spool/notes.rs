//! The note of what is lost.

use super::Spool;
use crate::Error;
use crate::loss::{Loss, Losses};
use crate::state::{LOSSES_FILE, losses_bytes};

/// What the disk has of the losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    All,
    /// Some are in memory only. Their numbers are not given out again, whatever happens, and they can be told.
    Some,
    /// As above, and the next process may count on from before them: they are not told yet.
    SomeUncertain,
}

impl Spool {
    /// Losses that were not told yet, oldest first. They survive a restart.
    #[must_use]
    pub fn losses(&self) -> &[Loss] {
        match self.noted {
            Noted::All | Noted::Some => &self.losses.untold,
            Noted::SomeUncertain => &[],
        }
    }

    /// Takes note that these losses were told to whom it concerns.
    ///
    /// # Errors
    /// When the disk fails or is full; they then count as not told.
    pub fn losses_told(&mut self, told: &[Loss]) -> Result<(), Error> {
        let mut losses = self.losses.clone();
        for loss in told {
            losses.tell(loss);
        }
        self.keep_losses(losses, self.floor)
    }

    /// Writes the losses and the floor, then believes them.
    pub(super) fn keep_losses(&mut self, mut losses: Losses, floor: u64) -> Result<(), Error> {
        losses.forget_below(floor);
        self.disk
            .replace(LOSSES_FILE, &losses_bytes(floor, &losses))
            .map_err(Error::disk("write", LOSSES_FILE))?;
        self.remember(losses, floor);
        self.noted = Noted::All;
        Ok(())
    }

    /// Believes losses and a floor that the disk may not have; they are written with the next.
    pub(super) fn remember(&mut self, losses: Losses, floor: u64) {
        self.losses = losses;
        self.floor = floor;
        if self.noted == Noted::All {
            self.noted = Noted::Some;
        }
    }
}
