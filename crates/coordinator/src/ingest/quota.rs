//! How much one agent may send: a [rate](crate::rate) of samples and one of bytes.

use std::time::Duration;

use crate::rate::{Bucket, Rate};

/// What may come at once is what may come in so long.
pub(super) const BURST: Duration = Duration::from_secs(10);

/// Most of each in a second; 0 for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Samples.
    pub(crate) samples: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

/// What one agent has sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quota {
    samples: Bucket,
    bytes: Bucket,
}

impl Quota {
    /// Takes what came into account. Gives how long nothing more should be taken, and which bound says
    /// so.
    pub(crate) fn charge(
        &mut self,
        now: Duration,
        (samples, bytes): (u64, u64),
        rates: Rates,
    ) -> Option<(Duration, &'static str)> {
        let rate = |per_second| Rate {
            per_second,
            burst: BURST,
        };
        let samples = self.samples.charge(now, samples, rate(rates.samples));
        let bytes = self.bytes.charge(now, bytes, rate(rates.bytes));
        let (wait, bound) = if samples >= bytes {
            (samples, "ingest.samples_per_second_max")
        } else {
            (bytes, "ingest.bytes_per_second_max")
        };
        (!wait.is_zero()).then_some((wait, bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        samples: 100,
        bytes: 1000,
    };

    #[test]
    fn what_keeps_to_the_rate_or_comes_at_once_within_the_burst_never_waits() {
        let mut quota = Quota::default();
        for second in 0..100 {
            let now = Duration::from_secs(second);
            assert_eq!(quota.charge(now, (100, 1000), RATES), None);
        }
        let now = Duration::from_secs(200);
        assert_eq!(quota.charge(now, (1000, 10_000), RATES), None);
        assert_eq!(
            Quota::default().charge(now, (u64::MAX, u64::MAX), Rates::default()),
            None
        );
    }

    #[test]
    fn more_waits_for_as_long_as_it_takes_at_the_rate() {
        let mut quota = Quota::default();
        let now = Duration::from_secs(5);
        let wait = Duration::from_secs(10);
        let samples = Some((wait, "ingest.samples_per_second_max"));
        assert_eq!(quota.charge(now, (2000, 1), RATES), samples);
        assert_eq!(quota.charge(now + wait, (0, 0), RATES), None);
        let bytes = quota.charge(now + wait, (0, u64::MAX), RATES);
        assert_eq!(bytes.unwrap().1, "ingest.bytes_per_second_max");
        // Nothing overflows, whatever is claimed.
        let forever = quota.charge(
            now,
            (u64::MAX, u64::MAX),
            Rates {
                samples: 1,
                bytes: 1,
            },
        );
        assert!(forever.unwrap().0 > wait);
    }
}
