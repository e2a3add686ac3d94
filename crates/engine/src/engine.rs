//! The engine: nothing but its parts, opened and closed together.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use linux::capability;
use monitor::client::Launcher;
use network::{NameService, NameServiceOptions, NetworkRecord, Networks, OpenOptions, PoolLimits};
use policy::seccomp::KernelVersion;
use storage::{Layout, Store, Table};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::containers::{Containers, machine};
use crate::error::{Error, Result};
use crate::event::Events;
use crate::images::Images;
use crate::launchers::Launchers;
use crate::rooms::{self, Rooms};
use crate::system::System;
use crate::volumes::Volumes;

/// Under this key the launcher keeps the name service's sockets over a crash of the daemon.
const NAME_SERVICE: &str = "name-service";
/// The setting that keeps the default network's subnets.
const DEFAULT_NETWORK: &str = "default-network";
/// How long a shutdown waits for tasks that do not end by themselves.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the engine is opened with.
#[derive(Debug)]
pub struct EngineOptions {
    /// Where everything lies: `/var/lib/brig` and `/run/brig` by default.
    pub layout: Layout,
    /// The launcher, which was forked before any thread existed.
    pub launcher: Launcher,
    /// How another launcher is executed when this one has died; `None` goes on without.
    pub relaunch: Option<monitor::launcher::Restart>,
    /// Mirrors and exceptions for registries.
    pub registry: registry::Config,
    /// Our own program as a file of the host, PID 1 of containers that want an init. Where the path
    /// does not lead to the running program, a copy is made when the first container wants it.
    pub executable: PathBuf,
}

/// Containers, images and what they need on one host. Only holds parts.
#[derive(Debug)]
pub struct Engine {
    rooms: Arc<Rooms>,
    containers: Containers,
    volumes: Volumes,
    networks: crate::networks::Networks,
    system: System,
    name_service: Option<NameService>,
}

impl Engine {
    /// Opens the root: takes its lock, finds the containers that an earlier daemon left (adopting
    /// those that run), reclaims leftovers, applies restart policies.
    ///
    /// # Errors
    /// When another daemon holds the root, or it cannot be read.
    pub async fn open(options: EngineOptions) -> Result<Arc<Self>> {
        let EngineOptions { layout, launcher, relaunch, registry, executable } = options;
        let store = tokio::task::spawn_blocking(move || Store::open(layout))
            .await
            .map_err(|error| Error::failed("open", "the root", stdx::ErrorKind::Internal, error))?
            .map_err(|error| rooms::storage("open", "the root", error))?;
        let store = Arc::new(store);
        let networks = open_networks(&store).await?;
        let events = Events::default();
        let client = registry::Client::new(registry);
        let images = Images::new(Arc::clone(&store), client, events.clone());
        let rooms = Arc::new(Rooms {
            cgroup_parent: format!("/brig-{}", store.instance().short()),
            store,
            networks,
            launchers: Launchers::new(launcher, relaunch),
            images,
            events,
            tracker: TaskTracker::new(),
            cancel: CancellationToken::new(),
            machine: machine(),
            kernel: kernel()?,
            masked_paths: masked_paths(Path::new("/sys/devices/system/cpu")),
            available: available()?,
            executable,
            init_program: OnceLock::new(),
            accounts: Mutex::new(HashMap::new()),
            bridge: Rooms::new_bridge(),
            sweeping: AtomicU64::new(0),
        });
        let containers = Containers::new(Arc::clone(&rooms));
        containers.listen()?;
        containers.recover().await?;
        let name_service = name_service(&rooms);
        containers.apply_policies().await;
        let system = System { rooms: Arc::clone(&rooms), containers: containers.clone() };
        let volumes = Volumes::new(Arc::clone(&rooms));
        let networks = crate::networks::Networks::new(Arc::clone(&rooms));
        Ok(Arc::new(Self { rooms, containers, volumes, networks, system, name_service }))
    }

    /// Containers: create, start, stop, look.
    #[must_use]
    pub fn containers(&self) -> &Containers {
        &self.containers
    }

    /// Images: pull, list, inspect, remove.
    #[must_use]
    pub fn images(&self) -> &Arc<Images> {
        &self.rooms.images
    }

    /// Volumes, for those who look at them and make them by hand.
    #[must_use]
    pub fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// Removes a volume that no container has, with what is in it.
    ///
    /// # Errors
    /// `NoSuchVolume`; `Conflict` when a container has it, running or not.
    pub async fn remove_volume(&self, name: &str) -> Result<()> {
        self.containers.unless_used(name, self.volumes.remove(name)).await
    }

    /// Networks, for those who look at them.
    #[must_use]
    pub fn networks(&self) -> &crate::networks::Networks {
        &self.networks
    }

