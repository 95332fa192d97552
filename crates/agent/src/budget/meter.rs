//! What the agent uses, as shares of its caps. Pure: readings in, shares out.

use std::collections::VecDeque;
use std::time::Duration;

use super::controller::{Resource, Used};
use crate::pace::INTERVAL_MAX;

/// How long bytes are averaged at least: batches go in bursts.
const WINDOW_MIN: Duration = Duration::from_secs(15);

/// How long it is looked at what is gathered, at least.
const GATHERS_MIN: Duration = Duration::from_secs(10);
/// How much a new reading counts in what a sample takes.
const RATIO_NEW: f64 = 0.3;

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
    /// Of these, those that say what series there are.
    pub defined_bytes: u64,
    /// Samples gathered, and samples in batches made.
    pub samples: (u64, u64),
    /// Batches sent, and batches made.
    pub batches: (u64, u64),
}

/// Makes shares of readings.
///
/// Bytes are what was sent, but only of as many batches as were made in the same time: after an outage
/// what was missed is sent besides, and reading less would not make that smaller. They are averaged over
/// two sync intervals, and begin anew with each level, so that a level is not judged by the one before.
///
/// Nobody has to wait so long for a flood: what is gathered now will be sent, and what a sample takes is known
/// from the batches before. The larger of both counts. A source may be read only each so many turns; so much
/// longer is looked at what is gathered.
#[derive(Debug)]
pub struct Meter {
    caps: Caps,
    window: Duration,
    collect_interval: Duration,
    /// How long it is looked at what is gathered.
    gathers: Duration,
    /// Bytes that a sample takes.
    per_sample: Option<f64>,
    readings: VecDeque<Reading>,
}

impl Meter {
    /// A meter of an agent that collects and syncs at these intervals.
    #[must_use]
    pub fn new(caps: Caps, collect_interval: Duration, sync_interval: Duration) -> Self {
        Self {
            caps,
            window: WINDOW_MIN.max(sync_interval.saturating_mul(2)),
            collect_interval,
            gathers: gathers(collect_interval, 1),
            per_sample: None,
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
        if let Some(last) = last {
            self.learn(&last, &reading);
        }
        let then = self
            .readings
            .iter()
            .rev()
            .find(|it| since(it) >= self.gathers);
        let foreseen = then.zip(self.per_sample).and_then(|(then, per_sample)| {
            let samples = float(reading.samples.0.saturating_sub(then.samples.0));
            per(samples * per_sample, since(then).as_secs_f64() / 60.0)
        });
        let bytes = match (bytes, foreseen) {
            (Some(bytes), Some(foreseen)) => Some(bytes.max(foreseen)),
            (bytes, foreseen) => bytes.or_else(|| foreseen.filter(|it| self.passes(*it))),
        };
        let caps = self.caps;
        [
            used(cpu, caps.cpu),
            used(reading.memory, caps.memory),
            used(bytes, caps.bytes_per_minute),
        ]
    }

    /// Whether so many bytes a minute are too many. What is foreseen is believed when it is bad; to spare less it
    /// has to be seen.
    fn passes(&self, bytes: f64) -> bool {
        self.caps.bytes_per_minute.is_some_and(|cap| bytes > cap)
    }

    /// Finds out what a sample takes, of the batches between two readings. What was missed and is sent besides
    /// counts no more than above.
    fn learn(&mut self, last: &Reading, now: &Reading) {
        let more = |count: fn(&Reading) -> u64| float(count(now).saturating_sub(count(last)));
        let samples = more(|it| it.samples.1);
        let (sent, made) = (more(|it| it.batches.0), more(|it| it.batches.1));
        let bytes = more(|it| it.sent_bytes.saturating_sub(it.defined_bytes));
        if sent < 1.0 || samples < 1.0 {
            return;
        }
        let fresh = bytes * (made / sent).min(1.0) / samples;
        let before = self.per_sample.unwrap_or(fresh);
        self.per_sample = Some(before + RATIO_NEW * (fresh - before));
    }

    /// The level has changed: what was sent before counts no more. Sources are read each so many turns now.
    pub fn begin_anew(&mut self, turns: u32) {
        self.gathers = gathers(self.collect_interval, turns);
        self.readings.drain(..self.readings.len().saturating_sub(1));
    }
}

/// How long it takes until each source was read twice.
fn gathers(collect_interval: Duration, turns: u32) -> Duration {
    let turns = collect_interval.saturating_mul(turns);
    let between = turns.min(INTERVAL_MAX).max(collect_interval);
    GATHERS_MIN.max(between.saturating_mul(2))
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

    const EVERY: Duration = Duration::from_secs(5);

    /// At this second, with a batch made each five seconds.
    fn reading(second: u32, sent_bytes: u64, sent_batches: u64) -> Reading {
        Reading {
            at: Duration::from_secs(second.into()),
            cpu_seconds: Some(f64::from(second) / 10.0),
            memory: Some(50.0),
            sent_bytes,
            defined_bytes: 0,
            samples: (0, 0),
            batches: (sent_batches, u64::from(second / 5)),
        }
    }

    fn bytes(used: [Used; 3]) -> Used {
        used[2]
    }

    #[test]
    fn shares_are_of_the_caps() {
        let mut meter = Meter::new(CAPS, EVERY, EVERY);
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
            EVERY,
            EVERY,
        );
        assert_eq!(off.take(reading(0, 0, 0)), [Used::Off; 3]);
    }

