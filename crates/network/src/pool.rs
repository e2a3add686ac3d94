//! The warm pool: network namespaces prepared in the background.
//!
//! An entry lacks nothing: loopback and `eth0` are up, the host end is a port of the bridge,
//! addresses are leased and set. So connecting a container needs none of the kernel's network
//! lock, which the deletion of other links holds for milliseconds. An entry exists only as a
//! descriptor in memory, so that a killed daemon leaves nothing. Nobody waits for the pool: who
//! finds it empty, or wants an address of his own, prepares a namespace himself.

use std::collections::{HashSet, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use linux::netlink::Batch;
use linux::route::{Socket, change};

use crate::bridge::{self, Bridge};
use crate::error::Error;
use crate::lease::{Lease, LeaseBook};
use crate::networks::PoolLimits;
use crate::record::MacAddress;

/// The link's name inside a container.
pub(crate) const INTERFACE: &str = "eth0";

/// A namespace that lacks nothing.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) namespace: OwnedFd,
    /// The host end's name.
    pub(crate) link: String,
    pub(crate) lease: Lease,
    pub(crate) mac: MacAddress,
}

/// Addresses asked for; what is not is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) ipv4: Option<Ipv4Addr>,
    pub(crate) ipv6: Option<Ipv6Addr>,
    pub(crate) mac: Option<MacAddress>,
}

impl Prepared {
    /// Whether it is as wished.
    pub(crate) fn fulfills(&self, wish: Wish) -> bool {
        wish.ipv4.is_none_or(|ipv4| ipv4 == self.lease.ipv4)
            && wish.ipv6.is_none_or(|ipv6| Some(ipv6) == self.lease.ipv6)
            && wish.mac.is_none_or(|mac| mac == self.mac)
    }
}

/// Makes the namespaces of one network.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) instance: String,
    pub(crate) bridge: Bridge,
    /// Packets may leave by the port they came in (see [`bridge::filters_ports`]).
    pub(crate) hairpin: bool,
    /// A socket outside of all the namespaces.
    pub(crate) host: Mutex<Socket>,
    pub(crate) leases: Arc<LeaseBook>,
    pub(crate) links: Arc<LinkNames>,
}

/// Names of host ends that this process made, so that reclaiming leaves them alone.
#[derive(Debug, Default)]
pub(crate) struct LinkNames(Mutex<HashSet<String>>);

impl LinkNames {
    /// A name that no link had before: instance and 32 random bits.
    fn fresh(&self, instance: &str) -> String {
        loop {
            let suffix = stdx::hex::encode(&stdx::random::bytes::<4>());
            let name = format!("v{instance}{suffix}");
            if lock(&self.0).insert(name.clone()) {
                return name;
            }
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        lock(&self.0).contains(name)
    }

    pub(crate) fn insert(&self, name: &str) {
        lock(&self.0).insert(name.to_owned());
    }

    pub(crate) fn forget(&self, name: &str) {
        lock(&self.0).remove(name);
    }
}

impl Workshop {
    /// Prepares one namespace on the calling thread, which ends up inside it: call it on a thread
    /// of its own.
    pub(crate) fn prepare(&self, wish: Wish) -> Result<Prepared, Error> {
        let lease = self.leases.take(wish.ipv4, wish.ipv6)?;
        let link = self.links.fresh(&self.instance);
        let [a, b, c, d] = lease.ipv4.octets();
        let mac = wish.mac.unwrap_or(MacAddress([0x02, 0x42, a, b, c, d]));
        match self.build(&link, lease, mac) {
            Ok(namespace) => Ok(Prepared { namespace, link, lease, mac }),
            Err(error) => {
                self.links.forget(&link);
                self.leases.release(lease);
                Err(error)
            }
        }
    }

