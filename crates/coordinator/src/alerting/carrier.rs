//! Notifications on their way to providers.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use alert::{Centre, Delivery, Notification, Status, Target};
use daemon::clock::SharedClock;
use notify::{Manner, Senders};
use spec::{Channel, Policy};
use store::Store;

use super::desk::{Carrier, SPACE};

/// Notifications of one incident that are looked at for the first to a target.
const LOOKED_AT_MAX: usize = 100;

/// Hands notifications to the providers that are configured.
pub struct Providers {
    store: Arc<Store>,
    clock: SharedClock,
    now: RwLock<(Arc<Senders>, Arc<Policy>)>,
}

impl Providers {
    /// Providers by a configuration, spoken to in the manner of a policy.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        clock: SharedClock,
        senders: Arc<Senders>,
        policy: Policy,
    ) -> Self {
        Self {
            store,
            clock,
            now: RwLock::new((senders, Arc::new(policy))),
        }
    }

    /// Goes on in another manner.
    pub fn change(&self, senders: Arc<Senders>, policy: Policy) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        *now = (senders, Arc::new(policy));
    }

    /// The providers, and the manner of a channel.
    pub fn now(&self, channel: Channel) -> (Arc<Senders>, Manner) {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&now.0), Manner::of(&now.1, channel))
    }

    /// What the provider called the first word of an incident to a target.
    fn first_word(&self, incident: &str, target: &Target) -> Option<String> {
        if target.channel != Channel::Slack {
            return None;
        }
        let prefix = Centre::history_of(incident);
        let rows = self.store.scan_state_under(SPACE, &prefix, LOOKED_AT_MAX);
        let rows = rows.ok()?.into_iter();
        let words = rows.filter_map(|row| serde_json::from_slice::<Notification>(&row.value).ok());
        let words = words.filter(|word| word.target == *target);
        let taken = words.filter_map(|word| match word.status {
            Status::Accepted {
                provider_id: Some(id),
                ..
            } => Some((word.queued_millis, id)),
            _ => None,
        });
        taken.min().map(|(_, id)| id)
    }
}

impl Carrier for Providers {
    fn carry<'a>(
        &'a self,
        notification: &'a Notification,
    ) -> Pin<Box<dyn Future<Output = Delivery> + Send + 'a>> {
        Box::pin(async move {
            let (senders, manner) = self.now(notification.target.channel);
            let first = self.first_word(&notification.message.incident, &notification.target);
            let now = self.clock.wall_millis();
            let sent = senders
                .send(notification, &manner.in_thread(first), now)
                .await;
            if let Some(fault) = sent.template_fault {
                tracing::warn!(
                    fault,
                    "a template failed; the built-in one spoke in its place"
                );
            }
            if let Delivery::Retry { reason, .. } | Delivery::Refused { reason } = &sent.delivery {
                tracing::warn!(
                    id = notification.id,
                    channel = notification.target.channel.as_str(),
                    reason,
                    "a notification was not taken"
                );
            }
            sent.delivery
        })
    }
}