    #[test]
    fn what_was_missed_is_sent_besides() {
        let mut meter = Meter::new(CAPS, EVERY, EVERY);
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
        let mut meter = Meter::new(CAPS, EVERY, EVERY);
        for second in (0..=20).step_by(5) {
            meter.take(reading(second, 1000 * u64::from(second), 1));
        }
        meter.begin_anew(1);
        let used = [25, 30, 35].map(|second| bytes(meter.take(reading(second, 20_000, 1))));
        assert_eq!(used, [Used::Unknown, Used::Unknown, Used::Share(0.0)]);
    }

    #[test]
    fn a_flood_is_foreseen_by_what_a_sample_took_before() {
        let mut meter = Meter::new(CAPS, EVERY, 12 * EVERY);
        // A hundred samples in five seconds, of which a minute takes 600 bytes, and a batch each minute.
        let at = |second: u32, gathered: u64| {
            let minutes = u64::from(second / 60);
            Reading {
                samples: (gathered, minutes * 1200),
                defined_bytes: minutes.min(1) * 5000,
                batches: (minutes, minutes),
                ..reading(second, minutes * 600 + minutes.min(1) * 5000, 0)
            }
        };
        let mut gathered = 0;
        let mut used = |second: u32, samples: u64, meter: &mut Meter| {
            gathered += samples;
            bytes(meter.take(at(second, gathered)))
        };
        for second in (0..180).step_by(5) {
            used(second, 100, &mut meter);
        }
        assert_eq!(used(180, 100, &mut meter), Used::Share(0.6));
        let flood = [185, 190, 195].map(|second| used(second, 1000, &mut meter));
        assert_eq!(
            flood,
            [Used::Share(3.3), Used::Share(6.0), Used::Share(6.0)]
        );
        // With the next level it is looked anew, and soon known that it is not enough.
        meter.begin_anew(2);
        let level = [200, 205, 210, 215].map(|second| used(second, 500, &mut meter));
        assert_eq!(
            level,
            [
                Used::Unknown,
                Used::Unknown,
                Used::Unknown,
                Used::Share(3.0)
            ]
        );
        // That it is enough has to be seen.
        assert_eq!(used(220, 0, &mut meter), Used::Share(2.25));
        meter.begin_anew(1);
        let calm = [225, 230, 235].map(|second| used(second, 10, &mut meter));
        assert_eq!(calm, [Used::Unknown; 3]);
    }
}
