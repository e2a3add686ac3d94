//! One instance's networks in the kernel.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use ipnet::{Ipv4Net, Ipv6Net};
use linux::conntrack;
use linux::netlink::Batch;
use linux::nftables::{self, Changes, News, Table, Transaction};
use linux::route::{self, change};

use crate::bridge::{self, DEFAULT_NETWORK};
use crate::error::{Error, PortHolder};
use crate::firewall::unless_missing;
use crate::flow;
use crate::foreign;
use crate::lease::{Lease, LeaseBook};
use crate::name::{NameService, Names};
use crate::pool::{INTERFACE, LinkNames, Pool, Prepared, Wish, Workshop, lock};
use crate::port::PortBinding;
use crate::publish::{self, Published};
use crate::reaper::{self, Doomed, Reaper};
use crate::record::{ConnectRequest, Endpoint, EndpointRecord, Gateway, NetworkRecord};
use crate::ruleset::{self, PortElement};
use crate::watch::Watch;

/// How many namespaces the warm pool keeps ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// Kept when nothing happens.
    pub least: usize,
    /// Kept at most, after bursts.
    pub most: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { least: 4, most: 32 }
    }
}

/// What [`Networks::open`] needs to know.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The instance's short id: six hexadecimal digits.
    pub instance: String,
    /// The default network as [`Networks::default_network`] last gave it, to keep its subnets.
    pub default_network: Option<NetworkRecord>,
    /// The warm pool's size.
    pub pool: PoolLimits,
}

/// The networks of one instance; cheap to clone, all clones are the same networks. The last one
/// to be dropped closes them.
#[derive(Debug, Clone)]
pub struct Networks {
    pub(crate) parts: Arc<Parts>,
}

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) table: Table,
    pub(crate) workshop: Arc<Workshop>,
    pub(crate) firewall: Mutex<nftables::Socket>,
    pub(crate) flows: Mutex<conntrack::Socket>,
    pub(crate) names: Arc<Names>,
    pub(crate) endpoints: Mutex<HashMap<String, EndpointRecord>>,
    /// How the name service is reached, once there is one.
    pub(crate) service: Mutex<Vec<PortElement>>,
    /// Whether `endpoints` has every container that is alive.
    pub(crate) restored: AtomicBool,
    /// Whether our rules shall be in firewalls of others.
    pub(crate) enters_others: AtomicBool,
    pub(crate) watch: OnceLock<Watch>,
    pub(crate) pool: Pool,
    pub(crate) reaper: Reaper,
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.end_threads();
    }
}

impl Parts {
    fn end_threads(&self) {
        if let Some(watch) = self.watch.get() {
            watch.close();
        }
        self.pool.close();
        self.reaper.close();
    }
}

