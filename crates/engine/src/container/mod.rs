//! What a container is: the options it is made from, its states, its views. No effects here.

pub(crate) mod bind;
pub(crate) mod etc;
mod filter;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod merge;
pub(crate) mod name;
mod options;
pub(crate) mod process_table;
pub(crate) mod record;
mod resources;
pub(crate) mod restart;
mod session;
pub(crate) mod signal;
mod stats;
mod status;
pub(crate) mod user;
pub(crate) mod validate;
mod view;

pub use filter::ListFilter;
pub(crate) use merge::INIT_LABEL;
pub use options::{
    AttachedStreams, ContainerSpec, HostOptions, LogConfig, MountKind, MountSpec, NamespaceMode,
    NetworkMode, NetworkOptions, Port, PortRange, Propagation, Protocol, PublishSpec,
    RestartPolicy, SecurityOptions, Stdin,
};
pub use resources::{DeviceMapping, DeviceWeight, Resources, ThrottleDevice, Ulimit};
pub use session::{
    AttachRequest, ExecInspect, ExecSpec, ExecStart, LogEntry, LogQuery, LogSource, ProcessTable,
    RemoveOptions, TerminalSize, WaitCondition, WaitOutcome,
};
pub use stats::{BlockIo, CpuStats, InterfaceStats, MemoryStats, Stats};
pub use status::Status;
pub use view::{
    ContainerInspect, ContainerSummary, Created, MountPoint, NetworkAttachment, PortMapping,
    StateView,
};
