//! All of it together, from start to drain.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use store::Store;
use store::engine::rocks::{Rocks, RocksConfig};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::server::NamedService as _;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use wire::health::health_server::HealthServer;
use wire::proto::admin_service_server::AdminServiceServer;
use wire::proto::alert_service_server::AlertServiceServer;
use wire::proto::duty_service_server::DutyServiceServer;
use wire::proto::fleet_service_server::FleetServiceServer;
use wire::proto::ingest_service_server::IngestServiceServer;
use wire::proto::join_service_server::JoinServiceServer;
use wire::proto::join_token_service_server::JoinTokenServiceServer;
use wire::proto::query_service_server::QueryServiceServer;

use crate::access::{Access, Audit, FileError, Guard, Need};
use crate::admin::AdminApi;
use crate::alerting::{AlertApi, DutyApi, Ground, Office, OfficeError};
use crate::config::Config;
use crate::events::Events;
use crate::families::Families;
use crate::fleet::{Fleet, FleetApi};
use crate::health::Health;
use crate::http::{self, Http, RemoteWrite};
use crate::ingest::{DECODED_SAMPLES_MAX, Ingest};
use crate::join::{self, Authority, AuthorityError, Join, JoinTokens};
use crate::metrics::Metrics;
use crate::net::{self, Alpn, Connection, Tls, TlsError};
use crate::query::{QueryApi, Questions};
use crate::upkeep::Upkeep;
use crate::writer::Writer;

/// How long a peer may be silent before it is asked whether it is there.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
/// How long it may take to answer that.
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);
/// How long a call may take to begin its answer, whatever it asks; streams answer at once. Questions
/// have a shorter deadline of their own (`query.timeout`).
const ANSWER_WITHIN: Duration = Duration::from_secs(600);
/// Calls of one connection that are worked on; more are refused.
const CALLS_PER_CONNECTION_MAX: usize = 64;
/// What may be under way on one stream before it is read. The connection has room for more, or else
/// a bulk stream that is not read would hold back the urgent one beside it.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION_MAX: u32 = 64;

/// Largest message of who asks for a certificate: anyone may send one.
const JOIN_BYTES_MAX: usize = 16 << 10;

