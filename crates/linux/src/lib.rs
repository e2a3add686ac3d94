//! Safe interfaces to the kernel: namespaces, mounts, paths, cgroups, seccomp, capabilities, netlink. The only `unsafe`.

pub mod bind;
pub mod capability;
pub mod cgroup;
pub mod conntrack;
mod error;
pub mod event;
pub mod exit_record;
pub mod footprint;
pub mod handover;
pub mod inherit;
pub mod inotify;
pub mod landlock;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod nftables;
pub mod path;
pub mod process;
pub mod procfs;
pub mod pty;
pub mod route;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod signal_name;
pub mod socket;
pub mod title;

pub use error::{Error, advice};
