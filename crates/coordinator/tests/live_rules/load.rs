//! An hour of samples of twenty nodes, with the times at which they come.

use std::collections::BTreeMap;

use series::Labels;

const NODES: u32 = 20;
/// Time between two samples of a series.
const STEP: i64 = 15_000;

/// Numbers from a seed: SplitMix64.
#[derive(Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number under `bound`.
    pub(crate) fn under(&mut self, bound: i64) -> i64 {
        i64::try_from(self.draw() % bound.unsigned_abs().max(1)).unwrap()
    }
}

/// A sample as it was taken.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) labels: Labels,
    pub(crate) time: i64,
    pub(crate) value: f64,
}

/// What comes, and when.
#[derive(Debug)]
pub(crate) struct Load {
    comes: BTreeMap<i64, Vec<Sample>>,
}

impl Load {
    pub(crate) fn new(start: i64, length: i64, chance: &mut Chance) -> Self {
        let mut comes: BTreeMap<i64, Vec<Sample>> = BTreeMap::new();
        for node in 0..NODES {
            let (mut cpu, mut queue, mut requests, mut silent) = (50, 40, 0, 0);
            let name = format!("n{node}");
            let region = ["east", "north", "west"][node as usize % 3];
            let labels = ["cpu", "queue", "requests_total"].map(|metric| {
                Labels::with_name(metric, &[("node", &name), ("region", region)]).unwrap()
            });
            let mut time = start - 300_000 + chance.under(STEP);
            while time < start + length {
                cpu = (cpu + chance.under(31) - 15).clamp(0, 100);
                queue = (queue + chance.under(41) - 20).clamp(0, 120);
                // It starts again now and then.
                requests = match chance.under(100) {
                    0 => 0,
                    _ => requests + chance.under(1200),
                };
                if chance.under(60) == 0 {
                    silent = time + 30_000 + chance.under(600_000);
                }
                if time >= silent {
                    // Most come at once, some within the time that rules wait.
                    let late = match chance.under(5) {
                        0 => chance.under(60_000),
                        _ => chance.under(500),
                    };
                    let values =
                        [cpu, queue, requests].map(|it| f64::from(i32::try_from(it).unwrap()));
                    let samples = labels.iter().zip(values);
                    let at = comes.entry((time + late).max(start)).or_default();
                    at.extend(samples.map(|(labels, value)| Sample {
                        labels: labels.clone(),
                        time,
                        value,
                    }));
                }
                time += STEP;
            }
        }
        Self { comes }
    }

    /// What comes until a time, and has not come yet.
    pub(crate) fn until(&mut self, time: i64) -> Vec<(i64, Vec<Sample>)> {
        let later = self.comes.split_off(&time);
        std::mem::replace(&mut self.comes, later)
            .into_iter()
            .collect()
    }
}
