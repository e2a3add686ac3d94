//! Small documents into the store.

use std::io::Write as _;

use oci::Digest;
use storage::Store;

/// Writes a document whose digest is known already, of whatever algorithm.
pub(super) fn write(store: &Store, digest: &Digest, bytes: &[u8]) -> storage::Result<()> {
    if store.content().has(digest) {
        return Ok(());
    }
    let mut writer = store.content().writer(digest, Some(bytes.len() as u64))?;
    writer.restart()?;
    writer.write_all(bytes).map_err(|source| storage::Error::Io {
        operation: "write",
        path: digest.as_str().into(),
        source,
    })?;
    writer.commit()
}
