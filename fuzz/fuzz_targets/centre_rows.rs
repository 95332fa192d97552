//! The rows of alerts, incidents, silences and notifications: whatever they hold, the centre takes them up,
//! lives on for a day, and what it writes is taken up again as it was.
#![no_main]

use std::collections::BTreeMap;

use alert::centre::Command;
use alert::{Centre, Delivery, Verdict};
use fuzz::{Input, MIB, routes, within};
use libfuzzer_sys::fuzz_target;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Up to 64 rows of up to 64 KiB, and the words that follow from them.
const BYTES_MAX: usize = 512 * MIB;
const NOW_MILLIS: i64 = 1_800_000_000_000;
const HOUR_MILLIS: i64 = 3_600_000;
/// Steps of its life; far more than a sound row has dues in a day.
const STEPS_MAX: usize = 200;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let mut rows = Rows::new();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        rows.insert(input.piece().to_vec(), input.piece().to_vec());
    }
    within(BYTES_MAX, || live(rows));
});

fn open(rows: &Rows) -> (Centre, usize) {
    let mut centre = Centre::new("abcd", routes()).expect("its conditions are good");
    let rows = rows.iter().map(|(key, value)| (key.clone(), value.clone()));
    let damaged = centre.restore(rows);
    (centre, damaged.len())
}

fn live(mut rows: Rows) {
    let (mut centre, damaged) = open(&rows);
    let mut now = NOW_MILLIS;
    for step in 0..STEPS_MAX {
        centre.tick(now);
        act(&mut centre, step, now);
        for notification in centre.due(now).into_iter().take(8) {
            let delivery = match step % 3 {
                0 => Delivery::Retry {
                    reason: "busy".to_owned(),
                    after: None,
                },
                1 => Delivery::Refused {
                    reason: "no".to_owned(),
                },
                _ => Delivery::Accepted { provider_id: None },
            };
            centre.delivered(&notification.id, delivery, now);
        }
        let next = centre.next_due().into_iter().chain(centre.next_attempt());
        now = next
            .min()
            .unwrap_or(i64::MAX)
            .clamp(now + 1, now + HOUR_MILLIS);
    }
    for change in centre.changes() {
        match change.value {
            Some(value) => rows.insert(change.key, value),
            None => rows.remove(&change.key),
        };
    }
    rows.retain(|key, _| {
        Centre::PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix))
    });
    let (again, damaged_again) = open(&rows);
    assert!(damaged_again <= damaged);
    assert!(again.alerts().eq(centre.alerts()));
    assert!(again.incidents().eq(centre.incidents()));
    assert!(again.silences().eq(centre.silences()));
    assert!(again.queued().eq(centre.queued()));
}

/// What people do, one thing at some of the steps.
fn act(centre: &mut Centre, step: usize, now: i64) {
    let Some(incident) = centre.incidents().next().map(|it| it.id.clone()) else {
        return;
    };
    let note = String::new();
    let command = match step {
        3 => Command::Escalate { incident },
        5 => Command::Acknowledge {
            incident,
            for_millis: None,
            note,
        },
        7 => Command::Verdict {
            incident,
            verdict: Verdict::True,
            note,
        },
        9 => Command::Resolve { incident, note },
        11 => Command::Reopen { incident },
        13 => {
            let alerts = centre.alerts_of(&incident).take(1);
            let fingerprints = alerts.map(|alert| alert.fingerprint.clone()).collect();
            Command::Split {
                incident,
                fingerprints,
            }
        }
        15 => {
            let Some(into) = centre.incidents().next_back().map(|it| it.id.clone()) else {
                return;
            };
            Command::Merge {
                from: incident,
                into,
            }
        }
        _ => return,
    };
    // What does not go together is refused.
    drop(centre.command("someone", command, now));
}
