//! Who asks for what, and when: a day's tide, bursts, and sizes taken from a real trace.

use crate::profile::{MODEL_TOKENS_MAX, Profile};
use crate::rng::Rng;

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model was done.
    Stop,
    /// `max_tokens` was reached.
    Length,
    /// The client went away.
    Abort,
}

/// One request as it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// When, in seconds since the start of the simulation.
    pub arrival: f64,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the prompt whose keys and values are in the prefix cache; fewer than the prompt.
    pub cached_tokens: u32,
    /// Tokens that will have been generated at the end; at least 1.
    pub output_tokens: u32,
    /// The parameter `max_tokens`.
    pub max_tokens: u32,
    /// How it will end.
    pub finish: Finish,
}

/// Quantiles of the Azure LLM inference trace of November 2023 (`AzurePublicDataset`, CC-BY-4.0):
/// (share of requests at or below, tokens).
type Quantiles = [(f64, f64); 9];

const CONVERSATION_PROMPT: Quantiles = [
    (0.0, 3.0),
    (0.01, 29.0),
    (0.1, 207.0),
    (0.25, 396.0),
    (0.5, 1020.0),
    (0.75, 1189.0),
    (0.9, 2735.0),
    (0.99, 4142.0),
    (1.0, 14_050.0),
];
const CONVERSATION_OUTPUT: Quantiles = [
    (0.0, 7.0),
    (0.01, 16.0),
    (0.1, 54.0),
    (0.25, 85.0),
    (0.5, 129.0),
    (0.75, 395.0),
    (0.9, 424.0),
    (0.99, 601.0),
    (1.0, 1000.0),
];
const CODE_PROMPT: Quantiles = [
    (0.0, 3.0),
    (0.01, 17.0),
    (0.1, 147.0),
    (0.25, 578.0),
    (0.5, 1469.0),
    (0.75, 2745.0),
    (0.9, 5194.0),
    (0.99, 7436.0),
    (1.0, 7437.0),
];
const CODE_OUTPUT: Quantiles = [
    (0.0, 6.0),
    (0.01, 6.0),
    (0.1, 7.0),
    (0.25, 9.0),
    (0.5, 13.0),
    (0.75, 24.0),
    (0.9, 55.0),
    (0.99, 252.0),
    (1.0, 1899.0),
];

/// How much the rate swings about its mean over a day.
const DAY_SWING: f64 = 0.45;
/// When the day's peak is, in seconds after midnight UTC: 15:00.
const DAY_PEAK_SECONDS: f64 = 54_000.0;
/// How many times the usual rate comes in a burst.
const BURST_FACTOR: f64 = 2.5;
/// How long a burst lasts on the mean, in seconds.
const BURST_SECONDS: f64 = 20.0;
/// How long the calm between bursts lasts on the mean, in seconds.
const CALM_SECONDS: f64 = 240.0;
/// Share of requests that go on with a conversation whose beginning is in the prefix cache.
const FOLLOW_UP_SHARE: f64 = 0.45;
/// Share of requests whose client goes away before the end.
const ABORT_SHARE: f64 = 0.01;

/// Draws by inverting the quantiles, in straight lines between them on a logarithmic scale.
fn draw(quantiles: &Quantiles, rng: &mut Rng) -> u32 {
    let share = rng.unit();
    let above = quantiles
        .partition_point(|(at, _)| *at <= share)
        .min(quantiles.len() - 1);
    let (low_at, low) = quantiles[above - 1];
    let (high_at, high) = quantiles[above];
    let part = (share - low_at) / (high_at - low_at);
    tokens((low.ln() + part * (high.ln() - low.ln())).exp())
}

