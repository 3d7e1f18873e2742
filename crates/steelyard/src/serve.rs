//! `serve`: puts the parts together, in the order in which they depend on each other, and takes them apart again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use steelyard_billing::Catalog;
use steelyard_core::Clock;
use steelyard_core::port::Ledger;
use steelyard_gateway::spec::Secrets;
use steelyard_gateway::{Gateway, Tasks, Tracing, install_tls_provider};
use steelyard_server::control::{Books, Control, Declared};
use steelyard_server::listen::{self, ConnectionLimits, Transport};
use steelyard_server::tls::{self, Certificates, SelfSigned};
use steelyard_server::{App, Busy, Drain, Limits, SigningKeys, install_recorder};
use steelyard_store::{DataDir, Db, Secret, Settler, Spool, SpoolOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::serve::ServeArgs;
use crate::config::{Config, Durability, Loaded, ResponsesConfig, Severity, Sources, TlsConfig, Watch};
use crate::telemetry::otlp::Exporting;

/// What a server is started from.
pub struct ServeOptions {
    /// The configuration.
    pub loaded: Loaded,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Address and port; port 0 takes a free one.
    pub listen: String,
    /// Where to read the configuration again from when its file changes; none: it is not watched.
    pub watch: Option<Sources>,
}

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where it listens for TLS, if it does.
    pub tls: Option<Secured>,
    /// The admin key.
    pub admin_key: String,
    /// Where the admin key came from.
    pub admin_key_from: AdminKeyFrom,
    app: Arc<App>,
    db: Db,
    settler: Option<Settler>,
    dir: DataDir,
    stop: watch::Sender<bool>,
    listening: Vec<JoinHandle<Option<()>>>,
    background: Tasks,
    exporting: Option<Exporting>,
    drain_timeout: Duration,
}

/// A listener that speaks TLS.
pub struct Secured {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The certificate that clients must be told to trust, where nobody else vouches for it.
    pub to_be_trusted: Option<PathBuf>,
}

/// Where an admin key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminKeyFrom {
    /// Made at this start, and kept in `admin.key` in the data directory.
    Made,
    /// From that file, where an earlier start left it.
    File,
    /// `STEELYARD_ADMIN_KEY`.
    Environment,
}

/// How long the ledger may take to come level with the spool at the end. What is left is moved at the next start.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
/// How long open connections may take to close once no call is in flight.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Starts a server with its ledger on disk.
pub async fn start(options: ServeOptions) -> anyhow::Result<Running> {
    start_with(options, None).await
}

