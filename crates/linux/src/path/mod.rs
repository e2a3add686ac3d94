//! Paths inside a root that somebody else fills: an image, a container, a volume.
//!
//! Nothing here ever resolves such a path as a string on the host. [`Root`] holds the root directory
//! open; the kernel resolves below it (`openat2` with `RESOLVE_IN_ROOT`: absolute symbolic links and
//! `..` stay inside, magic links are refused), and what is found is used by descriptor only. Making
//! directories walks descriptor by descriptor, so no rename in the meantime leads out.

mod copy;
mod root;
mod walk;

pub use copy::copy_tree;
pub use root::{Kind, Root};
pub use rustix::fs::{FileType, Mode, OFlags, Stat};
