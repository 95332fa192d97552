//! All of alerting together: what is in force, and how it is changed.

use std::sync::Arc;

use daemon::chain;
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use notify::Senders;
use serde::{Deserialize, Serialize};
use store::Store;
use tokio::sync::{Mutex, watch};

use super::book::{Book, BookError, Document};
use super::carrier::Providers;
use super::desk::{Carrier, Desk, DeskError, SPACE};
use super::edge::Edge;
use super::outposts::Outposts;
use super::recorder::Recorder;
use super::rules::{Parts, Rules};
use super::{AlertingMetrics, heartbeat, own};
use crate::config::Config;
use crate::fleet::Fleet;
use crate::writer::Writer;

/// Key of the row of the specification that was applied.
const DOCUMENTS: &[u8] = b"documents";

/// The specification that was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Applied {
    /// Its texts.
    pub(super) documents: Vec<Document>,
    /// When, in milliseconds since the Unix epoch; 0 when nothing was.
    pub(super) at_millis: i64,
    /// By whom.
    pub(super) by: String,
}

/// Why alerting does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// Rules, documents or addresses cannot be used.
    #[error(transparent)]
    Book(#[from] BookError),
    /// Providers cannot be spoken to as the configuration says.
    #[error(transparent)]
    Senders(#[from] notify::Error),
    /// The desk does not take it.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// The configuration lacks something that documents need.
    #[error("the configuration lacks what the documents need:\n{}", .0.join("\n"))]
    Missing(Vec<String>),
    /// A defect of ours.
    #[error("reading what is to be in force panicked")]
    Panicked,
}

impl OfficeError {
    /// Whether the same may work a little later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Desk(DeskError::Stopped) => true,
            Self::Desk(DeskError::Store(error)) => error.is_retryable(),
            Self::Book(_)
            | Self::Senders(_)
            | Self::Missing(_)
            | Self::Panicked
            | Self::Desk(DeskError::Command(_) | DeskError::Routes(_)) => false,
        }
    }
}

impl From<store::Error> for OfficeError {
    fn from(error: store::Error) -> Self {
        Self::Desk(DeskError::Store(error))
    }
}

/// What alerting stands on.
#[derive(Clone)]
pub struct Ground {
    /// Where all is kept.
    pub store: Arc<Store>,
    /// Who writes what rules record.
    pub writer: Writer,
    /// Who says which nodes there are.
    pub fleet: Fleet,
    /// The configuration as it is now.
    pub config: watch::Receiver<Arc<Config>>,
    /// Where metrics are gathered.
    pub registry: daemon::metrics::Registry,
    /// What time it is.
    pub clock: SharedClock,
    /// When to end.
    pub shutdown: Shutdown,
}

/// What an applied specification came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) in_force: usize,
    pub(super) not_built: Vec<String>,
    pub(super) rules: usize,
    pub(super) missing: Vec<String>,
}

/// A handle to alerting. Cheap to clone.
#[derive(Clone)]
pub struct Office {
    pub(super) ground: Ground,
    /// Who knows of alerts and incidents.
    pub desk: Desk,
    /// The rules in force.
    pub rules: Rules,
    /// Counters.
    pub(super) metrics: Arc<AlertingMetrics>,
    /// Who takes what agents find.
    pub outposts: Outposts,
    /// Who carries notifications.
    pub providers: Arc<Providers>,
    applied: Arc<Mutex<Applied>>,
}

impl std::fmt::Debug for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Office").finish_non_exhaustive()
    }
}

/// Reads what is to be in force, on a thread that may block.
async fn read(
    config: Arc<Config>,
    documents: Vec<Document>,
) -> Result<(Book, Senders), OfficeError> {
    let work = move || -> Result<(Book, Senders), OfficeError> {
        let mut notify = config.notify.clone();
        notify
            .external_labels
            .clone_from(&config.alerting.external_labels);
        let senders = Senders::open(notify)?;
        let mut book = Book::read(&config, &documents)?;
        book.missing.extend(senders.missing(&book.routes.policy));
        if let Some(target) = &book.heartbeat {
            book.missing.extend(senders.can(target).err());
        }
        Ok((book, senders))
    };
    let read = daemon::blocking::spawn(work).await;
    read.unwrap_or(Err(OfficeError::Panicked))
}

/// The same, without documents where these cannot be used any more.
async fn read_or_without(
    config: Arc<Config>,
    documents: &mut Vec<Document>,
) -> Result<(Book, Senders), OfficeError> {
    match read(Arc::clone(&config), documents.clone()).await {
        Err(OfficeError::Book(BookError::Documents(problems))) => {
            for problem in problems {
                let problem = problem.to_string();
                tracing::error!(problem, "the applied specification is not in force");
            }
            documents.clear();
            read(config, Vec::new()).await
        }
        read => read,
    }
}

fn warn(book: &Book) {
    for missing in &book.missing {
        tracing::warn!(
            missing,
            "the configuration lacks what the specification needs"
        );
    }
}

/// The specification that an earlier life has applied.
fn applied(store: &Store) -> Result<Applied, store::Error> {
    let Some(row) = store.get_state(SPACE, DOCUMENTS)? else {
        return Ok(Applied::default());
    };
    let read = serde_json::from_slice(&row);
    Ok(read.unwrap_or_else(|error| {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "the applied specification cannot be read");
        Applied::default()
    }))
}

