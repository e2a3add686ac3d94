//! What a pull or a load tells while it goes on.

use oci::{Digest, Reference};

/// What is done with one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerStatus {
    /// Known, its turn has not come.
    PullingFsLayer,
    /// Others are fetched first.
    Waiting,
    /// Bytes of the blob arrive: current of total compressed bytes.
    Downloading,
    /// The connection broke or the registry asks to wait; it is tried again.
    Retrying,
    /// The blob is complete and has its digest.
    DownloadComplete,
    /// Its files are written: current of total compressed bytes read.
    Extracting,
    /// It is on disk, durably.
    PullComplete,
    /// A layer of an archive is read: current of total bytes.
    Loading,
    /// It was here before.
    AlreadyExists,
}

impl LayerStatus {
    /// Whether it comes with numbers.
    #[must_use]
    pub const fn counts(self) -> bool {
        matches!(self, Self::Downloading | Self::Extracting | Self::Loading)
    }

    /// The words people know.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PullingFsLayer => "Pulling fs layer",
            Self::Waiting => "Waiting",
            Self::Downloading => "Downloading",
            Self::Retrying => "Retrying",
            Self::DownloadComplete => "Download complete",
            Self::Extracting => "Extracting",
            Self::PullComplete => "Pull complete",
            Self::Loading => "Loading layer",
            Self::AlreadyExists => "Already exists",
        }
    }
}

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageEvent {
    /// The registry is asked for this reference (`Pulling from library/python`, id = tag).
    Resolving {
        /// What is pulled.
        reference: Reference,
    },
    /// A layer's status or progress.
    Layer {
        /// Twelve hexadecimal digits of the blob's digest.
        id: String,
        /// What is done with it.
        status: LayerStatus,
        /// Bytes done, where the status counts.
        current: u64,
        /// Bytes in all, where the status counts; 0 = unknown.
        total: u64,
    },
    /// The whole image is here (`Digest: …`, `Status: …`).
    Pulled {
        /// What was pulled.
        reference: Reference,
        /// The digest that the name stood for: an index's or a manifest's.
        digest: Digest,
        /// The image's id.
        image: Digest,
        /// Whether anything changed (`Downloaded newer image` or `Image is up to date`).
        changed: bool,
    },
    /// An archive's image is here (`Loaded image: …`).
    Loaded {
        /// The image's id.
        image: Digest,
        /// Its name in the archive; `None` for one without a name (`Loaded image ID: …`).
        reference: Option<Reference>,
    },
}