    /// What happened, in order.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.rooms.events
    }

    /// The host and the sums over everything.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Stops all containers; none can be started any more. What their restart policies want is left
    /// to the next engine.
    pub async fn stop_containers(&self) {
        self.containers.stop_all().await;
    }

    /// Ends every task of the engine and waits for them. Containers go on.
    pub async fn shutdown(&self) {
        if let Err(error) = self.rooms.launchers.shutdown() {
            tracing::warn!(error = %stdx::chain(&error), "the launcher is gone");
        }
        self.rooms.events.close();
        self.rooms.images.shutdown().await;
        self.rooms.cancel.cancel();
        self.rooms.tracker.close();
        if tokio::time::timeout(PATIENCE, self.rooms.tracker.wait()).await.is_err() {
            tracing::warn!(tasks = self.rooms.tracker.len(), "tasks did not end in time");
        }
        let counts = self.containers.counts();
        let nobody_lives = counts.running + counts.paused == 0;
        let closed = self.rooms.blocking("close the networks", move |rooms| {
            rooms.networks.close();
            if nobody_lives {
                remove_groups(&rooms.cgroup_parent);
            }
            Ok(())
        });
        drop(closed.await);
        tracing::debug!(name_service = self.name_service.is_some(), "engine closed");
    }
}

async fn open_networks(store: &Arc<Store>) -> Result<Networks> {
    let store = Arc::clone(store);
    let open = move || {
        let known: Option<NetworkRecord> = store
            .records()
            .get(Table::SETTINGS, DEFAULT_NETWORK)
            .map_err(|error| rooms::storage("read", "the default network", error))?;
        let networks = Networks::open(OpenOptions {
            instance: store.instance().short().to_owned(),
            default_network: known.clone(),
            pool: PoolLimits::default(),
        })
        .map_err(|error| rooms::network("open", "the networks", error))?;
        let record = networks.default_network();
        if known.as_ref() != Some(&record) {
            store
                .records()
                .put(Table::SETTINGS, DEFAULT_NETWORK, &record)
                .map_err(|error| rooms::storage("record", "the default network", error))?;
        }
        Ok(networks)
    };
    tokio::task::spawn_blocking(open)
        .await
        .map_err(|error| Error::failed("open", "the networks", stdx::ErrorKind::Internal, error))?
}

/// Starts answering names. Without it containers still run, with the host's servers as theirs, so
/// that a failure is only told.
fn name_service(rooms: &Rooms) -> Option<NameService> {
    let told = |error: &network::Error| {
        tracing::error!(error = %stdx::chain(error), "containers cannot resolve names");
    };
    start_name_service(rooms).inspect_err(told).ok()
}

fn start_name_service(rooms: &Rooms) -> Result<NameService, network::Error> {
    let network = rooms.networks.default_network();
    let mut addresses = vec![network.ipv4.addr().into()];
    addresses.extend(network.ipv6.map(|net| std::net::IpAddr::from(net.addr())));
    let options = NameServiceOptions {
        addresses,
        sockets: rooms.launchers.now().retrieve(NAME_SERVICE).unwrap_or_default(),
        resolv_conf: PathBuf::from("/etc/resolv.conf"),
        gateway_names: vec!["host.docker.internal".to_owned(), "host.brig.internal".to_owned()],
        tracker: rooms.tracker.clone(),
        cancel: rooms.cancel.clone(),
    };
    let service = NameService::start(&rooms.networks.names(), options)?;
    rooms.networks.lead_to_names(&service)?;
    if let Ok(sockets) = service.sockets() {
        rooms.launchers.keep(NAME_SERVICE, sockets);
    }
    Ok(service)
}

/// Removes this instance's control groups. The launcher, which lives in one, is ending: the kernel
/// is waited for.
fn remove_groups(path: &str) {
    use linux::cgroup::{Group, Layout};
    let removed = Layout::detect().and_then(|layout| Group::open(layout, path)?.delete());
    if let Err(error) = removed {
        tracing::debug!(path, error = %stdx::chain(&error), "control groups stay");
    }
}

fn kernel() -> Result<KernelVersion> {
    let path = "/proc/sys/kernel/osrelease";
    let release = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
    KernelVersion::parse(release.trim())
        .map_err(|error| Error::failed("understand", path, error.kind(), error))
}

/// The policy's paths, and each processor's counts of throttlings: from those one container could
/// tell what another does (GHSA-6fw5-f8r9-fgfm). Only processors that have them are named, for each
/// mask costs a start some time.
fn masked_paths(processors: &Path) -> Vec<String> {
    let mut paths: Vec<String> = policy::MASKED_PATHS.map(str::to_owned).into();
    let entries = std::fs::read_dir(processors).into_iter().flatten().flatten();
    let throttles = entries.map(|entry| entry.path().join("thermal_throttle"));
    paths.extend(throttles.filter(|path| path.is_dir()).map(|path| path.display().to_string()));
    paths
}

fn available() -> Result<Vec<String>> {
    let set = capability::Set::permitted_here()
        .map_err(|error| rooms::kernel("read", "our capabilities", error))?;
    Ok(set.names().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::masked_paths;

    #[test]
    fn processors_that_count_throttlings_are_masked() {
        let processors = tempfile::tempdir().unwrap();
        let throttle = processors.path().join("cpu0/thermal_throttle");
        std::fs::create_dir_all(&throttle).unwrap();
        std::fs::create_dir_all(processors.path().join("cpu1/topology")).unwrap();
        let paths = masked_paths(processors.path());
        assert_eq!(paths.len(), policy::MASKED_PATHS.len() + 1);
        assert_eq!(paths.last().map(String::as_str), throttle.to_str());
    }
}
