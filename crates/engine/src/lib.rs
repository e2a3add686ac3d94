//! Containers and images on one host: composes the mechanisms and owns the state machines.
//!
//! ```text
//!                Engine::open ── recovery: records + run/ + monitors' sockets
//!   ┌──────────────┬───────┴──────┬───────────┬──────────┐
//! containers     images         volumes     networks    events, system
//!   │  verbs: create start stop … one file each, all over a `Container` with its own lock
//!   ├─ spec/      pure: options + image + files made → oci::runtime::Spec
//!   ├─ monitors   one connection per live container; exits arrive here
//!   └─ storage, network, runtime, observe: mechanisms that do not know each other
//! ```
//!
//! Invariants: it speaks its own types, neither Docker's nor Kubernetes'; a container never depends
//! on this process's life; no lock of the standard library is held across an await; every task
//! belongs to the tracker; nothing polls.

mod attach;
pub mod container;
mod containers;
mod engine;
mod error;
mod event;
pub mod images;
mod launchers;
mod networks;
mod rooms;
mod spec;
mod system;
mod volumes;

pub use attach::{AttachEnd, AttachSession};
pub use container::{ContainerSpec, ListFilter, Status};
pub use containers::{Containers, CopyOptions, LogStream, PathStat, StatsStream, Waiter};
pub use engine::{Engine, EngineOptions};
pub use error::{Error, Result};
pub use event::{Action, Event, EventFilter, Events, Subject, Subscription};
pub use networks::{NetworkView, Networks};
pub use system::{ContainerCounts, DiskUsage, HostFacts, System};
pub use volumes::{VolumeSpec, VolumeView, Volumes};
