//! Everything on disk: content, layers, snapshots, volumes, records, garbage collection.
//!
//! This room alone decides where files lie under the data directory ([`Layout`] draws it), and it
//! keeps two promises:
//!
//! * **What is acknowledged survives a power cut.** A blob or layer is whole or absent: it is
//!   written under a temporary name, verified, and renamed. Until the disk has it, it stays under
//!   `pending/`, from where [`Store::sync`] (called by [`Images::put`]) moves it after one
//!   `syncfs`; an image's record is written after that. So existence outside `pending/` means
//!   "durable", and a start after a reboot throws `pending/` away.
//! * **A stranger's archive writes nowhere else.** Every path in a layer is resolved by the kernel
//!   inside the layer's own directory (`openat2`, `RESOLVE_IN_ROOT`), and a layer that breaks a
//!   rule is removed as a whole.
//!
//! Everything here is synchronous and safe to use from several threads. Two stores on one data
//! directory cannot be open at once.
//!
//! ```text
//! registry ──bytes──▶ content (verified blobs, compressed as they came)
//!                        │ open
//!                        ▼
//!                     layers  (unpacked once per diff id, shared by every image that has it)
//!                        │ prepare_container
//!                        ▼
//!                     snapshots (upper + work per container) ──▶ RootMount, for whoever mounts
//! ```

pub mod archive;
mod content;
mod error;
mod garbage;
mod images;
mod layers;
mod layout;
mod lock;
mod ownership;
mod pending;
mod records;
mod snapshots;
mod store;
mod trash;
mod tree;
mod volumes;

pub use content::{BlobWriter, Content};
pub use error::{ArchiveError, Error, Result};
pub use garbage::{Collected, Lease};
pub use images::{ImageRecord, Images, LayerRecord, Untagged};
pub use layers::{Lower, Snapshotter, UnpackedLayer};
pub use layout::Layout;
pub use lock::StartLock;
pub use records::{Batch, Records, Table, Transient};
pub use snapshots::{RootMount, Snapshots, Usage};
pub use store::{InstanceId, Store};
pub use tree::{Placing, decompressed, pack, place};
pub use volumes::{NewVolume, Volume, Volumes};
