//! Effects on the real kernel, in groups, namespaces and directories of the tests' own.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod cgroup;