/// A number of tokens as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what a u32 holds"
)]
fn tokens(value: f64) -> u32 {
    value.round().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// The requests of one node, in order of arrival, without end.
#[derive(Clone, Debug)]
pub struct Arrivals {
    rng: Rng,
    rate: f64,
    code_share: f64,
    /// Seconds after midnight UTC when the simulation began.
    day_offset: f64,
    now: f64,
    bursting: bool,
    /// When the burst, or the calm, ends.
    phase_ends: f64,
}

impl Arrivals {
    /// Requests as `profile` sees them, `load` times as many. `unix_seconds` is the date at which
    /// the simulation's time is 0.
    #[must_use]
    pub fn new(profile: &Profile, load: f64, unix_seconds: f64, mut rng: Rng) -> Self {
        let phase_ends = rng.exponential(CALM_SECONDS);
        // Nodes serve people of different places, so their tides are hours apart.
        let day_offset = unix_seconds.rem_euclid(86_400.0) + rng.between(-7200.0, 7200.0);
        Self {
            rng,
            rate: profile.requests_per_second * load,
            code_share: profile.code_share,
            day_offset,
            now: 0.0,
            bursting: false,
            phase_ends,
        }
    }

    /// Requests per second at time `at`, outside bursts.
    fn tide(&self, at: f64) -> f64 {
        let angle = (self.day_offset + at - DAY_PEAK_SECONDS) / 86_400.0 * std::f64::consts::TAU;
        self.rate * (1.0 + DAY_SWING * angle.cos())
    }

    /// The next request. Arrivals are a Poisson process whose rate changes, drawn by thinning
    /// (Lewis and Shedler 1979) one of the highest rate.
    pub fn next_request(&mut self) -> Request {
        let highest = self.rate * (1.0 + DAY_SWING) * BURST_FACTOR;
        loop {
            self.now += self.rng.exponential(1.0 / highest);
            while self.phase_ends <= self.now {
                self.bursting = !self.bursting;
                let mean = if self.bursting {
                    BURST_SECONDS
                } else {
                    CALM_SECONDS
                };
                self.phase_ends += self.rng.exponential(mean);
            }
            let factor = if self.bursting { BURST_FACTOR } else { 1.0 };
            if self.rng.chance(self.tide(self.now) * factor / highest) {
                return self.request();
            }
        }
    }

    fn request(&mut self) -> Request {
        let rng = &mut self.rng;
        let (prompt, output) = if rng.chance(self.code_share) {
            (&CODE_PROMPT, &CODE_OUTPUT)
        } else {
            (&CONVERSATION_PROMPT, &CONVERSATION_OUTPUT)
        };
        let prompt_tokens = draw(prompt, rng).clamp(1, MODEL_TOKENS_MAX - 2048);
        let wanted = draw(output, rng).max(1);
        let max_tokens = [256, 512, 1024, 2048][usize::from(rng.chance(0.9))
            + usize::from(rng.chance(0.6))
            + usize::from(rng.chance(0.4))];
        let mut output_tokens = wanted.min(max_tokens);
        let mut finish = if wanted >= max_tokens {
            Finish::Length
        } else {
            Finish::Stop
        };
        if rng.chance(ABORT_SHARE) {
            finish = Finish::Abort;
            output_tokens = tokens(f64::from(output_tokens) * rng.unit()).max(1);
        }
        let mut cached_tokens = 0;
        if rng.chance(FOLLOW_UP_SHARE) {
            // Whole blocks only, and never the last token, whose output is what is asked for.
            let shared = tokens(f64::from(prompt_tokens - 1) * rng.between(0.3, 0.95));
            cached_tokens = shared / crate::profile::BLOCK_TOKENS * crate::profile::BLOCK_TOKENS;
        }
        Request {
            arrival: self.now,
            prompt_tokens,
            cached_tokens,
            output_tokens,
            max_tokens,
            finish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::PROFILES;

    fn median(mut values: Vec<u32>) -> u32 {
        values.sort_unstable();
        values[values.len() / 2]
    }

    #[test]
    fn sizes_have_the_medians_of_the_trace() {
        let mut rng = Rng::new(3, 0);
        let prompts = median(
            (0..20_000)
                .map(|_| draw(&CONVERSATION_PROMPT, &mut rng))
                .collect(),
        );
        assert!((980..=1030).contains(&prompts), "{prompts}");
        let outputs = median((0..20_000).map(|_| draw(&CODE_OUTPUT, &mut rng)).collect());
        assert!((12..=14).contains(&outputs), "{outputs}");
    }

    #[test]
    fn requests_ascend_and_keep_their_bounds() {
        let mut arrivals = Arrivals::new(&PROFILES[1], 1.0, 0.0, Rng::new(1, 1));
        let mut last = 0.0;
        for _ in 0..20_000 {
            let request = arrivals.next_request();
            assert!(request.arrival > last);
            last = request.arrival;
            assert!(request.cached_tokens < request.prompt_tokens);
            assert!((1..=request.max_tokens).contains(&request.output_tokens));
            assert!(request.prompt_tokens + request.max_tokens <= MODEL_TOKENS_MAX);
        }
    }

    #[test]
    fn a_day_brings_its_rate_and_afternoons_bring_more_than_nights() {
        let mut arrivals = Arrivals::new(&PROFILES[0], 1.0, 0.0, Rng::new(5, 0));
        let mut by_hour = [0_u32; 24];
        loop {
            let hour = (arrivals.next_request().arrival / 3600.0).floor();
            match (0..24).find(|h| f64::from(*h) >= hour) {
                Some(hour) => by_hour[usize::try_from(hour).unwrap()] += 1,
                None => break,
            }
        }
        let mean = f64::from(by_hour.iter().sum::<u32>()) / 86_400.0;
        let bursts = (CALM_SECONDS + BURST_SECONDS * BURST_FACTOR) / (CALM_SECONDS + BURST_SECONDS);
        let expected = PROFILES[0].requests_per_second * bursts;
        assert!((mean / expected - 1.0).abs() < 0.05, "{mean} {expected}");
        let (day, night): (u32, u32) = (by_hour[13..17].iter().sum(), by_hour[1..5].iter().sum());
        assert!(f64::from(day) > 1.7 * f64::from(night), "{by_hour:?}");
    }
}
