//! How often callers may call, and how often a host may fail to say who calls.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Caller, Refusal};
use crate::net::neighbourhood;
use crate::rate::{Bucket, Rate};

/// A board of dozens of panels comes at once, and so do the boards of a team in the morning.
const ASK_BURST: Duration = Duration::from_secs(10);
/// Someone tries some old tokens.
const FAIL_BURST: Duration = Duration::from_secs(4);
/// Callers that are told apart, some 40 bytes each. Those that come beyond it share one bucket.
const CALLERS_MAX: usize = 16_384;
/// How often it is looked for callers who may be forgotten, while there is no room for others.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How often callers may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    requests: Rate,
    failures: Rate,
}

impl Rates {
    /// So many requests of a caller, and so many failures of a host, in a second; 0 for no bound.
    #[must_use]
    pub const fn new(requests: u64, failures: u64) -> Self {
        const fn rate(per_second: u64, burst: Duration) -> Rate {
            Rate { per_second, burst }
        }
        Self {
            requests: rate(requests, ASK_BURST),
            failures: rate(failures, FAIL_BURST),
        }
    }
}

/// Who is counted.
#[derive(Hash)]
enum Who<'a> {
    Name(&'a str),
    Host(IpAddr),
}

/// What callers have taken of their rates.
#[derive(Debug)]
pub(super) struct Limits {
    requests: Buckets,
    failures: Buckets,
}

impl Limits {
    pub(super) fn new(rates: Rates) -> Self {
        Self {
            requests: Buckets::new(rates.requests),
            failures: Buckets::new(rates.failures),
        }
    }

    /// Counts a request.
    pub(super) fn asked(
        &self,
        caller: &Caller,
        address: IpAddr,
        now: Duration,
    ) -> Result<(), Refusal> {
        let who = if caller.is_proven() {
            Who::Name(caller.name())
        } else {
            Who::Host(neighbourhood(address))
        };
        let taken = self.requests.take(&who, now);
        taken.map_err(|again| Refusal::TooOften {
            name: caller.name().into(),
            again,
        })
    }

    /// Counts a failure. Gives what the host is told.
    pub(super) fn failed(&self, refusal: Refusal, address: IpAddr, now: Duration) -> Refusal {
        match self.failures.take(&Who::Host(neighbourhood(address)), now) {
            Ok(()) => refusal,
            Err(again) => Refusal::TooManyFailures { again },
        }
    }
}

#[derive(Debug)]
struct Buckets {
    rate: Rate,
    hasher: RandomState,
    table: Mutex<Table>,
}

/// By the hash of who is counted: two of all these are the same once in a hundred thousand million tables,
/// and then share a bucket.
#[derive(Debug, Default)]
struct Table {
    buckets: HashMap<u64, Bucket>,
    /// That of those for whom there was no room.
    others: Bucket,
    swept: Option<Duration>,
}

impl Buckets {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            hasher: RandomState::new(),
            table: Mutex::default(),
        }
    }

    fn take(&self, who: &Who<'_>, now: Duration) -> Result<(), Duration> {
        if self.rate.per_second == 0 {
            return Ok(());
        }
        let key = self.hasher.hash_one(who);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.bucket(key, now).take(now, self.rate)
    }
}

impl Table {
    fn bucket(&mut self, key: u64, now: Duration) -> &mut Bucket {
        if self.buckets.len() >= CALLERS_MAX && !self.buckets.contains_key(&key) {
            let since = self.swept.map(|swept| now.saturating_sub(swept));
            if since.is_none_or(|since| since >= SWEEP_EVERY) {
                self.swept = Some(now);
                self.buckets.retain(|_, bucket| !bucket.is_fresh(now));
            }
            if self.buckets.len() >= CALLERS_MAX {
                return &mut self.others;
            }
        }
        self.buckets.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 1,
        burst: Duration::from_secs(2),
    };

    #[test]
    fn each_has_its_own_and_a_subnet_of_ipv6_is_one() {
        let buckets = Buckets::new(RATE);
        let take = |text: &str| {
            let who = Who::Host(neighbourhood(text.parse().unwrap()));
            buckets.take(&who, Duration::ZERO).is_ok()
        };
        assert!(take("10.0.0.1") && take("::ffff:10.0.0.1"));
        assert!(!take("10.0.0.1"));
        assert!(take("10.0.0.2"));
        assert!(take("2001:db8::1") && take("2001:db8::2"));
        assert!(!take("2001:db8::3"));
        assert!(take("2001:db8:0:1::1"));
        assert!(buckets.take(&Who::Name("10.0.0.1"), Duration::ZERO).is_ok());
    }

    #[test]
    fn with_many_callers_those_that_come_new_share_until_others_are_forgotten() {
        let buckets = Buckets::new(RATE);
        let take = |who: usize, now| buckets.take(&Who::Name(&who.to_string()), now).is_ok();
        let now = Duration::from_secs(9);
        assert!((0..CALLERS_MAX).all(|who| take(who, now)));
        let shared: Vec<bool> = (CALLERS_MAX..CALLERS_MAX + 3)
            .map(|who| take(who, now))
            .collect();
        assert_eq!(shared, [true, true, false]);
        assert!(take(0, now));
        let later = now + Duration::from_secs(3);
        assert!(take(CALLERS_MAX + 3, later));
        assert_eq!(buckets.table.lock().unwrap().buckets.len(), 1);
    }
}
