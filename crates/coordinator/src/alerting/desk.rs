//! The task that owns the state between rules and people.

mod work;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use alert::centre::{Change, Command, CommandError, OutsideAlert};
use alert::{Centre, Delivery, Notification, Routes, Transition};
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use spec::Channel;
use store::Store;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};

use super::metrics::AlertingMetrics;
use work::Work;

/// State space of alerts, incidents, silences, notifications and the states of rules. Never reused for
/// anything else.
pub(super) const SPACE: u8 = 10;
/// Orders that may wait for the desk; whoever has more waits.
const ORDERS_MAX: usize = 1024;
/// Notifications that are under way at a time by one channel: one that hangs holds up no other.
const UNDER_WAY_MAX: usize = 16;
/// Incidents that may have changed before a slow watcher is told that it missed some.
const CHANGED_MAX: usize = 1024;
/// Rows read at a time at the start.
const READ_MAX: usize = 1_000_000;

/// Carries notifications to providers.
pub trait Carrier: Send + Sync + 'static {
    /// Hands one over and says what came of it.
    fn carry<'a>(
        &'a self,
        notification: &'a Notification,
    ) -> Pin<Box<dyn Future<Output = Delivery> + Send + 'a>>;
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// It cannot be done.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It could not be made durable; nothing was done.
    #[error("writing what is known of alerts")]
    Store(#[from] store::Error),
    /// The process goes down.
    #[error("shutting down")]
    Stopped,
    /// The routes cannot be used.
    #[error(transparent)]
    Routes(#[from] alert::ConditionError),
}

/// Says which alerts stay by which of their rules, whatever rules of the centre find.
pub(super) type Holds = Box<dyn Fn(&alert::Alert, &str) -> bool + Send>;
/// Finds at the desk itself what there is to take, and the rows that go with it: nothing comes between.
type Find = Box<dyn FnOnce(&Centre) -> (Vec<Transition>, Vec<Change>) + Send>;

/// What someone wants of the desk.
enum Order {
    Take {
        transitions: Vec<Transition>,
        rows: Vec<Change>,
        done: oneshot::Sender<Result<(), DeskError>>,
    },
    Find {
        find: Find,
        done: oneshot::Sender<Result<(), DeskError>>,
    },
    Settle {
        firing: Vec<Transition>,
        holds: Holds,
        rows: Vec<Change>,
        done: oneshot::Sender<Result<(), DeskError>>,
    },
    Outside {
        alerts: Vec<OutsideAlert>,
        done: oneshot::Sender<Result<(), DeskError>>,
    },
    Act {
        by: String,
        command: Command,
        done: oneshot::Sender<Result<String, DeskError>>,
    },
    Reroute {
        routes: Box<Routes>,
        done: oneshot::Sender<Result<(), DeskError>>,
    },
    Look(Box<dyn FnOnce(&Centre) + Send>),
    Delivered {
        notification: Box<Notification>,
        delivery: Delivery,
    },
}

/// A handle to the desk. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    orders: mpsc::Sender<Order>,
    changed: broadcast::Sender<String>,
    store: Arc<Store>,
    shutdown: Shutdown,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// Reads what an earlier life has kept.
fn restore(centre: &mut Centre, store: &Store) -> Result<(), store::Error> {
    let mut rows = Vec::new();
    for prefix in Centre::PREFIXES {
        let found = store.scan_state_under(SPACE, prefix, READ_MAX)?;
        rows.extend(found.into_iter().map(|row| (row.key, row.value)));
    }
    for damaged in centre.restore(rows) {
        tracing::error!(
            key = %String::from_utf8_lossy(&damaged.key),
            reason = damaged.reason,
            "a row of alerting cannot be read; left where it is"
        );
    }
    Ok(())
}

impl Desk {
    /// Takes up what `store` has of an earlier life and begins to work by `routes`.
    ///
    /// # Errors
    /// When the rows cannot be read or the routes not be used.
    pub fn start(
        store: Arc<Store>,
        routes: Routes,
        carrier: Arc<dyn Carrier>,
        metrics: Arc<AlertingMetrics>,
        clock: SharedClock,
        shutdown: &Shutdown,
    ) -> Result<Self, DeskError> {
        let prefix = prefix(&store)?;
        let mut centre = Centre::new(&prefix, routes)?;
        restore(&mut centre, &store)?;
        let (orders, queue) = mpsc::channel(ORDERS_MAX);
        let (changed, _) = broadcast::channel(CHANGED_MAX);
        let desk = Self {
            orders,
            changed: changed.clone(),
            store: Arc::clone(&store),
            shutdown: shutdown.clone(),
        };
        let work = Work {
            centre,
            store,
            carrier,
            metrics,
            clock,
            orders: desk.orders.downgrade(),
            changed,
            under_way: HashSet::new(),
            room: Channel::ALL
                .map(|channel| (channel, Arc::new(Semaphore::new(UNDER_WAY_MAX))))
                .into(),
            shutdown: shutdown.clone(),
        };
        drop(shutdown.spawn_essential("alerting", work.run(queue)));
        Ok(desk)
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, DeskError>>) -> Order,
    ) -> Result<T, DeskError> {
        let (done, answer) = oneshot::channel();
        let sent = self.orders.send(order(done)).await;
        sent.map_err(|_gone| DeskError::Stopped)?;
        answer.await.unwrap_or(Err(DeskError::Stopped))
    }

    /// Takes what one evaluation found, and the rows of the rules' states with it: all is durable when it
    /// returns.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub async fn take(
        &self,
        transitions: Vec<Transition>,
        rows: Vec<Change>,
    ) -> Result<(), DeskError> {
        self.order(|done| Order::Take {
            transitions,
            rows,
            done,
        })
        .await
    }

    /// Takes what `find` finds when it is its turn, and the rows with it: all is durable when it returns.
    /// What several find in this way is found one after another, each with what came of those before.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub(super) async fn take_found(
        &self,
        find: impl FnOnce(&Centre) -> (Vec<Transition>, Vec<Change>) + Send + 'static,
    ) -> Result<(), DeskError> {
        let find = Box::new(find);
        self.order(|done| Order::Find { find, done }).await
    }

    /// Makes of the rules' alerts exactly these, and those that `holds` says.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub(super) async fn settle(
        &self,
        firing: Vec<Transition>,
        holds: Holds,
        rows: Vec<Change>,
    ) -> Result<(), DeskError> {
        self.order(|done| Order::Settle {
            firing,
            holds,
            rows,
            done,
        })
        .await
    }

    /// Takes what another program says.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub async fn outside(&self, alerts: Vec<OutsideAlert>) -> Result<(), DeskError> {
        self.order(|done| Order::Outside { alerts, done }).await
    }

    /// Does what a person wants; gives the id of what it was done to or what was made.
    ///
    /// # Errors
    /// When it cannot be done or not be made durable.
    pub async fn act(&self, by: &str, command: Command) -> Result<String, DeskError> {
        let by = by.to_owned();
        self.order(|done| Order::Act { by, command, done }).await
    }

    /// Goes on by other routes.
    ///
    /// # Errors
    /// When they cannot be used.
    pub async fn reroute(&self, routes: Routes) -> Result<(), DeskError> {
        let routes = Box::new(routes);
        self.order(|done| Order::Reroute { routes, done }).await
    }

    /// Lets someone look at what is known.
    ///
    /// # Errors
    /// When the process goes down.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Centre) -> T + Send + 'static,
    ) -> Result<T, DeskError> {
        self.order(|done| {
            Order::Look(Box::new(move |centre| {
                // Whoever asked may be gone.
                drop(done.send(Ok(look(centre))));
            }))
        })
        .await
    }

    /// The ids of incidents that something happens to, from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<String> {
        self.changed.subscribe()
    }

    /// Waits until the process is to end: whoever watches goes then, and does not hold it up.
    pub(super) async fn draining(&self) {
        self.shutdown.draining().await;
    }

    /// A notification that was taken or given up, by its id.
    ///
    /// # Errors
    /// When the store fails.
    pub fn finished(&self, id: &str) -> Result<Option<Notification>, store::Error> {
        let row = self.store.get_state(SPACE, &Centre::history_key(id))?;
        Ok(row.and_then(|row| serde_json::from_slice(&row).ok()))
    }

    /// The notifications of an incident that were taken or given up.
    ///
    /// # Errors
    /// When the store fails.
    pub fn history(&self, incident: &str, limit: usize) -> Result<Vec<Notification>, store::Error> {
        let prefix = Centre::history_of(incident);
        let rows = self.store.scan_state_under(SPACE, &prefix, limit)?;
        let rows = rows.into_iter();
        Ok(rows
            .filter_map(|row| serde_json::from_slice(&row.value).ok())
            .collect())
    }
}

/// What ids of incidents begin with here: four letters made once, so that those of two coordinators that
/// tell the same provider differ.
fn prefix(store: &Store) -> Result<String, store::Error> {
    const KEY: &[u8] = b"prefix";
    if let Some(prefix) = store.get_state(SPACE, KEY)? {
        return Ok(String::from_utf8_lossy(&prefix).into_owned());
    }
    let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), KEY);
    let letter = |at: u32| char::from(b'a' + (seed >> (8 * at) & 0xff).rem_euclid(26) as u8);
    let prefix: String = (0..4).map(letter).chain(['-']).collect();
    let row = (KEY.to_vec(), Some(prefix.clone().into_bytes()));
    store.change_state(SPACE, [row])?;
    Ok(prefix)
}