    fn build(&self, link: &str, lease: Lease, mac: MacAddress) -> Result<OwnedFd, Error> {
        let failed = || Error::kernel("prepare network namespace with link", link);
        let namespace = linux::namespace::unshare_network().map_err(failed())?;
        let mut socket = Socket::open().map_err(failed())?;
        let mut batch = Batch::new();
        let veth = change::Veth {
            name: link,
            master: self.bridge.index,
            group: bridge::group(&self.instance),
            mtu: self.bridge.record.mtu,
            peer: INTERFACE,
            peer_mac: mac.0,
            namespace: namespace.as_fd(),
        };
        change::add_veth(&mut batch, veth);
        if self.hairpin {
            change::set_hairpin(&mut batch, link);
        }
        lock(&self.host).execute(&mut batch, link).map_err(failed())?;
        let eth0 = socket.link(INTERFACE).map_err(failed())?;
        let index = eth0.map(|link| link.index).ok_or_else(|| Error::Io {
            operation: "find link",
            object: INTERFACE.to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        // A neighbor on the bridge is no router.
        bridge::ignore_advertisements(INTERFACE)?;
        let mut batch = Batch::new();
        change::set_up_by_name(&mut batch, "lo");
        change::disable_automatic_addresses(&mut batch, INTERFACE);
        change::set_up_by_name(&mut batch, INTERFACE);
        for address in self.addresses(lease, mac) {
            change::add_address(&mut batch, index, address);
        }
        change::add_default_route(&mut batch, index, self.bridge.record.ipv4.addr().into());
        if let Some(gateway) = self.bridge.record.ipv6 {
            change::add_default_route(&mut batch, index, gateway.addr().into());
        }
        socket.execute(&mut batch, INTERFACE).map_err(failed())?;
        // Else the container's first packets may be lost, and tried again after a second.
        // The bridge itself has no carrier while it has no port.
        let host = lock(&self.host);
        for name in [link, &self.bridge.record.link] {
            host.settle(name).map_err(failed())?;
        }
        drop(host);
        Ok(namespace)
    }

    fn addresses(&self, lease: Lease, mac: MacAddress) -> Vec<IpNet> {
        let network = &self.bridge.record;
        let mut addresses =
            vec![IpNet::V4(Ipv4Net::new_assert(lease.ipv4, network.ipv4.prefix_len()))];
        if let (Some(address), Some(subnet)) = (lease.ipv6, network.ipv6) {
            addresses.push(IpNet::V6(Ipv6Net::new_assert(link_local(mac), 64)));
            addresses.push(IpNet::V6(Ipv6Net::new_assert(address, subnet.prefix_len())));
        }
        addresses
    }
}

/// The link-local address that belongs to a hardware address (modified EUI-64, RFC 4291).
fn link_local(mac: MacAddress) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    octets.into()
}

#[derive(Debug)]
struct State {
    ready: VecDeque<Prepared>,
    /// How many to keep; grows when the pool ran empty, shrinks when most of it was not needed.
    target: usize,
    /// The fewest that were ready, and how many were taken, since the target was last reviewed.
    fewest: usize,
    taken: usize,
    /// Filling failed; tried again after the next take.
    failed: bool,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    limits: PoolLimits,
}

/// The pool and its thread.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// After how many takes the target is reviewed.
const REVIEW: usize = 64;

impl Pool {
    /// A pool that stays empty until it is started.
    pub(crate) fn new(limits: PoolLimits) -> Self {
        let state = State {
            ready: VecDeque::new(),
            target: limits.least,
            fewest: limits.least,
            taken: 0,
            failed: false,
            closed: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), limits });
        Self { shared, thread: Mutex::new(None) }
    }

    /// Starts filling.
    pub(crate) fn start(&self, workshop: Arc<Workshop>) -> Result<(), Error> {
        let mut thread = lock(&self.thread);
        if thread.is_some() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let filling = std::thread::Builder::new()
            .name("network-pool".to_owned())
            .spawn(move || {
                in_background();
                fill(&shared, || workshop.prepare(Wish::default()));
            })
            .map_err(Error::io("start", "network pool"))?;
        *thread = Some(filling);
        Ok(())
    }

    /// A prepared namespace, if one is ready; [`Self::refill`] makes another.
    pub(crate) fn take(&self) -> Option<Prepared> {
        let mut state = lock(&self.shared.state);
        let prepared = state.ready.pop_front();
        state.taken += 1;
        state.fewest = state.fewest.min(state.ready.len());
        let (target, limits) = (state.target, self.shared.limits);
        if prepared.is_none() {
            state.target = (target * 2).clamp(limits.least, limits.most);
        } else if state.taken >= REVIEW && state.fewest > target / 2 {
            state.target = (target / 2).clamp(limits.least, limits.most);
        }
        if state.taken >= REVIEW {
            state.taken = 0;
            state.fewest = state.target;
        }
        state.failed = false;
        prepared
    }

    /// Lets the thread replace what was taken: called when the container has what it needs.
    pub(crate) fn refill(&self) {
        self.shared.changed.notify_all();
    }

