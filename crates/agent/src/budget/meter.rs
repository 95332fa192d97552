//! What the agent uses, as shares of its caps. Pure: readings in, shares out.

use std::collections::VecDeque;
use std::time::Duration;

use super::controller::{Resource, Used};

/// How long bytes are averaged at least: batches go in bursts.
const WINDOW_MIN: Duration = Duration::from_secs(15);

/// What the agent may use; `None` is no cap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Caps {
    /// Processors.
    pub cpu: Option<f64>,
    /// Bytes.
    pub memory: Option<f64>,
    /// Bytes.
    pub bytes_per_minute: Option<f64>,
}

/// What was read at one moment, counts from the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Monotonic time.
    pub at: Duration,
    /// Processor time; `None` when the kernel did not say.
    pub cpu_seconds: Option<f64>,
    /// Resident memory in bytes.
    pub memory: Option<f64>,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Batches sent, and batches made.
    pub batches: (u64, u64),
}

/// Makes shares of readings.
///
/// Bytes are what was sent, but only of as many batches as were made in the same time: after an outage
/// what was missed is sent besides, and reading less would not make that smaller. They are averaged over
/// two sync intervals, and begin anew with each level, so that a level is not judged by the one before.
#[derive(Debug)]
pub struct Meter {
    caps: Caps,
    window: Duration,
    readings: VecDeque<Reading>,
}

impl Meter {
    /// A meter of an agent that syncs at this interval.
    #[must_use]
    pub fn new(caps: Caps, sync_interval: Duration) -> Self {
        Self {
            caps,
            window: WINDOW_MIN.max(sync_interval.saturating_mul(2)),
            readings: VecDeque::new(),
        }
    }

    /// What is used, in the order of [`Resource::ALL`].
    pub fn take(&mut self, reading: Reading) -> [Used; Resource::ALL.len()] {
        let last = self.readings.back().copied();
        self.readings.push_back(reading);
        let since = |then: &Reading| reading.at.saturating_sub(then.at);
        // One at or beyond the window is kept, to measure from.
        while self
            .readings
            .get(1)
            .is_some_and(|it| since(it) >= self.window)
        {
            self.readings.pop_front();
        }
        let cpu = last.and_then(|last| {
            let seconds = reading.cpu_seconds? - last.cpu_seconds?;
            per(seconds, since(&last).as_secs_f64())
        });
        let first = self.readings.front().filter(|it| since(it) >= self.window);
        let bytes = first.and_then(|first| {
            let bytes = float(reading.sent_bytes.saturating_sub(first.sent_bytes));
            let sent = float(reading.batches.0.saturating_sub(first.batches.0)).max(1.0);
            let made = float(reading.batches.1.saturating_sub(first.batches.1));
            let bytes = bytes * (made / sent).min(1.0);
            per(bytes, since(first).as_secs_f64() / 60.0)
        });
        let caps = self.caps;
        [
            used(cpu, caps.cpu),
            used(reading.memory, caps.memory),
            used(bytes, caps.bytes_per_minute),
        ]
    }

    /// The level has changed: what was sent before counts no more.
    pub fn begin_anew(&mut self) {
        self.readings.drain(..self.readings.len().saturating_sub(1));
    }
}

fn used(value: Option<f64>, cap: Option<f64>) -> Used {
    match (value, cap) {
        (_, None) => Used::Off,
        (None, Some(_)) => Used::Unknown,
        (Some(value), Some(cap)) => Used::Share(value / cap),
    }
}

fn per(value: f64, units: f64) -> Option<f64> {
    (units > 0.0).then(|| value / units)
}

#[expect(clippy::cast_precision_loss, reason = "bytes stay below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps {
        cpu: Some(0.5),
        memory: Some(100.0),
        bytes_per_minute: Some(1000.0),
    };

    /// At this second, with a batch made each five seconds.
    fn reading(second: u32, sent_bytes: u64, sent_batches: u64) -> Reading {
        Reading {
            at: Duration::from_secs(second.into()),
            cpu_seconds: Some(f64::from(second) / 10.0),
            memory: Some(50.0),
            sent_bytes,
            batches: (sent_batches, u64::from(second / 5)),
        }
    }

    fn bytes(used: [Used; 3]) -> Used {
        used[2]
    }

    #[test]
    fn shares_are_of_the_caps() {
        let mut meter = Meter::new(CAPS, Duration::from_secs(5));
        let first = meter.take(reading(0, 0, 0));
        assert_eq!(first, [Used::Unknown, Used::Share(0.5), Used::Unknown]);
        meter.take(reading(5, 50, 1));
        meter.take(reading(10, 100, 2));
        let used = meter.take(reading(15, 150, 3));
        let expected = [Used::Share(0.2), Used::Share(0.5), Used::Share(0.6)];
        assert_eq!(used, expected);
        let mut off = Meter::new(
            Caps {
                cpu: None,
                memory: None,
                bytes_per_minute: None,
            },
            Duration::from_secs(5),
        );
        assert_eq!(off.take(reading(0, 0, 0)), [Used::Off; 3]);
    }

    #[test]
    fn what_was_missed_is_sent_besides() {
        let mut meter = Meter::new(CAPS, Duration::from_secs(5));
        let mut used = [Used::Off; 3];
        for second in (0..=15).step_by(5) {
            let batches = 100 * u64::from(second / 5);
            used = meter.take(reading(second, 100 * batches, batches));
        }
        // Three batches of a hundred bytes in a quarter of a minute.
        assert_eq!(bytes(used), Used::Share(1.2));
    }

    #[test]
    fn a_level_is_not_judged_by_the_one_before() {
        let mut meter = Meter::new(CAPS, Duration::from_secs(5));
        for second in (0..=20).step_by(5) {
            meter.take(reading(second, 1000 * u64::from(second), 1));
        }
        meter.begin_anew();
        let used = [25, 30, 35].map(|second| bytes(meter.take(reading(second, 20_000, 1))));
        assert_eq!(used, [Used::Unknown, Used::Unknown, Used::Share(0.0)]);
    }
}
