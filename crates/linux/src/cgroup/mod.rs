//! Control groups, version 1, version 2 and both at once (hybrid).
//!
//! ```text
//! Layout            which hierarchies this machine has; detected once, its root directories kept open
//!  └─ Hierarchy     one mount: v1 with some controllers, v1 without any (name=systemd), or v2
//! Group             one path, made in every hierarchy: an open directory for each
//!  ├─ Limits        what it may use      (written by `apply`; what is unset costs nothing)
//!  └─ Usage         what it has used     (read back by `usage`)
//! ```
//! A group's path is absolute, seen from each hierarchy's mounted root: never relative to the caller.
//! Everything below a group is reached through its open directory, so renaming or mounting over the
//! path in the meantime cannot lead us astray.

mod device_filter;
mod events;
mod file;
mod freezer;
mod group;
mod layout;
mod limits;
mod removal;
mod usage;
mod v1;
mod v2;

pub use events::OomWatch;
pub use group::{Entrance, Group};
pub use layout::{Hierarchy, Layout, Mode, Version};
pub use limits::{
    BlockIo, Cpu, DeviceAccess, DeviceKind, DeviceRule, HugePages, Limits, Memory, Network, Rdma,
    Throttle, WeightedDevice,
};
pub use usage::{BlockIoEntry, BlockIoUsage, CpuUsage, MemoryUsage, PidsUsage, Usage};