    /// The entry that has one of the addresses wished for.
    pub(crate) fn take_conflicting(&self, wish: Wish) -> Option<Prepared> {
        let mut state = lock(&self.shared.state);
        let index = state.ready.iter().position(|prepared| {
            wish.ipv4 == Some(prepared.lease.ipv4)
                || (wish.ipv6.is_some() && wish.ipv6 == prepared.lease.ipv6)
        })?;
        let prepared = state.ready.remove(index);
        self.shared.changed.notify_all();
        prepared
    }

    /// Gives back what was not used after all.
    pub(crate) fn put_back(&self, prepared: Prepared) {
        lock(&self.shared.state).ready.push_front(prepared);
    }

    /// Waits until the pool is full, is not filled, or cannot be.
    pub(crate) fn wait_until_full(&self) {
        if lock(&self.thread).is_none() {
            return;
        }
        let state = lock(&self.shared.state);
        let full =
            |state: &mut State| state.ready.len() < state.target && !state.failed && !state.closed;
        drop(self.shared.changed.wait_while(state, full).unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends the thread and lets the namespaces go. Idempotent.
    pub(crate) fn close(&self) {
        lock(&self.shared.state).closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of the thread was reported by the thread itself.
            drop(thread.join());
        }
        lock(&self.shared.state).ready.clear();
    }
}

/// A thread that nobody waits for does not interrupt those that wake it.
pub(crate) fn in_background() {
    if let Err(error) = linux::scheduling::set_thread_to_batch() {
        tracing::debug!(error = stdx::chain(&error), "a background thread is like any other");
    }
}

/// Keeps the pool full until it is closed.
fn fill(shared: &Shared, prepare: impl Fn() -> Result<Prepared, Error>) {
    loop {
        let state = lock(&shared.state);
        let idle = |state: &mut State| {
            !state.closed && (state.failed || state.ready.len() >= state.target)
        };
        let state = shared.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return;
        }
        drop(state);
        let prepared = prepare();
        let mut state = lock(&shared.state);
        match prepared {
            Ok(prepared) => state.ready.push_back(prepared),
            Err(error) => {
                tracing::warn!(error = stdx::chain(&error), "cannot fill the network pool");
                state.failed = true;
            }
        }
        shared.changed.notify_all();
    }
}

/// Nothing here is left half-changed by a panic, so a poisoned lock is as good as any.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared() -> Prepared {
        Prepared {
            namespace: std::fs::File::open("/dev/null").unwrap().into(),
            link: String::new(),
            lease: Lease { ipv4: [10, 0, 0, 2].into(), ipv6: None },
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
        }
    }

    fn target(pool: &Pool) -> usize {
        lock(&pool.shared.state).target
    }

    #[test]
    fn the_pool_grows_when_it_runs_empty_and_shrinks_when_it_is_not_needed() {
        let pool = Pool::new(PoolLimits { least: 4, most: 32 });
        for expected in [8, 16, 32, 32] {
            assert!(pool.take().is_none());
            assert_eq!(target(&pool), expected);
        }
        // Steady use: one is taken, one is made.
        for _ in 0..32 {
            pool.put_back(prepared());
        }
        for _ in 0..2 * REVIEW {
            assert!(pool.take().is_some());
            pool.put_back(prepared());
        }
        assert_eq!(target(&pool), 16);
        for _ in 0..8 * REVIEW {
            assert!(pool.take().is_some());
            pool.put_back(prepared());
        }
        assert_eq!(target(&pool), 4);
        // A burst that nearly empties it keeps it as it is.
        lock(&pool.shared.state).ready.truncate(3);
        for _ in 0..2 {
            assert!(pool.take().is_some());
        }
        assert_eq!(target(&pool), 4);
    }

    #[test]
    fn a_wish_takes_what_stands_in_its_way() {
        let pool = Pool::new(PoolLimits { least: 4, most: 32 });
        pool.put_back(prepared());
        let wish = Wish { ipv4: Some([10, 0, 0, 3].into()), ..Wish::default() };
        assert!(pool.take_conflicting(wish).is_none());
        let wish = Wish { ipv4: Some([10, 0, 0, 2].into()), ..Wish::default() };
        assert!(pool.take_conflicting(wish).is_some_and(|prepared| prepared.fulfills(wish)));
    }

    #[test]
    fn link_local_addresses_follow_the_hardware_address() {
        let address = link_local("02:42:ac:11:00:02".parse().unwrap());
        assert_eq!(address.to_string(), "fe80::42:acff:fe11:2");
    }
}
