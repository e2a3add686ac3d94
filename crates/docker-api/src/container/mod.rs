//! `/containers`.

mod config;
mod host_config;
mod inspect;
mod path_stat;
mod stats;
mod summary;

pub use config::{Config, CreateRequest, CreateResponse, HealthConfig, NetworkingConfig};
pub use host_config::{
    BindOptions, DeviceMapping, DeviceRequest, DriverConfig, HostConfig, LogConfig, Mount,
    PortBinding, PortMap, RestartPolicy, ThrottleDevice, TmpfsOptions, Ulimit, VolumeOptions,
    WeightDevice,
};
pub use inspect::{
    Health, HealthLog, Inspect, NetworkSettings, State, Top, WaitError, WaitResponse,
};
pub use path_stat::PathStat;
pub use stats::{
    BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats,
    StorageStats, ThrottlingData,
};
pub use summary::{
    MountPoint, Port, PruneResponse, Summary, SummaryHostConfig, SummaryNetworkSettings,
};