/// The same, with another ledger behind the gateway: how the benchmark learns what durability costs.
pub async fn start_with(options: ServeOptions, ledger: Option<Arc<dyn Ledger>>) -> anyhow::Result<Running> {
    install_tls_provider();
    survive_file_limits()?;
    let ServeOptions { loaded, data_dir, listen, watch: sources } = options;
    let Config { server, ledger: ledger_config, .. } = &loaded.config;
    let durability = match ledger_config.durability {
        Durability::Process => steelyard_store::Durability::Process,
        Durability::Power => steelyard_store::Durability::Power,
    };
    let clock = Clock::System;
    let dir = DataDir::open(&data_dir)?;
    warn_of_exposed_keys(&dir);
    let db = match &loaded.config.store.url {
        None => Db::open(&dir, durability, clock.clone()).await?,
        Some(url) => {
            let url = url
                .resolve(&Secrets::default())
                .context("store.url: the URL of the database is not there")?;
            Db::connect(&dir, &url, loaded.config.store.max_connections, clock.clone()).await?
        }
    };
    let (admin, admin_key_from) = admin_key(&dir)?;

    let (ledger, books, settler): (Arc<dyn Ledger>, _, _) = if let Some(ledger) = ledger {
        (ledger, None, None)
    } else {
        let spool = open_spool(&dir, SpoolOptions { durability, capacity: ledger_config.capacity }, &clock)?;
        let settler = Settler::start(&db, &spool)?;
        let ledger = Arc::new(spool.clone());
        (ledger, Some(Books { spool, settler: settler.watch() }), Some(settler))
    };

    let catalog = Arc::new(Catalog::builtin()?);
    let recorder = install_recorder();
    let declared = declared(&loaded.config);
    let snapshot = Control::first_snapshot(&db, &admin, &declared, &catalog).await?;
    let exporting = Exporting::start(&loaded.config.telemetry)?;
    let tracing = exporting.as_ref().map_or_else(Tracing::off, Exporting::tracing);
    let gateway = Gateway::new(snapshot, ledger, clock, tracing);
    let control = Control::new(db.clone(), books, Arc::clone(&gateway), &admin, declared, catalog).await?;
    let app = Arc::new(App {
        gateway,
        control,
        limits: Limits {
            max_body: usize::try_from(server.max_body.0).unwrap_or(usize::MAX),
            body_wait: server.body_timeout.0,
        },
        retention: retention(&loaded.config.responses),
        busy: Busy::default(),
        drain: Drain::default(),
        signing_keys: SigningKeys::default(),
        recorder,
    });

    let certificates = match &server.tls {
        Some(tls) => Some((tls, certificates(tls, &dir, app.gateway.clock())?)),
        None => None,
    };
    let listener = bind(&listen).await?;
    let addr = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let limits = ConnectionLimits { head: server.header_timeout.0, closing: CLOSE_LIMIT };
    let (listeners, background) = (Tasks::default(), Tasks::default());
    let serve = |listener, transport| {
        let router = Arc::clone(&app).router();
        listeners.spawn(listen::serve(listener, transport, router, limits, stopped.clone()))
    };
    let mut listening = vec![];
    let mut secured = None;
    if let Some((tls, certificates)) = certificates {
        let listener = bind(&tls.listen).await?;
        secured = Some(Secured { addr: listener.local_addr()?, to_be_trusted: certificates.to_be_trusted() });
        listening.push(serve(listener, Transport::Tls(certificates.acceptor())));
        background.spawn(certificates.follow());
    }
    listening.push(serve(listener, Transport::Plain));
    background.spawn(reconcile(Arc::clone(&app)));
    if let Some(sources) = sources {
        background.spawn(follow_config(Arc::clone(&app), sources, loaded.clone()));
    }
    let drain_timeout = server.drain_timeout.0;
    // The last to be written is the one that scripts wait for.
    if let Some(secured) = &secured {
        write_address(&dir, TLS_LISTEN_FILE, secured.addr)?;
        tracing::info!(server.address = %secured.addr, "listening for TLS");
    }
    write_address(&dir, LISTEN_FILE, addr)?;
    tracing::info!(server.address = %addr, data_dir = %dir.path().display(), "listening");
    Ok(Running {
        addr,
        tls: secured,
        admin_key: admin.expose().to_owned(),
        admin_key_from,
        app,
        db,
        settler,
        dir,
        stop,
        listening,
        background,
        exporting,
        drain_timeout,
    })
}

/// A write beyond a limit on the size of files (`ulimit -f`, `LimitFSIZE`) is to fail as on a full disk. Left alone, the
/// signal that comes with it ends the process; the handler stays when the stream of signals is dropped.
fn survive_file_limits() -> std::io::Result<()> {
    let signal = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    tokio::signal::unix::signal(signal).map(drop)
}

async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    listen::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: is the port free, and the address one of this machine?")
    })
}

/// What the TLS listener shows.
fn certificates(tls: &TlsConfig, dir: &DataDir, clock: &Clock) -> anyhow::Result<Certificates> {
    let source = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => tls::Source::Files { cert: cert.clone(), key: key.clone() },
        _ => tls::Source::SelfSigned(SelfSigned::new(dir.clone(), &tls.names, clock.clone())),
    };
    Certificates::open(source).context("the TLS listener cannot be started")
}

