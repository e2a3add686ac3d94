//! What can go wrong with images. Cloneable: everybody who waits for one pull gets its failure.

use std::sync::Arc;

use stdx::ErrorKind;

/// An operation on images failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImageError {
    /// The registry, or the way to it.
    #[error(transparent)]
    Registry(registry::Error),
    /// The store refused or failed.
    #[error("cannot {operation} {object}")]
    Storage {
        /// What was attempted: a verb phrase.
        operation: &'static str,
        /// On what.
        object: String,
        /// Why.
        #[source]
        source: Arc<storage::Error>,
    },
    /// A layer's archive cannot be unpacked.
    #[error(transparent)]
    Layer(Arc<storage::Error>),
    /// The bytes of a layer are not those its manifest names.
    #[error("filesystem layer verification failed for digest {digest}")]
    Verification {
        /// The layer's digest.
        digest: String,
        /// What is wrong with them.
        #[source]
        source: Arc<storage::Error>,
    },
    /// A layer's bytes cannot be written or read on this machine.
    #[error("cannot {operation} {object}")]
    Io {
        /// What was attempted: a verb phrase.
        operation: &'static str,
        /// On what.
        object: String,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// An archive to load is not what it should be.
    #[error("invalid image archive: {reason}")]
    Archive {
        /// What is wrong with it.
        reason: String,
    },
    /// The image is for another platform than the one asked for.
    #[error(
        "image with reference {image} was found but its platform ({actual}) does not match the specified platform ({wanted})"
    )]
    Platform {
        /// The image.
        image: String,
        /// The platform asked for.
        wanted: String,
        /// The image's.
        actual: String,
    },
    /// A mistake of this program ended it.
    #[error("{operation} of {object} ended unexpectedly")]
    Broken {
        /// `pull` or `load`.
        operation: &'static str,
        /// The image, or "archive".
        object: String,
    },
    /// Everybody who waited has gone, or the engine closes.
    #[error("{operation} of {object} was cancelled")]
    Cancelled {
        /// `pull` or `load`.
        operation: &'static str,
        /// The image, or "archive".
        object: String,
    },
}

impl ImageError {
    /// The kind that callers act on.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Registry(error) => error.kind(),
            Self::Storage { source, .. } | Self::Layer(source) => source.kind(),
            Self::Verification { .. } | Self::Broken { .. } => ErrorKind::Internal,
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Archive { .. } => ErrorKind::InvalidInput,
            Self::Platform { .. } => ErrorKind::NotFound,
            Self::Cancelled { .. } => ErrorKind::Cancelled,
        }
    }

    /// What the user can do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Storage { source, .. }
            | Self::Layer(source)
            | Self::Verification { source, .. } => source.hint(),
            Self::Io { .. }
            | Self::Archive { .. }
            | Self::Platform { .. }
            | Self::Broken { .. }
            | Self::Cancelled { .. } => None,
        }
    }

    pub(super) fn storage(
        operation: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(storage::Error) -> Self {
        move |source| Self::Storage { operation, object: object.into(), source: Arc::new(source) }
    }

    pub(super) fn io(
        operation: &'static str,
        object: impl Into<String>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { operation, object: object.into(), source: Arc::new(source) }
    }
}

/// The result of an operation on images within this module.
pub(super) type Result<T, E = ImageError> = std::result::Result<T, E>;
