//! A daemon's life: open, serve, end.

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use docker_api::brig::{Identity, ShutdownRequest};
use engine::Engine;
use stdx::fs::{Durability, write_atomic};
use storage::StartLock;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{self, Config};
use crate::listen::{self, Addresses, Listener};
use crate::log::LogLevel;
use crate::ready::Announcer;
use crate::server::{LastSockets, Server};
use crate::{Error, Result, Roots, log, open, process};

/// How long running calls may take after the daemon was told to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a daemon runs: its command line and what is taken from the environment.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it keeps its things.
    pub roots: Roots,
    /// The configuration file, if one is named.
    pub config: Option<PathBuf>,
    /// Also serve `/var/run/docker.sock`.
    pub docker_socket: bool,
    /// Further addresses, `unix://…` or `tcp://…` (loopback only).
    pub listen: Vec<String>,
    /// The least that is logged; the configuration file may ask for more.
    pub log_level: LogLevel,
    /// Started by a command ([`crate::start_on_demand`]): logs to a file and says on standard
    /// output when it serves. `main` then calls [`crate::detach`] before it forks the launcher.
    pub on_demand: bool,
    /// Started again by the launcher after a crash.
    pub again: bool,
    /// How another launcher is started when ours has died.
    pub relaunch: Option<monitor::launcher::Restart>,
    /// `NOTIFY_SOCKET`, when systemd waits.
    pub notify_socket: Option<OsString>,
    /// Proxies for registries.
    pub proxy: registry::Proxy,
}

impl Options {
    /// A daemon in the foreground with nothing special.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            config: None,
            docker_socket: false,
            listen: Vec::new(),
            log_level: LogLevel::default(),
            on_demand: false,
            again: false,
            relaunch: None,
            notify_socket: None,
            proxy: registry::Proxy::default(),
        }
    }
}

/// Serves until it is told to end (SIGTERM, SIGINT, `/brig/v1/system/shutdown`). The launcher must
/// have been forked before any thread existed; it is told when the daemon ends on purpose, also
/// when it does not start.
///
/// # Errors
/// When the configuration is wrong, the root is held by another daemon or cannot be opened, or an
/// address cannot be listened on.
pub fn run(options: &Options, launcher: monitor::client::Launcher) -> Result<()> {
    let announcer =
        Announcer { on_demand: options.on_demand, notify_socket: options.notify_socket.clone() };
    let starting = match turn(options) {
        Ok(Turn::Ours(starting)) => starting,
        Ok(Turn::SomebodyElse) => {
            open::dismiss(&launcher);
            return Ok(());
        }
        Err(error) => {
            open::dismiss(&launcher);
            announcer.failed(&stdx::chain(&error));
            return Err(error);
        }
    };
    let result = match prepare(options) {
        Ok((config, runtime)) => {
            let life = live(options, config, launcher, Start { announcer: &announcer, starting });
            runtime.block_on(life)
        }
        Err(error) => {
            // It would start us again, only to find the same.
            open::dismiss(&launcher);
            Err(error)
        }
    };
    match result {
        Ok(sockets) => {
            // Those who asked for the end see it when the kernel has closed everything else.
            std::mem::forget(sockets);
            Ok(())
        }
        Err(error) => {
            let reason = stdx::chain(&error);
            tracing::error!("{reason}");
            announcer.failed(&reason);
            Err(error)
        }
    }
}

/// Who starts.
enum Turn {
    /// We do; others wait until the lock is dropped.
    Ours(Option<StartLock>),
    /// Another daemon serves already.
    SomebodyElse,
}

/// Waits for our turn: a command and the launcher may want to start a daemon at the same time. A
/// daemon that a command starts has its turn from that command, which holds the lock.
fn turn(options: &Options) -> Result<Turn> {
    if options.on_demand && !options.again {
        return Ok(Turn::Ours(None));
    }
    let layout = options.roots.layout();
    let failed = |error| {
        Error::io("lock", options.roots.run.join("start.lock").display().to_string(), error)
    };
    if !options.again {
        return Ok(Turn::Ours(Some(layout.start_lock().map_err(failed)?)));
    }
    // Our launcher lives in the group of its monitors, which must not keep us too.
    process::leave_cgroups();
    // Whoever starts needs what our launcher keeps (the name service's port): no waiting here.
    let lock = layout.try_start_lock().map_err(failed)?;
    let serves = || UnixStream::connect(options.roots.socket()).is_ok();
    Ok(lock.filter(|_| !serves()).map_or(Turn::SomebodyElse, |lock| Turn::Ours(Some(lock))))
}

/// A start, from the beginning to the word that it is done.
struct Start<'a> {
    announcer: &'a Announcer,
    starting: Option<StartLock>,
}