impl Office {
    /// Takes up alerting where an earlier life left it.
    ///
    /// # Errors
    /// When the rules or addresses of the configuration cannot be used, or the store cannot be read.
    pub async fn start(ground: Ground) -> Result<Self, OfficeError> {
        let mut applied = applied(&ground.store)?;
        let config = Arc::clone(&ground.config.borrow());
        let (book, senders) = read_or_without(config, &mut applied.documents).await?;
        warn(&book);
        let metrics = Arc::new(AlertingMetrics::new(&ground.registry));
        let policy = book.routes.policy.clone();
        let store = Arc::clone(&ground.store);
        let clock = Arc::clone(&ground.clock);
        let providers = Arc::new(Providers::new(store, clock, Arc::new(senders), policy));
        let carrier: Arc<dyn Carrier> = Arc::<Providers>::clone(&providers);
        let desk = Desk::start(
            Arc::clone(&ground.store),
            book.routes,
            carrier,
            Arc::clone(&metrics),
            Arc::clone(&ground.clock),
            &ground.shutdown,
        )?;
        let recorder = Recorder {
            store: Arc::clone(&ground.store),
            writer: ground.writer.clone(),
        };
        let edge = Edge::open(&ground.store)?;
        let rules = Rules::new(Parts {
            edge: edge.clone(),
            store: Arc::clone(&ground.store),
            recorder: recorder.clone(),
            desk: desk.clone(),
            fleet: ground.fleet.clone(),
            config: ground.config.clone(),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&ground.clock),
            shutdown: ground.shutdown.clone(),
        });
        let counters = (edge, Arc::clone(&metrics));
        let outposts = Outposts::over(counters, &rules, &ground);
        outposts.give(book.edge, &book.files, &ground.config.borrow());
        rules.replace(book.files, &book.settings).await?;
        outposts.begin(&ground.shutdown);
        let office = Self {
            ground: ground.clone(),
            desk,
            rules,
            metrics,
            outposts,
            providers,
            applied: Arc::new(Mutex::new(applied)),
        };
        drop(
            ground
                .shutdown
                .spawn("own-metrics", own::run(ground.clone(), recorder)),
        );
        drop(
            ground
                .shutdown
                .spawn("heartbeat", heartbeat::run(office.clone())),
        );
        let follow = office.clone().follow();
        drop(ground.shutdown.spawn("alerting-config", follow));
        Ok(office)
    }

    /// Takes a new configuration into use until the drain. One that cannot be used changes nothing.
    async fn follow(self) {
        let mut config = self.ground.config.clone();
        loop {
            tokio::select! {
                changed = config.changed() => if changed.is_err() { return },
                () = self.ground.shutdown.draining() => return,
            }
            drop(config.borrow_and_update());
            let applied = self.applied.lock().await;
            if let Err(error) = self.use_documents(&applied.documents, true).await {
                let error = chain(&error);
                tracing::error!(error, "alerting goes on as before");
            }
        }
    }

    /// Puts documents to work.
    async fn use_documents(
        &self,
        documents: &[Document],
        lacking: bool,
    ) -> Result<Outcome, OfficeError> {
        let config = Arc::clone(&self.ground.config.borrow());
        let (book, senders) = read(Arc::clone(&config), documents.to_vec()).await?;
        let outcome = outcome(&book);
        if !lacking && !outcome.missing.is_empty() {
            return Err(OfficeError::Missing(outcome.missing));
        }
        let policy = book.routes.policy.clone();
        self.providers.change(Arc::new(senders), policy);
        self.outposts.give(book.edge, &book.files, &config);
        self.desk.reroute(book.routes).await?;
        self.rules.replace(book.files, &book.settings).await?;
        Ok(outcome)
    }

    /// Applies documents in the place of those before; with `dry_run` says only what would come of it.
    ///
    /// # Errors
    /// When they cannot be used, or the configuration lacks something that they need and `lacking` does
    /// not allow that.
    pub(super) async fn apply(
        &self,
        documents: Vec<Document>,
        by: &str,
        dry_run: bool,
        lacking: bool,
    ) -> Result<Outcome, OfficeError> {
        if dry_run {
            let config = Arc::clone(&self.ground.config.borrow());
            let (book, _) = read(config, documents).await?;
            return Ok(outcome(&book));
        }
        let mut applied = self.applied.lock().await;
        let outcome = self.use_documents(&documents, lacking).await?;
        let new = Applied {
            documents,
            at_millis: self.ground.clock.wall_millis(),
            by: by.to_owned(),
        };
        // Our own type has only texts as keys.
        let row = serde_json::to_vec(&new).unwrap_or_default();
        let store = Arc::clone(&self.ground.store);
        let write = move || store.change_state(SPACE, [(DOCUMENTS.to_vec(), Some(row))]);
        let written = daemon::blocking::spawn(write).await;
        written.map_err(|_panicked| OfficeError::Panicked)??;
        *applied = new;
        Ok(outcome)
    }

    /// What was applied.
    pub(super) async fn applied(&self) -> Applied {
        self.applied.lock().await.clone()
    }

    /// The configuration as it is now.
    pub(super) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.ground.config.borrow())
    }

    /// Counts alerts of other programs that were no alerts.
    pub(crate) fn count_invalid(&self, alerts: usize) {
        self.metrics.invalid.add(alerts as u64);
    }

    /// The nodes.
    pub(super) fn fleet(&self) -> &Fleet {
        &self.ground.fleet
    }

    /// What is kept.
    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.ground.store)
    }
}

fn outcome(book: &Book) -> Outcome {
    let not_built = book.plan.not_built();
    let not_built: Vec<String> = not_built
        .map(|account| match &account.effect {
            spec::Effect::NotBuilt(why) => format!("{}: {why}", account.path),
            spec::Effect::InForce(_) => account.path.clone(),
        })
        .collect();
    Outcome {
        in_force: book.plan.accounts.len() - not_built.len(),
        not_built,
        rules: book.plan.rules.len(),
        missing: book.missing.clone(),
    }
}
