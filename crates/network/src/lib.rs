//! Networks, endpoints, addresses, published ports, name service.
//!
//! ```text
//!  outside ──┐                         ┌──────────── host ────────────┐
//!            │  table inet brig-ID     │ loopback 127.0.0.1, ::1      │
//!            ▼  (maps: host port →     ▼                              │
//!       raw guard → dnat ──────────► bridge brig-ID ── veth ──┬─ eth0 │ container
//!                                     gateway, name service   └─ eth0 │ container
//! ```
//! [`Networks`] owns one instance's kernel objects: a bridge, one nftables table, host ends of veth
//! pairs; all carry the instance's id. [`Networks::connect`] takes a prepared network namespace
//! from a warm pool, gives it addresses and publishes ports as map elements; nothing is executed,
//! nothing is waited for. [`Networks::disconnect`] takes ports, names and the lease back at once;
//! links are deleted later, in groups, by a thread of their own. [`NameService`] answers names of
//! containers on the gateway addresses and forwards the rest.
//!
//! Invariants
//! - An address is handed out again only when the link that had it is gone.
//! - Namespaces of the pool are only descriptors in memory: a killed daemon leaves none.
//! - What is decided is a pure function from desired and observed state to plain values
//!   (`subnet`, `lease`, `ruleset`); the rest applies it.
//! - Everything acts in the network namespace of the thread that called [`Networks::open`];
//!   threads that call other methods must be in the same one.

mod bridge;
mod error;
mod firewall;
mod flow;
mod foreign;
mod holder;
mod lease;
mod name;
mod networks;
mod pool;
mod port;
mod publish;
mod reaper;
mod record;
mod ruleset;
mod subnet;
mod watch;

pub use error::{Error, PortHolder};
pub use name::{NameService, NameServiceOptions, Names};
pub use networks::{Networks, OpenOptions, PoolLimits};
pub use port::{ParsePortError, PortBinding, PortRange, Protocol, PublishedPort};
pub use record::{
    ConnectRequest, Endpoint, EndpointRecord, Gateway, MacAddress, NetworkRecord, ParseMacError,
    SpliceListener,
};
