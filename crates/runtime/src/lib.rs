//! Runs one container from a bundle, as the OCI runtime specification says.
//!
//! ```text
//! Spec ──▶ plan (pure checks, then everything opened that is needed from the host)
//!             │ clone3
//!             ├──────────────▶ init: an explicit list of small steps, only applies the plan
//!          Newborn ◀─ channel ──▶ │
//!             ▼                   ▼ gate
//!          Created ── start ──▶ exec
//! ```
//! No threads (but one for a moment, before the clone: [`birth`]), no async, no helper programs but
//! the configuration's own [hooks](hook) and, for a [`checkpoint`], CRIU. The caller is the parent of
//! the container's process and waits for it by pidfd. The process that enters a container is never
//! dumpable, and the caller makes sure that it runs from a read-only mount
//! ([`linux::process::exec_read_only`]).

mod channel;
pub mod checkpoint;
mod create;
mod error;
mod exec;
pub mod gate;
pub mod hook;
mod init;
mod listener;
mod net_device;
mod plan;
mod request;
pub mod seccomp;
pub mod state;
pub mod systemd;
mod update;

pub use create::{Newborn, birth, create};
pub use error::Error;
pub use exec::{Progress, Starting, begin, exec};
pub use plan::{LANDLOCK, MEMORY_FLAGS, MEMORY_MODES, group_of, mount_options};
pub use request::{Confinement, CreateRequest, Created, ExecRequest, Rootfs, Stdio};
pub use update::update;

use std::os::fd::OwnedFd;

fn copy_of(descriptor: &OwnedFd) -> Result<OwnedFd, linux::Error> {
    let copy = descriptor.try_clone();
    copy.map_err(|error| linux::Error::from_io("copy", "a descriptor", &error))
}
