//! The work at the desk: orders one after another, and words on their way.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use alert::centre::Change;
use alert::{Centre, Delivery, Notification, Status};
use daemon::blocking;
use daemon::chain;
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use spec::Channel;
use store::Store;
use tokio::sync::{Semaphore, broadcast, mpsc};

use super::{AlertingMetrics, Carrier, DeskError, Order, SPACE};

/// Longest time between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long the end waits for providers to answer.
const HEAR_OUT: Duration = Duration::from_secs(10);

/// What the task owns.
pub(super) struct Work {
    pub(super) centre: Centre,
    pub(super) store: Arc<Store>,
    pub(super) carrier: Arc<dyn Carrier>,
    pub(super) metrics: Arc<AlertingMetrics>,
    pub(super) clock: SharedClock,
    pub(super) orders: mpsc::WeakSender<Order>,
    pub(super) changed: broadcast::Sender<String>,
    /// Ids of notifications that are with their providers.
    pub(super) under_way: HashSet<String>,
    pub(super) room: BTreeMap<Channel, Arc<Semaphore>>,
    pub(super) shutdown: Shutdown,
}

/// Hands a notification over. One that makes a sender panic is tried again like one that a provider could
/// not take: it holds up neither others nor, for good, itself.
async fn carried(carrier: Arc<dyn Carrier>, notification: &Notification) -> Delivery {
    let to_carry = notification.clone();
    let carrying = tokio::spawn(async move { carrier.carry(&to_carry).await });
    carrying.await.unwrap_or_else(|panicked| {
        let error: &dyn std::error::Error = &panicked;
        tracing::error!(
            id = notification.id,
            error,
            "a sender panicked over a notification"
        );
        Delivery::Retry {
            reason: "the sender failed".to_owned(),
            after: None,
        }
    })
}