/// Opens the spool, and says what the last process left in it.
fn open_spool(dir: &DataDir, options: SpoolOptions, clock: &Clock) -> anyhow::Result<Spool> {
    let (spool, recovered) = Spool::open(dir, options, clock.clone())?;
    if recovered.orphans > 0 {
        tracing::warn!(
            calls = recovered.orphans,
            "calls were in flight when the last process died: each is in the ledger as unsettled, at its hold"
        );
    }
    if recovered.quarantined > 0 {
        tracing::error!(
            records = recovered.quarantined,
            "records of the spool cannot be read; they are kept in its table `quarantine`"
        );
    }
    Ok(spool)
}

/// Where the bound address is written once calls are taken, for whoever started the server on port 0.
const LISTEN_FILE: &str = "listen.addr";
/// The same of the TLS listener.
const TLS_LISTEN_FILE: &str = "listen-tls.addr";

fn write_address(dir: &DataDir, file: &str, addr: SocketAddr) -> anyhow::Result<()> {
    std::fs::write(dir.path().join(file), format!("{addr}\n"))
        .with_context(|| format!("cannot write {file} into {}", dir.path().display()))
}

impl Running {
    /// Refuses new calls, lets those in flight end (up to `server.drain_timeout`), brings the ledger level with the
    /// spool, and closes. What is still in flight after that is cut and settled by what had passed.
    pub async fn stop(self) {
        self.app.drain.begin();
        let in_flight = self.app.gateway.tasks().running();
        tracing::info!(calls = in_flight, "shutting down: new calls are refused, those in flight end");
        let over = async {
            self.app.drain.answered().await;
            self.app.gateway.tasks().finished().await;
        };
        if tokio::time::timeout(self.drain_timeout, over).await.is_err() {
            let cut = self.app.gateway.tasks().running();
            let requests = self.app.drain.unanswered();
            tracing::warn!(calls = cut, requests, limit = ?self.drain_timeout, "some calls did not end in time and are cut");
            self.app.gateway.tasks().cut();
        }
        self.background.cut();
        self.stop.send_replace(true);
        for listening in self.listening {
            if let Err(error) = listening.await {
                tracing::error!(error = %error, "the listener failed");
            }
        }
        if let Some(settler) = self.settler {
            let left = settler.close(SETTLE_LIMIT).await;
            tracing::debug!(?left, "the ledger is closed");
        }
        self.db.close().await;
        if let Some(exporting) = self.exporting {
            exporting.stop().await;
        }
        for file in [LISTEN_FILE, TLS_LISTEN_FILE] {
            let _ = std::fs::remove_file(self.dir.path().join(file));
        }
        tracing::info!("stopped");
    }
}

fn warn_of_exposed_keys(dir: &DataDir) {
    for (path, mode) in dir.exposed_keys() {
        let path = path.display();
        tracing::warn!(
            "{path} has mode {mode:04o}, so others than its owner may have the key in it: `chmod 600 {path}`"
        );
    }
}

/// From `STEELYARD_ADMIN_KEY`, else from the data directory, where it is made at the first start.
fn admin_key(dir: &DataDir) -> anyhow::Result<(Secret, AdminKeyFrom)> {
    if let Some(given) = std::env::var("STEELYARD_ADMIN_KEY").ok().filter(|key| !key.trim().is_empty()) {
        let given = given.trim();
        anyhow::ensure!(
            given.len() >= 16,
            "STEELYARD_ADMIN_KEY is shorter than 16 characters: use a long random one"
        );
        return Ok((Secret::from(given.to_owned()), AdminKeyFrom::Environment));
    }
    let key = dir.admin_key()?;
    Ok((key.secret, if key.created { AdminKeyFrom::Made } else { AdminKeyFrom::File }))
}

/// How long answers are kept; zero: they are not.
fn retention(config: &ResponsesConfig) -> Duration {
    if config.store { config.retention.0 } else { Duration::ZERO }
}

fn declared(config: &Config) -> Declared {
    Declared {
        channels: config.channels.clone(),
        routes: config.routes.clone(),
        prices: config.prices.clone(),
    }
}

