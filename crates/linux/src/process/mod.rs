//! Processes: making them, waiting for them, and what a new process does to itself before `exec`.
//!
//! Forking is only safe while no other thread exists (another thread may hold the allocator's lock
//! in the copy for ever), so everything that forks wants a [`SingleThreaded`] token, which only a
//! process with one thread can make. A forked child is an ordinary single-threaded program: it may
//! allocate. It never returns into its parent's code.
//!
//! A process is named by its [`PidFd`], never by its number alone: numbers are used again.

mod attribute;
mod clone;
mod credential;
mod entry;
mod executable;
mod id_map;
mod namespace;
mod new_network;
mod pidfd;
mod prefault;
mod program;
mod rlimit;

pub use attribute::{
    close_on_exec_from, join_session_keyring, new_session, reset_signals, reset_signals_of,
    set_child_subreaper, set_dumpable, set_no_new_privileges, set_personality,
};
pub use clone::{CloneOptions, SingleThreaded, clone, spawn};
pub use credential::{Credentials, set_credentials, set_groups, set_identity};
pub use executable::{exec_read_only, is_executable_read_only};
pub use id_map::{map_ids, new_user_namespace};
pub use namespace::{Namespaces, join, join_of, open_of, open_own, unshare, with_own_mounts};
pub use new_network::NewNetwork;
pub use pidfd::{ExitStatus, PidFd};
pub use prefault::prefault;
pub use program::{exec, exit, strings};
pub use rlimit::{Resource, resource_limit, set_resource_limit};

pub use rustix::process::Pid;
