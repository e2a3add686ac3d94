//! Checkpoint and restore, by CRIU (criu(8)): a container's processes become files, and processes
//! again.
//!
//! ```text
//! checkpoint   Record, Spec ──▶ external mounts and namespaces ──▶ criu swrk: dump
//! restore      Spec ──▶ plan, as for a new container
//!                        ├─ control group with its limits
//!                        ├─ criu swrk, in that group and in a mount namespace of its own, where the
//!                        │  root file system is mounted: restore
//!                        │     setup-namespaces   hooks of the caller; the loopback device
//!                        │     orphan-pts-master  the terminal's other end
//!                        │     pre-resume         judge: is it what the configuration says?
//!                        └─▶ Restored
//! ```
//! A checkpoint says which rights its processes have, and it may come from anybody. So the
//! configuration leads: limits, mounts and namespaces are those that it names, and before anything
//! runs each process is compared with it ([`Error::Unfit`](crate::Error::Unfit)). What a process has
//! in its memory and its open files is its own: restore what you trust as you would run what you
//! trust.

mod dump;
mod external;
mod image;
mod judge;
mod judge_mount;
mod restore;
mod rpc;
mod stream;
mod wire;
mod worker;

pub use dump::{CheckpointRequest, checkpoint};
pub use image::Places;
pub use restore::{RestoreRequest, Restored, restore};
pub use rpc::{ManageGroups, Switch};
pub use worker::Criu;
