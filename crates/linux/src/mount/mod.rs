//! Mounts by descriptor: the kernel's new mount API (`fsopen`, `fsmount`, `open_tree`,
//! `move_mount`, `mount_setattr`), no path of a container ever resolved as a string.
//!
//! Every mount is first a detached tree held by a descriptor (made by [`FileSystem`], [`overlay`] or
//! [`clone_tree`]), gets its attributes there ([`set_attributes`]), and is then put onto a target that
//! is itself an open descriptor ([`attach`]). A detached tree that is dropped is gone.

mod attribute;
mod file_system;
mod overlay;
mod root;
mod tree;

pub use attribute::{AccessTime, Attributes, Propagation, set_attributes, set_id_map};
pub use file_system::FileSystem;
pub use overlay::{OverlayOptions, overlay};
pub use root::{change_propagation, pivot_root};
pub use tree::{attach, bind, clone_tree, clone_tree_of, detach, is_procfs};