/// Why the coordinator did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error("making the data folder {}", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The database cannot be opened.
    #[error("opening the database in {}; is another coordinator running on it?", path.display())]
    Database {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: store::engine::EngineError,
    },
    /// The store cannot be read.
    #[error("reading the store")]
    Store(#[from] store::Error),
    /// An address cannot be listened on.
    #[error("listening on {address} ({key}); is it in use?")]
    Listen {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It cannot be told who is let in.
    #[error(transparent)]
    Access(#[from] FileError),
    /// Alerting cannot do what the configuration says.
    #[error("starting alerting")]
    Alerting(#[from] OfficeError),
    /// The authority for agents cannot be used.
    #[error("the authority that signs certificates of agents")]
    Authority(#[from] AuthorityError),
    /// The reflection service refused our own contract.
    #[error("building the reflection service")]
    Reflection(#[from] tonic_reflection::server::Error),
}

impl Error {
    /// Whether starting again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::DataDir { .. }
            | Self::Reflection(_)
            | Self::Tls(_)
            | Self::Access(_)
            | Self::Authority(_) => false,
            Self::Database { .. } | Self::Listen { .. } => true,
            Self::Store(source) => source.is_retryable(),
            Self::Alerting(source) => source.is_retryable(),
        }
    }
}

/// A coordinator that is up.
#[derive(Debug)]
pub struct Running {
    /// Where gRPC listens.
    pub grpc: SocketAddr,
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Takes a new configuration for what can change while running.
    pub config: watch::Sender<Arc<Config>>,
    /// Its counters.
    pub metrics: Arc<Metrics>,
    /// Its store.
    pub store: Arc<Store>,
}

/// Opens the store, binds both ports and starts all tasks under `shutdown`.
///
/// # Errors
/// When the database cannot be opened or a port cannot be bound.
#[expect(
    clippy::too_many_lines,
    reason = "a list of the parts and what each is given"
)]
pub async fn start(
    config: Config,
    clock: SharedClock,
    shutdown: &Shutdown,
) -> Result<Running, Error> {
    let grpc = bind("grpc_listen", config.grpc_listen).await?;
    let http = bind("http_listen", config.http_listen).await?;
    let store = open_store(&config)?;
    let metrics = Metrics::new();
    metrics.watch_store(&store);
    let tls = start_tls(&config, shutdown)?;
    let authority = config.authority_files();
    let authority = authority.map(|files| Authority::read(&files, clock.wall_millis() / 1000));
    let access = start_access(&config, &store, &metrics, &clock, shutdown)?;
    let per_host_max = config.access.connections_per_host_max;
    let (sender, receiver) = watch::channel(Arc::new(config));
    let reloads = access
        .clone()
        .record_reloads(receiver.clone(), shutdown.clone());
    drop(shutdown.spawn("audit-reloads", reloads));
    let events = Events::new(Arc::clone(&store));
    let families = Families::open(Arc::clone(&store))?;
    let fleet = Fleet::open(Arc::clone(&store), events.clone(), Arc::clone(&clock))?;
    metrics.watch_fleet(&fleet);
    let full = Arc::new(Notify::new());
    let writer = Writer::start(
        Arc::clone(&store),
        Arc::clone(&metrics),
        Arc::clone(&clock),
        shutdown,
        receiver.clone(),
        Arc::clone(&full),
    );
    let join = Join::open(join::Parts {
        authority: authority.transpose()?,
        access: access.clone(),
        fleet: fleet.clone(),
        store: Arc::clone(&store),
        config: receiver.clone(),
        metrics: Arc::clone(&metrics),
        clock: Arc::clone(&clock),
    })?;
    let questions = Questions::new(
        Arc::clone(&store),
        receiver.clone(),
        Arc::clone(&metrics),
        Arc::clone(&clock),
    );
    let office = Office::start(Ground {
        store: Arc::clone(&store),
        writer: writer.clone(),
        fleet: fleet.clone(),
        config: receiver.clone(),
        registry: metrics.registry.clone(),
        clock: Arc::clone(&clock),
        shutdown: shutdown.clone(),
    })
    .await?;
    let ingest = Ingest {
        access: access.clone(),
        store: Arc::clone(&store),
        writer: writer.clone(),
        fleet: fleet.clone(),
        events: events.clone(),
        families: families.clone(),
        config: receiver.clone(),
        metrics: Arc::clone(&metrics),
        clock: Arc::clone(&clock),
        shutdown: shutdown.clone(),
        outposts: Some(office.outposts.clone()),
        decoded: Arc::new(Semaphore::new(DECODED_SAMPLES_MAX)),
    };
    let duty = DutyApi {
        office: office.clone(),
        access: access.clone(),
        clock: Arc::clone(&clock),
    };
    let pages = Http {
        access: access.clone(),
        office: office.clone(),
        store: Arc::clone(&store),
        metrics: Arc::clone(&metrics),
        shutdown: shutdown.clone(),
        questions: questions.clone(),
        fleet: FleetApi(fleet.clone()),
        config: receiver.clone(),
        clock: Arc::clone(&clock),
        families,
        write: RemoteWrite::new(writer),
    };
    let upkeep = Upkeep {
        store: Arc::clone(&store),
        fleet: fleet.clone(),
        events,
        config: receiver,
        metrics: Arc::clone(&metrics),
        clock,
        full,
    };
    drop(shutdown.spawn_essential("upkeep", upkeep.run(shutdown.clone())));
    let services = Services {
        ingest,
        fleet: FleetApi(fleet),
        query: QueryApi(questions),
        admin: AdminApi(Arc::clone(&store)),
        alerts: AlertApi { office },
        duty,
        join,
        access,
    };
    let accept = |listener, alpn| {
        let metrics = Arc::clone(&metrics);
        net::accept(listener, tls.clone(), alpn, per_host_max, metrics)
    };
    serve_grpc(accept(grpc.1, Alpn::H2), services, shutdown)?;
    serve_http(accept(http.1, Alpn::Http1), pages, shutdown);
    Ok(Running {
        grpc: grpc.0,
        http: http.0,
        config: sender,
        metrics,
        store,
    })
}

fn open_store(config: &Config) -> Result<Arc<Store>, Error> {
    let data_dir = &config.data_dir;
    std::fs::create_dir_all(data_dir).map_err(|source| Error::DataDir {
        path: data_dir.clone(),
        source,
    })?;
    let path: &Path = &data_dir.join("db");
    let limits = RocksConfig {
        block_cache_bytes: config.store.block_cache.as_usize(),
        write_buffer_bytes: config.store.write_buffer.as_usize(),
    };
    let engine = Rocks::open(path, limits).map_err(|source| Error::Database {
        path: path.to_owned(),
        source,
    })?;
    let (store, recovery) = Store::open(Box::new(engine))?;
    store.set_index_bytes_max(config.store.index_bytes_max());
    store.set_column_cache_bytes(config.store.column_cache.as_u64());
    tracing::info!(
        series = recovery.series,
        batches = recovery.batches,
        samples = recovery.samples,
        upgraded_samples = recovery.upgraded_samples,
        "store opened"
    );
    for damaged in &recovery.damaged {
        tracing::error!(what = damaged, "damaged row left where it is");
    }
    Ok(Arc::new(store))
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<(SocketAddr, TcpListener), Error> {
    let failed = |source| Error::Listen {
        key,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((bound, listener))
}

/// Reads certificates and follows their renewal, if TLS is spoken.
fn start_tls(config: &Config, shutdown: &Shutdown) -> Result<Option<watch::Receiver<Tls>>, Error> {
    let Some(files) = config.tls_files() else {
        return Ok(None);
    };
    let (current, tls) = watch::channel(Tls::read(&files)?);
    let follow = net::follow(files, current, shutdown.clone());
    drop(shutdown.spawn("certificates", follow));
    Ok(Some(tls))
}

/// Reads who is let in, follows changes of it, and begins to write the audit log.
fn start_access(
    config: &Config,
    store: &Arc<Store>,
    metrics: &Arc<Metrics>,
    clock: &SharedClock,
    shutdown: &Shutdown,
) -> Result<Access, Error> {
    let (audit, writing) = Audit::new(Arc::clone(store), Arc::clone(metrics));
    let (metrics, clock) = (Arc::clone(metrics), Arc::clone(clock));
    let (files, rates) = (config.access_files(), config.access_rates());
    let access = Access::open(files, rates, audit, metrics, clock)?;
    // Written for as long as someone can record.
    drop(shutdown.spawn("audit", writing.run()));
    drop(shutdown.spawn("access", access.clone().follow(shutdown.clone())));
    if !access.is_enforced() {
        tracing::info!(
            "no one is asked who they are: neither tls.client_ca nor access.tokens is set"
        );
    }
    Ok(access)
}

/// What gRPC serves.
struct Services {
    ingest: Ingest,
    fleet: FleetApi,
    query: QueryApi,
    admin: AdminApi,
    alerts: AlertApi,
    duty: DutyApi,
    join: Join,
    access: Access,
}

/// A gRPC server with our limits and no services, for any transport.
#[must_use]
pub fn grpc_server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN))
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .concurrency_limit_per_connection(CALLS_PER_CONNECTION_MAX)
        .load_shed(true)
        .timeout(ANSWER_WITHIN)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

fn serve_grpc(
    connections: mpsc::Receiver<Connection>,
    services: Services,
    shutdown: &Shutdown,
) -> Result<(), Error> {
    let health = Health::serving(&[
        IngestServiceServer::<Ingest>::NAME,
        QueryServiceServer::<QueryApi>::NAME,
        FleetServiceServer::<FleetApi>::NAME,
        AdminServiceServer::<AdminApi>::NAME,
        AlertServiceServer::<AlertApi>::NAME,
        DutyServiceServer::<DutyApi>::NAME,
        JoinServiceServer::<Join>::NAME,
        JoinTokenServiceServer::<JoinTokens>::NAME,
    ]);
    let health_service = HealthServer::new(health.clone());
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let max = wire::MESSAGE_BYTES_MAX;
    let access = services.access;
    let guard = |need, service| Guard {
        access: access.clone(),
        need,
        service,
    };
    let reflection = InterceptedService::new(reflection, guard(Need::Read, "reflection"));
    let ingest = IngestServiceServer::new(services.ingest).max_decoding_message_size(max);
    let ingest = InterceptedService::new(ingest, guard(Need::SpeakAsAgent, "ingest"));
    let query = QueryServiceServer::new(services.query).max_decoding_message_size(max);
    let query = InterceptedService::new(query, guard(Need::Read, "query"));
    let fleet = FleetServiceServer::new(services.fleet).max_decoding_message_size(max);
    let fleet = InterceptedService::new(fleet, guard(Need::Read, "fleet"));
    let admin = AdminServiceServer::new(services.admin).max_decoding_message_size(max);
    let admin = InterceptedService::new(admin, guard(Need::Operate, "admin"));
    let alerts = AlertServiceServer::new(services.alerts).max_decoding_message_size(max);
    let alerts = InterceptedService::new(alerts, guard(Need::Read, "alerts"));
    let duty = DutyServiceServer::new(services.duty).max_decoding_message_size(max);
    let duty = InterceptedService::new(duty, guard(Need::Operate, "duty"));
    let tokens = JoinTokenServiceServer::new(JoinTokens(services.join.clone()))
        .max_decoding_message_size(JOIN_BYTES_MAX);
    let tokens = InterceptedService::new(tokens, guard(Need::Administer, "join tokens"));
    // No guard: who joins has nothing to show yet but its token, and renewing judges by itself.
    let join = JoinServiceServer::new(services.join).max_decoding_message_size(JOIN_BYTES_MAX);
    let draining = shutdown.clone();
    let drained = shutdown.clone();
    let serving = async move {
        let server = grpc_server()
            .add_service(health_service)
            .add_service(reflection)
            .add_service(ingest)
            .add_service(query)
            .add_service(fleet)
            .add_service(admin)
            .add_service(alerts)
            .add_service(duty)
            .add_service(tokens)
            .add_service(join);
        let incoming = ReceiverStream::new(connections).map(Ok::<_, io::Error>);
        let served = server.serve_with_incoming_shutdown(incoming, async move {
            draining.draining().await;
            health.stop();
        });
        if let Err(error) = served.await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "serving gRPC failed");
        }
    };
    drop(shutdown.spawn_essential("grpc", async move {
        // A peer that does not close its streams must not hold up the end for ever.
        let hard = drained.hard_token();
        tokio::select! {
            () = serving => {}
            () = hard.cancelled() => {}
        }
    }));
    Ok(())
}

fn serve_http(connections: mpsc::Receiver<Connection>, pages: Http, shutdown: &Shutdown) {
    let draining = shutdown.clone();
    let hard = shutdown.hard_token();
    let metrics = Arc::clone(&pages.metrics);
    drop(shutdown.spawn_essential("http", async move {
        let draining = async move { draining.draining().await };
        tokio::select! {
            () = http::serve(connections, pages.router(), metrics, draining) => {}
            () = hard.cancelled() => {}
        }
    }));
}
