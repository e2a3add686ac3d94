//! The OCI specifications as types and rules: reference, digest, platform, manifest, image
//! configuration, runtime configuration. No I/O.
//!
//! Texts of strangers (manifests, configurations, references) are read here and nowhere else.
//! Parsing never panics, unknown fields are ignored and `null` means "absent" as registries in the
//! wild have it; what we write follows the specifications to the letter.

mod digest;
pub mod image;
pub mod manifest;
mod platform;
mod reference;
pub mod runtime;

pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};