impl Networks {
    /// Makes or adopts the default bridge and the nftables table of this instance. Call
    /// [`Self::restore`] next.
    ///
    /// # Errors
    /// When the kernel refuses a step, or no subnet is free.
    pub fn open(options: OpenOptions) -> Result<Self, Error> {
        let OpenOptions { instance, default_network, pool } = options;
        let valid = instance.len() == 6 && instance.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !valid {
            let reason = format!("instance id {instance:?} is not six hexadecimal digits");
            return Err(Error::InvalidRequest { reason });
        }
        let mut host = route::Socket::open().map_err(Error::kernel("open", "networks"))?;
        let bridge = bridge::ensure(&mut host, &instance, default_network.as_ref())?;
        let table = ruleset::table(&instance);
        let mut firewall = nftables::Socket::open().map_err(Error::kernel("open", "networks"))?;
        firewall
            .commit(ruleset::base(&table, std::slice::from_ref(&bridge.record)))
            .map_err(Error::kernel("set up", format!("nftables table {}", table.name)))?;
        let flows = conntrack::Socket::open().map_err(Error::kernel("open", "networks"))?;
        let leases = Arc::new(LeaseBook::new(&bridge.record));
        let links = Arc::new(LinkNames::default());
        let reaper = Reaper::start(reaper::Context {
            group: bridge::doomed_group(&instance),
            leases: Arc::clone(&leases),
            names: Arc::clone(&links),
        })?;
        let workshop = Workshop {
            instance,
            bridge,
            hairpin: bridge::filters_ports(),
            host: Mutex::new(host),
            leases,
            links,
        };
        let parts = Parts {
            table,
            workshop: Arc::new(workshop),
            firewall: Mutex::new(firewall),
            flows: Mutex::new(flows),
            names: Arc::default(),
            endpoints: Mutex::default(),
            service: Mutex::default(),
            restored: AtomicBool::new(false),
            enters_others: AtomicBool::new(false),
            watch: OnceLock::new(),
            pool: Pool::new(pool),
            reaper,
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Adopts the endpoints of containers that are alive, takes back links and map elements of
    /// this instance that belong to none of them, and starts filling the warm pool. To be called
    /// once, before the first `connect`; with an empty slice when no container is alive.
    ///
    /// # Errors
    /// When the kernel refuses a step; everything else was tried.
    pub fn restore(&self, live: &[EndpointRecord]) -> Result<(), Error> {
        for endpoint in live {
            self.parts.workshop.links.insert(&endpoint.link);
            self.parts.workshop.leases.adopt(lease_of(endpoint));
            self.parts.names.insert(endpoint);
            lock(&self.parts.endpoints).insert(endpoint.container.clone(), endpoint.clone());
        }
        self.parts.restored.store(true, Ordering::SeqCst);
        let elements = self.parts.restore_elements(live);
        let links = self.reclaim_links();
        let pool = self.parts.pool.start(Arc::clone(&self.parts.workshop));
        let watch = self.watch();
        elements.and(links).and(pool).and(watch)
    }

    /// Starts following what others do to nftables.
    fn watch(&self) -> Result<(), Error> {
        let changes = Changes::subscribe(&lock(&self.parts.firewall))
            .map_err(Error::kernel("watch", "nftables"))?;
        let parts = Arc::downgrade(&self.parts);
        let mend = move |news: &News| parts.upgrade().map(|parts| parts.mend(news)).is_some();
        let watch = Watch::start(changes, mend)?;
        // A second call would be a mistake of the caller's; the first one's thread stays.
        let _second = self.parts.watch.set(watch);
        Ok(())
    }

    /// The default network, to be recorded.
    #[must_use]
    pub fn default_network(&self) -> NetworkRecord {
        self.parts.workshop.bridge.record.clone()
    }

    /// Attaches a container: a namespace from the warm pool, or a new one if that is empty.
    /// Microseconds to a millisecond; blocks the calling thread for that long.
    ///
    /// # Errors
    /// [`Error::PortInUse`], [`Error::AddressInUse`] and the like, with nothing left behind.
    pub fn connect(&self, request: &ConnectRequest) -> Result<Endpoint, Error> {
        if request.network != DEFAULT_NETWORK {
            return Err(Error::NetworkNotFound { name: request.network.clone() });
        }
        let result = self.attach(request);
        self.parts.pool.refill();
        result
    }

    /// Detaches a container: ports, names and the lease go now, the link later. Idempotent.
    ///
    /// # Errors
    /// When map elements could not be deleted; everything else was done.
    pub fn disconnect(&self, endpoint: &EndpointRecord) -> Result<(), Error> {
        let known = lock(&self.parts.endpoints).remove(&endpoint.container);
        self.parts.names.remove(&endpoint.container, &endpoint.network);
        if known.is_none() && !self.parts.workshop.links.contains(&endpoint.link) {
            return Ok(());
        }
        let result = self.parts.withdraw(endpoint);
        flow::withdrawn(&self.parts.flows, endpoint);
        let lease = known.map(|_| lease_of(endpoint));
        self.parts.reaper.delete(Doomed { link: endpoint.link.clone(), lease });
        result
    }

    /// A new namespace in which only the loopback link exists, up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn loopback_only(&self) -> Result<OwnedFd, Error> {
        let failed = || Error::kernel("prepare", "network namespace with loopback only");
        linux::namespace::in_new_network(|namespace| {
            let mut batch = Batch::new();
            change::set_up_by_name(&mut batch, "lo");
            route::Socket::open()?.execute(&mut batch, "lo")?;
            Ok(namespace)
        })
        .map_err(failed())?
        .map_err(failed())
    }

    /// Gives a container another name; the name service answers to it at once. The record is
    /// changed for the caller to store.
    pub fn rename(&self, endpoint: &mut EndpointRecord, name: &str) {
        for known in &mut endpoint.names {
            if *known == endpoint.name {
                name.clone_into(known);
            }
        }
        name.clone_into(&mut endpoint.name);
        let mut endpoints = lock(&self.parts.endpoints);
        if let Some(known) = endpoints.get_mut(&endpoint.container) {
            known.clone_from(endpoint);
            self.parts.names.insert(endpoint);
        }
    }

    /// The table of names that this instance's [`crate::NameService`] answers from.
    #[must_use]
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.parts.names)
    }

    /// Leads questions to port 53 of the gateways to the name service, wherever it listens.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lead_to_names(&self, service: &NameService) -> Result<(), Error> {
        let elements: Vec<PortElement> = service
            .ports()
            .iter()
            .map(|(protocol, socket)| ruleset::name_element(*protocol, *socket))
            .collect();
        let mut transaction = Transaction::new(&self.parts.table);
        ruleset::NAME_MAPS.iter().for_each(|map| transaction.flush_set(map));
        for PortElement { map, key, target } in &elements {
            transaction.add_element(map, key, Some(target));
        }
        {
            let mut firewall = lock(&self.parts.firewall);
            let failed = Error::kernel("lead to", "the name service");
            firewall.commit(transaction).map_err(failed)?;
            *lock(&self.parts.service) = elements;
        }
        flow::redirected(&self.parts.flows, ruleset::NAME_PORT);
        Ok(())
    }

    /// Whether containers' questions are led to a name service.
    #[must_use]
    pub fn has_names(&self) -> bool {
        !lock(&self.parts.service).is_empty()
    }

    /// What firewalls of others do to packets of our containers, one sentence each; empty when all
    /// is well. For `system check`.
    ///
    /// # Errors
    /// When the kernel's rules cannot be read.
    pub fn conflicts(&self) -> Result<Vec<String>, Error> {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "a path to the method is not general enough in its lifetime"
        )]
        let mut complaints = self.parts.foreign(|firewall| firewall.complaints())?;
        complaints.extend(foreign::legacy_complaint());
        Ok(complaints)
    }

    /// Where somebody else's firewall drops forwarded packets but leaves a chain to its users,
    /// puts labelled rules for our bridge there, now and whenever such a firewall comes later. To
    /// be called once at start if the configuration allows that; harmless to repeat.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter_foreign_firewalls(&self) -> Result<(), Error> {
        self.parts.enters_others.store(true, Ordering::SeqCst);
        let outgoing = self.parts.outgoing()?;
        self.parts.foreign(|firewall| firewall.enter(&outgoing))
    }

    /// Takes back what [`Self::enter_foreign_firewalls`] did: for a shutdown with no container
    /// left.
    ///
    /// # Errors
    /// When the kernel refuses.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "a path to the method is not general enough in its lifetime"
    )]
    pub fn leave_foreign_firewalls(&self) -> Result<(), Error> {
        self.parts.enters_others.store(false, Ordering::SeqCst);
        self.parts.foreign(|firewall| firewall.leave())
    }

    /// Waits until the warm pool is as full as it shall be, or cannot be filled.
    pub fn wait_until_warm(&self) {
        self.parts.pool.wait_until_full();
    }

    /// Ends the threads of the pool and of deletion, after deleting what is due. With a container
    /// alive, bridge, table and endpoints stay, so that it keeps its network; else they go too,
    /// and the host is as it was before. Idempotent.
    pub fn close(&self) {
        self.parts.end_threads();
        let unused =
            self.parts.restored.load(Ordering::SeqCst) && lock(&self.parts.endpoints).is_empty();
        if unused && let Err(error) = self.remove_all() {
            tracing::warn!(error = stdx::chain(&error), "cannot remove the networks");
        }
    }

    /// Removes every link and the table of this instance: for a reset, when no container is left.
    ///
    /// # Errors
    /// When the kernel refuses a step; everything else was tried.
    pub fn remove_all(&self) -> Result<(), Error> {
        self.parts.end_threads();
        let foreign = self.leave_foreign_firewalls();
        let mut transaction = Transaction::new(&self.parts.table);
        transaction.delete_table();
        let table = unless_missing(lock(&self.parts.firewall).commit(transaction))
            .map_err(Error::kernel("delete", "nftables table"));
        let mut batch = Batch::new();
        let workshop = &self.parts.workshop;
        change::delete_group(&mut batch, bridge::group(&workshop.instance));
        let links = lock(&workshop.host).execute(&mut batch, &workshop.bridge.record.link);
        let links = unless_missing(links).map_err(Error::kernel("delete network", DEFAULT_NETWORK));
        foreign.and(table).and(links)
    }

    fn attach(&self, request: &ConnectRequest) -> Result<Endpoint, Error> {
        let wish = Wish { ipv4: request.ipv4, ipv6: request.ipv6, mac: request.mac };
        let prepared = self.take_namespace(wish)?;
        let published = publish::publish(&request.name, &request.ports, prepared.lease.ipv4);
        let Published { ports, held, splice } = match published {
            Ok(published) => published,
            Err(error) => {
                self.give_back(prepared, wish);
                return Err(self.name_container(error));
            }
        };
        let record = self.record(request, &prepared, ports);
        // Known before it is published, so that no rebuilding of the table forgets it.
        lock(&self.parts.endpoints).insert(record.container.clone(), record.clone());
        if let Err(error) = self.parts.publish(&record) {
            lock(&self.parts.endpoints).remove(&record.container);
            self.give_back(prepared, wish);
            return Err(self.name_container(error));
        }
        self.parts.names.insert(&record);
        Ok(Endpoint { record, namespace: prepared.namespace, held, splice })
    }

    /// From the pool, unless something special is wished for.
    fn take_namespace(&self, wish: Wish) -> Result<Prepared, Error> {
        if wish == Wish::default() {
            return self.parts.pool.take().map_or_else(|| self.prepare(wish), Ok);
        }
        if let Some(prepared) = self.claim(wish) {
            return Ok(prepared);
        }
        match self.prepare(wish) {
            // The pool may have been about to take just this address.
            Err(error @ Error::AddressInUse { .. }) => {
                self.parts.pool.refill();
                self.parts.pool.wait_until_full();
                match self.claim(wish) {
                    Some(prepared) => Ok(prepared),
                    None => self.prepare(wish).map_err(|_| error),
                }
            }
            result => result,
        }
    }

    /// Takes the pool's entry that has an address wished for: it is what is wished for, or it is
    /// given up, so that its addresses are free soon.
    fn claim(&self, wish: Wish) -> Option<Prepared> {
        let prepared = self.parts.pool.take_conflicting(wish)?;
        if prepared.fulfills(wish) {
            return Some(prepared);
        }
        let Prepared { link, lease, .. } = prepared;
        self.parts.reaper.delete(Doomed { link, lease: Some(lease) });
        None
    }

    fn prepare(&self, wish: Wish) -> Result<Prepared, Error> {
        std::thread::scope(|scope| {
            let cold = scope.spawn(|| self.parts.workshop.prepare(wish)).join();
            cold.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Takes back a namespace that nobody has seen.
    fn give_back(&self, prepared: Prepared, wish: Wish) {
        if wish == Wish::default() {
            self.parts.pool.put_back(prepared);
        } else {
            let Prepared { link, lease, .. } = prepared;
            self.parts.reaper.delete(Doomed { link, lease: Some(lease) });
        }
    }

    fn record(
        &self,
        request: &ConnectRequest,
        prepared: &Prepared,
        ports: Vec<PortBinding>,
    ) -> EndpointRecord {
        let network = &self.parts.workshop.bridge.record;
        let lease = prepared.lease;
        let ipv6_length = network.ipv6.map_or(128, |subnet| subnet.prefix_len());
        EndpointRecord {
            container: request.container.clone(),
            name: request.name.clone(),
            network: request.network.clone(),
            names: names_of(request),
            link: prepared.link.clone(),
            interface: INTERFACE.to_owned(),
            mac: prepared.mac,
            ipv4: Ipv4Net::new_assert(lease.ipv4, network.ipv4.prefix_len()),
            ipv6: lease.ipv6.map(|address| Ipv6Net::new_assert(address, ipv6_length)),
            gateway: Gateway {
                ipv4: network.ipv4.addr(),
                ipv6: network.ipv6.map(|subnet| subnet.addr()),
            },
            ports,
            name_servers: request.name_servers.clone(),
        }
    }

    /// Deletes links of this instance that nobody knows, before this returns: which addresses they
    /// have is forgotten, and the first that are handed out may be the same.
    fn reclaim_links(&self) -> Result<(), Error> {
        let workshop = &self.parts.workshop;
        let mut host = lock(&workshop.host);
        let links = host.links().map_err(Error::kernel("find", "stale links"))?;
        let prefix = format!("v{}", workshop.instance);
        let stale: Vec<Doomed> = links
            .into_iter()
            .filter(|link| link.name.starts_with(&prefix) && !workshop.links.contains(&link.name))
            .map(|link| Doomed { link: link.name, lease: None })
            .collect();
        let group = bridge::doomed_group(&workshop.instance);
        stale.chunks(reaper::GROUP).for_each(|links| reaper::delete(&mut host, group, links));
        Ok(())
    }

    /// If one of our containers has the port, that is a better answer than its monitor.
    fn name_container(&self, error: Error) -> Error {
        let Error::PortInUse { endpoint, address, port, protocol, mut holder } = error else {
            return error;
        };
        let endpoints = lock(&self.parts.endpoints);
        let conflict = endpoints.values().find(|other| {
            other.ports.iter().any(|binding| {
                let theirs = binding.host_address;
                (binding.protocol, binding.host_port) == (protocol, port)
                    && (theirs.is_unspecified()
                        || address == "0.0.0.0"
                        || address.trim_matches(['[', ']']) == theirs.to_string())
            })
        });
        if let Some(other) = conflict {
            holder = Some(PortHolder::Container { name: other.name.clone() });
        }
        Error::PortInUse { endpoint, address, port, protocol, holder }
    }
}

const fn lease_of(endpoint: &EndpointRecord) -> Lease {
    let ipv6 = match endpoint.ipv6 {
        Some(network) => Some(network.addr()),
        None => None,
    };
    Lease { ipv4: endpoint.ipv4.addr(), ipv6 }
}

/// Name, aliases, short id, host name; each once.
fn names_of(request: &ConnectRequest) -> Vec<String> {
    let short = request.container.get(..12).unwrap_or(&request.container).to_owned();
    let mut names = vec![request.name.clone()];
    names.extend(request.aliases.iter().cloned());
    names.push(short);
    names.extend(request.hostname.clone());
    let mut seen = HashSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.to_ascii_lowercase()));
    names
}