fn log_warnings(loaded: &Loaded) {
    for problem in &loaded.warnings {
        let line = problem.place.as_ref().map(|place| place.line);
        let help = problem.help.as_deref();
        match problem.severity {
            Severity::Note => tracing::info!(config.line = line, config.help = help, "{}", problem.message),
            Severity::Error | Severity::Warning => {
                tracing::warn!(config.line = line, config.help = help, "{}", problem.message);
            }
        }
    }
}

/// Repeats what a failing database left undone.
async fn reconcile(app: Arc<App>) {
    let mut turn = tokio::time::interval(Duration::from_secs(1));
    // Often enough that nothing is kept for much longer than it is said to be.
    let pause = (app.retention / 10).clamp(Duration::from_secs(1), Duration::from_mins(1));
    let mut swept = None::<Instant>;
    loop {
        turn.tick().await;
        app.control.reconcile().await;
        if swept.is_none_or(|swept| swept.elapsed() >= pause) {
            app.control.sweep().await;
            swept = Some(Instant::now());
        }
        app.recorder.run_upkeep();
    }
}

/// Puts every edit of the configuration into force that is valid as a whole; others are named and change nothing.
async fn follow_config(app: Arc<App>, sources: Sources, started: Loaded) {
    let mut watch = Watch::new(sources, &started);
    loop {
        match watch.changed().await {
            Err(error) => {
                for line in error.lines() {
                    tracing::error!("the configuration has an error, the old one stays in force: {line}");
                }
            }
            Ok(loaded) => {
                log_warnings(&loaded);
                let waiting = loaded.awaiting_restart(&started);
                if !waiting.is_empty() {
                    tracing::warn!(
                        "edited, but read at the start only, so not in force before a restart: {}",
                        waiting.join(", ")
                    );
                }
                match app.control.apply(declared(&loaded.config)).await {
                    Ok(()) => tracing::info!("the edited configuration is in force"),
                    Err(error) => {
                        tracing::error!(error = %anyhow::Error::new(error).root_cause(), "the configuration has an error: the old one stays in force");
                    }
                }
            }
        }
    }
}

/// `steelyard serve`: runs until SIGTERM or Ctrl-C.
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    run_with(args, None).await
}

/// The same, with another ledger behind the gateway.
pub async fn run_with(args: ServeArgs, ledger: Option<Arc<dyn Ledger>>) -> anyhow::Result<()> {
    let loaded = args.load()?;
    crate::telemetry::init(&loaded.config.server.log, loaded.config.server.log_format)?;
    log_warnings(&loaded);
    let data_dir = args.data_dir(&loaded)?;
    let listen = loaded.config.server.listen.clone();
    let options = ServeOptions { loaded, data_dir: data_dir.clone(), listen, watch: Some(args.sources()) };
    // Signals count from here on, so that one that comes while the parts start is not lost.
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    let running = start_with(options, ledger).await?;
    welcome(&running, &data_dir)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    running.stop().await;
    Ok(())
}

/// What to try next, with the key filled in where it was just made; later it is only named.
fn welcome(running: &Running, data_dir: &std::path::Path) -> anyhow::Result<()> {
    let base = format!("http://{}", running.addr);
    let key_file = data_dir.join("admin.key");
    crate::cli::output::print(format_args!("Steelyard is listening at {base}"))?;
    if let Some(tls) = &running.tls {
        crate::cli::output::print(format_args!("and at https://{}", tls.addr))?;
        if let Some(path) = &tls.to_be_trusted {
            let path = path.display();
            crate::cli::output::print(format_args!(
                "whose certificate clients must be told to trust: {path}"
            ))?;
        }
    }
    match running.admin_key_from {
        AdminKeyFrom::Made => {
            crate::cli::output::print(format_args!(
                "Its admin key, shown this once and kept in {}:\n\n  {}\n",
                key_file.display(),
                running.admin_key
            ))?;
            crate::cli::output::print(crate::cli::demo::next_steps(&base, &running.admin_key))
        }
        AdminKeyFrom::File => {
            crate::cli::output::print(format_args!("Its admin key is kept in {}.", key_file.display()))
        }
        AdminKeyFrom::Environment => {
            crate::cli::output::print("Its admin key is that of STEELYARD_ADMIN_KEY.")
        }
    }
}