/// Everything before the first thread.
fn prepare(options: &Options) -> Result<(Config, Runtime)> {
    let roots = &options.roots;
    if options.on_demand {
        let made = fs::create_dir_all(&roots.data);
        made.map_err(|error| Error::io("make", roots.data.display().to_string(), error))?;
    }
    let file = options.on_demand.then(|| roots.log());
    let config = config::load(options.config.as_deref());
    let configured = config.as_ref().is_ok_and(|config| config.daemon.debug);
    let level = if configured { LogLevel::Debug } else { options.log_level };
    log::start(file.as_deref(), level)
        .map_err(|error| Error::io("open", roots.log().display().to_string(), error))?;
    let mut config = config?;
    config.registries.proxy = options.proxy.clone();
    addresses(options, &config).check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start", "the asynchronous runtime", error))?;
    Ok((config, runtime))
}

fn addresses(options: &Options, config: &Config) -> Addresses {
    Addresses {
        socket: options.roots.socket(),
        docker_socket: options.docker_socket || config.daemon.docker_socket,
        more: options.listen.iter().chain(&config.daemon.listen).cloned().collect(),
        group: config.daemon.group.clone(),
    }
}

/// What ends a daemon.
struct Endings {
    terminate: Signal,
    interrupt: Signal,
    requests: mpsc::Receiver<ShutdownRequest>,
}

impl Endings {
    fn new(requests: mpsc::Receiver<ShutdownRequest>) -> Result<Self> {
        let watch = |kind| signal(kind).map_err(|error| Error::io("watch for", "signals", error));
        Ok(Self {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
            requests,
        })
    }

    /// Waits for the first.
    async fn first(&mut self) -> ShutdownRequest {
        tokio::select! {
            _ = self.terminate.recv() => ShutdownRequest::default(),
            _ = self.interrupt.recv() => ShutdownRequest::default(),
            Some(request) = self.requests.recv() => request,
        }
    }
}

async fn live(
    options: &Options,
    config: Config,
    launcher: monitor::client::Launcher,
    start: Start<'_>,
) -> Result<LastSockets> {
    let Start { announcer, starting } = start;
    let (shutdown, requests) = mpsc::channel(1);
    let mut endings = Endings::new(requests)?;
    let addresses = addresses(options, &config);
    let launchers = open::Launchers { now: launcher, another: options.relaunch.clone() };
    let engine = open::engine(&options.roots, config.registries, launchers).await?;
    let server = Arc::new(Server {
        identity: identity(options, &engine).await?,
        engine: Arc::clone(&engine),
        tasks: TaskTracker::new(),
        closing: CancellationToken::new(),
        shutdown,
        last_sockets: LastSockets::default(),
    });
    let listeners = match addresses.bind() {
        Ok(listeners) => listeners,
        Err(error) => {
            engine.shutdown().await;
            return Err(error);
        }
    };
    let instance = server.identity.instance.clone();
    let id_file = options.roots.process_id_file();
    let process_id = format!("{}\n", std::process::id());
    write_atomic(&id_file, process_id.as_bytes(), Durability::Volatile)
        .map_err(|error| Error::io("write", id_file.display().to_string(), error))?;

    let connections = serve(&server, listeners);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), instance, "ready");
    drop(starting);
    announcer.ready();
    let request = endings.first().await;
    tracing::info!(stop_containers = request.all, "ending");
    announcer.stopping();
    end(&server, &connections, request.all).await;
    drop(fs::remove_file(&id_file));
    Ok(server.last_sockets.clone())
}

/// Ends what runs, from the outside to the inside. Containers that stop too do so first: whoever
/// waits for one, or is attached to it, sees its end.
async fn end(server: &Server, connections: &TaskTracker, stop_containers: bool) {
    if stop_containers {
        server.engine.stop_containers().await;
    }
    server.closing.cancel();
    connections.close();
    server.tasks.close();
    // Pulls are given up: the next one goes on from there.
    let images = server.engine.images().shutdown();
    let calls = async { tokio::join!(connections.wait(), server.tasks.wait(), images) };
    if tokio::time::timeout(PATIENCE, calls).await.is_err() {
        tracing::warn!("calls that are still running are given up");
    }
    server.engine.shutdown().await;
}

async fn identity(options: &Options, engine: &Engine) -> Result<Identity> {
    let facts = engine.system().facts().await.map_err(Error::Engine)?;
    Ok(Identity {
        instance: facts.instance,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        data: options.roots.data.display().to_string(),
        run: options.roots.run.display().to_string(),
    })
}

/// One task for each listener, one for each connection.
fn serve(server: &Arc<Server>, listeners: Vec<Listener>) -> TaskTracker {
    let connections = TaskTracker::new();
    for listener in listeners {
        let closing = server.closing.clone();
        let accepting = listen::accept(listener, Arc::clone(server), connections.clone(), closing);
        drop(connections.spawn(accepting));
    }
    connections
}
