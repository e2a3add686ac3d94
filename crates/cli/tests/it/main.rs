//! End to end: the built binary on the real kernel, driven by itself, the stock docker CLI,
//! docker-py and a real registry. Every test has a root of its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests fail by panicking, also in functions that they share"
)]

mod copy;
mod crashes;
mod daemon;
mod damage;
mod docker_cli;
mod docker_py;
mod ends;
mod escapes;
mod faults;
mod hello;
mod images;
mod init;
mod leaks;
mod messages;
mod names;
mod oci_activation;
mod oci_checkpoint;
mod oci_engines;
mod oci_face;
mod oci_faults;
mod oci_flags;
mod oci_missing;
mod oci_short;
mod oci_strangers;
mod options;
mod same_output;
mod scenario;
mod streams;
mod vm;
mod vm_checkpoint;
mod vm_labels;
mod vm_old_kernel;
mod vm_runtime;
mod vm_systemd;
mod watching;

/// The program under test.
const BRIG: &str = env!("CARGO_BIN_EXE_brig");
