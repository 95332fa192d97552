//! Whom alerts are told.

use std::collections::BTreeMap;
use std::time::Duration;

use alert::routes::Inhibition;
use alert::{Routes, Target, Timing};
use spec::{Channel, Escalation, IncidentPolicy, Level, LevelPolicy, Policy, Rung};

/// Each level its own way, a ladder of two rungs, something that explains another, and a digest.
#[must_use]
pub fn routes() -> Routes {
    let level = |escalation| LevelPolicy {
        response_within: Duration::from_secs(300),
        channels: vec![Channel::Email, Channel::Webhook],
        escalation,
    };
    let rung = |name: &str| Rung {
        name: name.to_owned(),
        timeout: Duration::from_secs(300),
        notify: vec!["oncall".to_owned()],
    };
    let target = |channel, address: &str| Target {
        channel,
        address: address.to_owned(),
    };
    Routes {
        policy: Policy {
            levels: BTreeMap::from([
                (Level::Critical, level(Escalation::Automatic)),
                (Level::High, level(Escalation::Manual)),
                (Level::Low, level(Escalation::None)),
            ]),
            conditions: BTreeMap::new(),
            ladder: vec![rung("level_1"), rung("level_2")],
            incidents: IncidentPolicy::default(),
            addresses: BTreeMap::from([
                (Channel::Email, vec!["a@example.org".to_owned()]),
                (Channel::Webhook, vec!["hook".to_owned()]),
            ]),
            templates: BTreeMap::new(),
            pagerduty_urgency: None,
        },
        receivers: BTreeMap::from([(
            "oncall".to_owned(),
            vec![target(Channel::Phone, "+4930100")],
        )]),
        fallback: vec![target(Channel::Webhook, "spare")],
        inhibitions: vec![Inhibition::dependency("NodeDown", "ErrorsHigh")],
        timing: Timing::default(),
        spare_readers: true,
        digests: BTreeMap::from([(Level::Low, 3_600_000)]),
    }
}
