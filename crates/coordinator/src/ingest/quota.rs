//! How much one agent may send: the generic cell rate algorithm (ATM Forum, Traffic Management
//! Specification 4.0, 1996), once for samples and once for bytes.

use std::time::Duration;

/// What may come at once is what may come in so long.
const BURST: Duration = Duration::from_secs(10);

/// Most of each in a second; 0 for no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Samples.
    pub(crate) samples: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

/// What one agent has sent, in the time that it would have taken at the rates allowed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quota {
    samples_until: Duration,
    bytes_until: Duration,
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
        let samples = charge(&mut self.samples_until, now, samples, rates.samples);
        let bytes = charge(&mut self.bytes_until, now, bytes, rates.bytes);
        let (wait, bound) = if samples >= bytes {
            (samples, "ingest.samples_per_second_max")
        } else {
            (bytes, "ingest.bytes_per_second_max")
        };
        (!wait.is_zero()).then_some((wait, bound))
    }
}

fn charge(until: &mut Duration, now: Duration, amount: u64, rate: u64) -> Duration {
    if rate == 0 {
        return Duration::ZERO;
    }
    let nanos = u128::from(amount) * 1_000_000_000 / u128::from(rate);
    let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    *until = (*until).max(now).saturating_add(takes);
    until.saturating_sub(now.saturating_add(BURST))
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