impl Work {
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        let now = self.clock.wall_millis();
        self.centre.tick(now);
        if let Err(error) = self.keep(Vec::new()).await {
            tracing::error!(error = chain(&error), "alerting");
            return;
        }
        loop {
            self.send();
            self.metrics.show(&self.centre);
            let order = tokio::select! {
                order = queue.recv() => order,
                () = tokio::time::sleep(self.until_due()) => None,
                () = self.shutdown.draining() => return self.hear_out(queue).await,
            };
            let worked = match order {
                Some(order) => self.carry_out(order).await,
                None => {
                    self.centre.tick(self.clock.wall_millis());
                    self.keep(Vec::new()).await
                }
            };
            if let Err(error) = worked {
                // What is in memory is ahead of what is kept: nothing may follow from it.
                tracing::error!(
                    error = chain(&error),
                    "alerting stops until the coordinator is started again"
                );
                return;
            }
        }
    }

    /// Waits for what is under way, so that it is not sent again in the next life.
    async fn hear_out(mut self, mut queue: mpsc::Receiver<Order>) {
        let end = tokio::time::Instant::now() + HEAR_OUT;
        while !self.under_way.is_empty() {
            let Ok(Some(order)) = tokio::time::timeout_at(end, queue.recv()).await else {
                return;
            };
            // Whoever wants something else hears that the process goes down.
            if matches!(order, Order::Delivered { .. }) && self.carry_out(order).await.is_err() {
                return;
            }
        }
    }

    fn until_due(&self) -> Duration {
        let now = self.clock.wall_millis();
        // One that is under way is not due, whatever its time.
        let attempts = self.centre.queued();
        let attempts = attempts.filter(|it| !self.under_way.contains(&it.id));
        let attempt = attempts
            .map(|it| it.next_millis)
            .filter(|at| *at > now)
            .min();
        let due = self.centre.next_due().into_iter().chain(attempt).min();
        let wait = due.map_or(i64::MAX, |due| due.saturating_sub(now)).max(0);
        Duration::from_millis(wait.cast_unsigned()).min(LOOK_EVERY)
    }

    async fn carry_out(&mut self, order: Order) -> Result<(), store::Error> {
        let now = self.clock.wall_millis();
        let (rows, done) = match order {
            Order::Look(look) => {
                look(&self.centre);
                return Ok(());
            }
            Order::Act { by, command, done } => {
                let outcome = self.centre.command(&by, command, now);
                let kept = self.keep(Vec::new()).await;
                drop(done.send(match (outcome, &kept) {
                    (_, Err(_)) => Err(DeskError::Stopped),
                    (outcome, Ok(())) => outcome.map_err(DeskError::from),
                }));
                return kept;
            }
            Order::Delivered {
                notification,
                delivery,
            } => {
                self.under_way.remove(&notification.id);
                self.metrics.delivered(&notification, &delivery, now);
                self.centre.delivered(&notification.id, delivery, now);
                return self.keep(Vec::new()).await;
            }
            Order::Reroute { routes, done } => {
                let outcome = self.centre.reroute(*routes, now);
                let kept = self.keep(Vec::new()).await;
                drop(done.send(match &kept {
                    Err(_) => Err(DeskError::Stopped),
                    Ok(()) => outcome.map_err(DeskError::from),
                }));
                return kept;
            }
            Order::Take {
                transitions,
                rows,
                done,
            } => {
                self.centre.take(transitions, now);
                (rows, done)
            }
            Order::Find { find, done } => {
                let (transitions, rows) = find(&self.centre);
                if !transitions.is_empty() {
                    self.centre.take(transitions, now);
                }
                (rows, done)
            }
            Order::Settle {
                firing,
                holds,
                rows,
                done,
            } => {
                self.centre.settle(firing, &*holds, now);
                (rows, done)
            }
            Order::Outside { alerts, done } => {
                self.centre.take_outside(alerts, now);
                (Vec::new(), done)
            }
        };
        let kept = self.keep(rows).await;
        drop(done.send(match &kept {
            Ok(()) => Ok(()),
            Err(_) => Err(DeskError::Stopped),
        }));
        kept
    }

    /// Makes durable what has changed, and tells who watches.
    async fn keep(&mut self, mut rows: Vec<Change>) -> Result<(), store::Error> {
        rows.extend(self.centre.changes());
        if rows.is_empty() {
            return Ok(());
        }
        let changed: Vec<String> = rows
            .iter()
            .filter_map(|row| row.key.strip_prefix(b"i/"))
            .map(|id| String::from_utf8_lossy(id).into_owned())
            .collect();
        let store = Arc::clone(&self.store);
        let rows = rows.into_iter().map(|row| (row.key, row.value));
        let rows: Vec<_> = rows.collect();
        let written = blocking::spawn(move || store.change_state(SPACE, rows)).await;
        written.unwrap_or(Err(store::Error::Poisoned))?;
        for id in changed {
            // Nobody may be watching.
            drop(self.changed.send(id));
        }
        Ok(())
    }

    /// Sends what is due and not under way.
    fn send(&mut self) {
        for notification in self.centre.due(self.clock.wall_millis()) {
            if self.under_way.contains(&notification.id) || notification.status != Status::Queued {
                continue;
            }
            let room = self.room.get(&notification.target.channel).map(Arc::clone);
            let Some(permit) = room.and_then(|room| room.try_acquire_owned().ok()) else {
                continue;
            };
            let Some(orders) = self.orders.upgrade() else {
                return;
            };
            self.under_way.insert(notification.id.clone());
            let carrier = Arc::clone(&self.carrier);
            let task = async move {
                let delivery = carried(carrier, &notification).await;
                drop(permit);
                let order = Order::Delivered {
                    notification: Box::new(notification),
                    delivery,
                };
                // The desk is gone: it is sent again in the next life, under the same id.
                drop(orders.send(order).await);
            };
            drop(self.shutdown.spawn("notification", task));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;

    use alert::{Message, Target};

    use super::*;

    struct Panics;

    impl Carrier for Panics {
        fn carry<'a>(
            &'a self,
            _: &'a Notification,
        ) -> Pin<Box<dyn Future<Output = Delivery> + Send + 'a>> {
            Box::pin(async {
                std::panic::resume_unwind(Box::new("as an index out of bounds would"))
            })
        }
    }

    #[tokio::test]
    async fn a_sender_that_panics_is_one_that_could_not_take_it() {
        let notification = Notification {
            id: "t1/1".to_owned(),
            target: Target {
                channel: Channel::Webhook,
                address: "a".to_owned(),
            },
            message: Message::test(0),
            status: Status::Queued,
            attempts: 0,
            queued_millis: 0,
            next_millis: 0,
            stands_for: Vec::new(),
        };
        let delivery = carried(Arc::new(Panics), &notification).await;
        assert!(matches!(delivery, Delivery::Retry { .. }), "{delivery:?}");
    }
}
