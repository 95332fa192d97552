//! How much of something may come: the generic cell rate algorithm (ATM Forum, Traffic Management
//! Specification 4.0, 1996).

use std::time::Duration;

/// How much may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// In a second; 0 for no bound.
    pub per_second: u64,
    /// What may come at once is what may come in so long.
    pub burst: Duration,
}

/// What came, in the time that it would have taken at the rate allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    until: Duration,
}

impl Bucket {
    /// Takes what came into account, however much it is. Gives how long nothing more should come.
    pub fn charge(&mut self, now: Duration, amount: u64, rate: Rate) -> Duration {
        if rate.per_second == 0 {
            return Duration::ZERO;
        }
        self.until = self.with(now, amount, rate);
        self.until.saturating_sub(now.saturating_add(rate.burst))
    }

    /// Takes one into account, if it may come.
    ///
    /// # Errors
    /// How long it is until it may.
    pub fn take(&mut self, now: Duration, rate: Rate) -> Result<(), Duration> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let until = self.with(now, 1, rate);
        let wait = until.saturating_sub(now.saturating_add(rate.burst));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.until = until;
        Ok(())
    }

    /// Whether it is as if nothing had ever come.
    #[must_use]
    pub fn is_fresh(&self, now: Duration) -> bool {
        self.until <= now
    }

    fn with(&self, now: Duration, amount: u64, rate: Rate) -> Duration {
        let nanos = u128::from(amount) * 1_000_000_000 / u128::from(rate.per_second);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.until.max(now).saturating_add(takes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 5,
        burst: Duration::from_secs(4),
    };

    #[test]
    fn what_is_refused_is_not_held_against_who_comes_later() {
        let mut bucket = Bucket::default();
        let now = Duration::from_secs(9);
        for _ in 0..20 {
            assert_eq!(bucket.take(now, RATE), Ok(()));
        }
        let wait = Duration::from_millis(200);
        for _ in 0..1000 {
            assert_eq!(bucket.take(now, RATE), Err(wait));
        }
        assert_eq!(bucket.take(now + wait, RATE), Ok(()));
        assert!(bucket.take(now + wait, RATE).is_err());
        assert!(!bucket.is_fresh(now + wait));
        assert!(bucket.is_fresh(now + wait + RATE.burst));
        assert_eq!(bucket.take(now, Rate::default()), Ok(()));
    }

    #[test]
    fn what_has_come_is_held_against_it() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.charge(Duration::ZERO, 20, RATE), Duration::ZERO);
        let wait = bucket.charge(Duration::ZERO, 50, RATE);
        assert_eq!(wait, Duration::from_secs(10));
    }
}
