//! The store as a whole.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use stdx::fs::{Durability, write_atomic};

use crate::garbage::{self, Leases};
use crate::images;
use crate::layers::Directories;
use crate::lock::RootLock;
use crate::ownership;
use crate::pending::{self, Pending};
use crate::snapshots;
use crate::trash::{Trash, make_directory};
use crate::{
    Collected, Content, Error, Images, Layout, Lease, Records, Result, Snapshots, Snapshotter,
    Transient, Volumes,
};

/// Names everything this instance makes in the kernel, so that two instances never meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceId {
    text: String,
}

impl InstanceId {
    /// 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first six digits, as in the names of links and tables.
    #[must_use]
    pub fn short(&self) -> &str {
        self.text.get(..6).unwrap_or_default()
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A data directory and a run directory, opened.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    instance: InstanceId,
    first_of_boot: bool,
    content: Content,
    layers: Arc<Directories>,
    snapshots: Snapshots,
    images: Images,
    volumes: Volumes,
    records: Arc<Records>,
    transient: Transient,
    pending: Arc<Pending>,
    leases: Arc<Leases>,
    trash: Arc<Trash>,
    _lock: RootLock,
}

impl Store {
    /// Opens the store, makes what is missing, takes the life-long lock, and throws away what an
    /// earlier boot or a crash left unfinished.
    ///
    /// The run directory is emptied at the first opening after a boot, so sockets in it are to be
    /// made afterwards.
    ///
    /// # Errors
    /// [`Error::Foreign`] when somebody else's files are there, [`Error::InUse`] when another daemon
    /// has it, [`Error::NewerSchema`], or an operating-system error.
    pub fn open(layout: Layout) -> Result<Self> {
        ownership::check(&layout)?;
        make_directory(&layout.data, 0o710)?;
        let lock = RootLock::take(&layout.data)?;
        // From here on the directories are known to be ours.
        let instance = instance(&layout)?;
        make_directories(&layout)?;
        let trash = Arc::new(Trash::open(layout.trash())?);
        let boot = stdx::boot::id().map_err(|source| {
            Error::io("read", Path::new("/proc/sys/kernel/random/boot_id"), source)
        })?;
        discard_unfinished(&layout, &trash, &boot)?;
        let first_of_boot = enter_boot(&layout, &boot)?;
        let leases = Arc::<Leases>::default();
        let pending = Arc::new(Pending::new(&layout));
        let layers = Arc::new(Directories::new(&layout, Arc::clone(&trash), Arc::clone(&leases)));
        let records = Arc::new(Records::open(&layout.records())?);
        let parts = snapshots::Parts {
            layers: Arc::clone(&layers),
            pending: Arc::clone(&pending),
            trash: Arc::clone(&trash),
            leases: Arc::clone(&leases),
        };
        let content = Content::new(layout.content(), Arc::clone(&leases));
        Ok(Self {
            instance,
            first_of_boot,
            snapshots: Snapshots::new(&layout, parts),
            images: Images::new(images::Parts {
                records: Arc::clone(&records),
                content: content.clone(),
                layers: Arc::clone(&layers),
                pending: Arc::clone(&pending),
                leases: Arc::clone(&leases),
                trash: Arc::clone(&trash),
            }),
            content,
            volumes: Volumes::new(layout.volumes(), Arc::clone(&records), Arc::clone(&trash)),
            transient: Transient::new(layout.run.join("records")),
            records,
            layers,
            pending,
            leases,
            trash,
            layout,
            _lock: lock,
        })
    }

    /// Where everything lies.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// This instance's id.
    #[must_use]
    pub const fn instance(&self) -> &InstanceId {
        &self.instance
    }

    /// Whether this is the first time the store is open since the machine started.
    #[must_use]
    pub const fn is_first_of_boot(&self) -> bool {
        self.first_of_boot
    }

    /// Blobs.
    #[must_use]
    pub const fn content(&self) -> &Content {
        &self.content
    }

    /// Layers.
    #[must_use]
    pub fn layers(&self) -> &dyn Snapshotter {
        &*self.layers
    }

    /// Containers' own files.
    #[must_use]
    pub const fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Images.
    #[must_use]
    pub const fn images(&self) -> &Images {
        &self.images
    }

    /// Volumes.
    #[must_use]
    pub const fn volumes(&self) -> &Volumes {
        &self.volumes
    }

    /// Durable records.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Records that end with the boot.
    #[must_use]
    pub const fn transient(&self) -> &Transient {
        &self.transient
    }

    /// Makes every blob and layer committed so far durable, by one `syncfs`.
    ///
    /// # Errors
    /// When the file system reports an error.
    pub fn sync(&self) -> Result<()> {
        self.pending.sync(&self.trash)
    }

    /// Keeps content and layers from being collected as long as the lease lives.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.leases.take()
    }

    /// Removes blobs, layers and snapshots that no image and no container refers to and no lease
    /// keeps. `exists` says whether a container of that id exists. Space is free once the trash is
    /// empty.
    ///
    /// # Errors
    /// When something cannot be read or renamed; what could be removed is.
    pub fn collect_garbage(&self, exists: &dyn Fn(&str) -> bool) -> Result<Collected> {
        garbage::collect(
            &garbage::Parts {
                images: &self.images,
                content: &self.content,
                layers: &self.layers,
                snapshots: &self.snapshots,
                leases: &self.leases,
            },
            exists,
        )
    }

    /// Renames a file or directory under the data directory into the trash; says whether it was
    /// there.
    ///
    /// # Errors
    /// When the rename fails; what does not exist is no error.
    pub fn discard(&self, path: &Path) -> Result<bool> {
        self.trash.take(path)
    }

    /// Removes what was thrown away; for a thread of its own, since it may take long. Returns how
    /// many things it removed.
    ///
    /// # Errors
    /// The first thing that could not be removed, after trying all.
    pub fn empty_trash(&self) -> Result<usize> {
        self.trash.empty()
    }
}

fn make_directories(layout: &Layout) -> Result<()> {
    let (content, layers) = (layout.content(), layout.layers());
    for (path, mode) in [
        (content.clone(), 0o700),
        (content.join("pending"), 0o700),
        (content.join("partial"), 0o700),
        (layers.clone(), 0o710),
        (layers.join("pending"), 0o710),
        (layers.join("partial"), 0o710),
        (layers.join("empty"), 0o755),
        (layout.snapshots(), 0o710),
        (layout.data.join("containers"), 0o710),
        (layout.volumes(), 0o711),
        (layout.trash(), 0o700),
        (layout.run.clone(), 0o711),
    ] {
        make_directory(&path, mode)?;
    }
    spread_over_disk(&layers.join("partial"));
    Ok(())
}

/// Asks ext4 to put each new directory in here into a part of the disk of its own, as it does for
/// the directories at its top (chattr(1), `T`). Otherwise a layer lands where the last one was
/// removed, and ext4 does not give out inodes freed within the last minute but looks at each of
/// them for every file it makes: seconds become tens of seconds. Other file systems know no such
/// flag, which does no harm.
fn spread_over_disk(directory: &Path) {
    const TOP_OF_HIERARCHY: rustix::fs::IFlags = rustix::fs::IFlags::from_bits_retain(0x2_0000);
    let flags = fs::File::open(directory).map(|directory| {
        rustix::fs::ioctl_getflags(&directory)
            .and_then(|flags| rustix::fs::ioctl_setflags(&directory, flags | TOP_OF_HIERARCHY))
    });
    if let Err(error) | Ok(Err(error)) = flags.map(|set| set.map_err(io::Error::from)) {
        tracing::debug!(%error, "the file system does not spread directories");
    }
}

/// What was being unpacked when the process ended is of no use; what was written but not synced
/// when the machine ended cannot be trusted.
fn discard_unfinished(layout: &Layout, trash: &Trash, boot: &str) -> Result<()> {
    let (content, layers) = (layout.content(), layout.layers());
    for name in pending::names(&layers.join("partial"))? {
        trash.take(&layers.join("partial").join(name))?;
    }
    let same_boot = read(&layout.data.join("boot"))?.as_deref() == Some(boot);
    for directory in [content.join("pending"), content.join("partial"), layers.join("pending")] {
        for name in pending::names(&directory)? {
            // A name with a dot belonged to a writer that nobody can resume.
            if !same_boot || name.contains('.') {
                trash.take(&directory.join(name))?;
            }
        }
    }
    if same_boot { Ok(()) } else { write(&layout.data.join("boot"), boot, Durability::Durable) }
}

/// Removes from the run directory what an earlier boot left there; says whether it was another.
fn enter_boot(layout: &Layout, boot: &str) -> Result<bool> {
    let path = layout.run.join("boot");
    if read(&path)?.as_deref() == Some(boot) {
        return Ok(false);
    }
    for name in pending::names(&layout.run)? {
        if !ownership::is_left_by_a_boot(&name) {
            continue;
        }
        let path = layout.run.join(name);
        let removed = match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        removed.map_err(|source| Error::io("remove", &path, source))?;
    }
    write(&path, boot, Durability::Volatile)?;
    Ok(true)
}

fn instance(layout: &Layout) -> Result<InstanceId> {
    let path = layout.data.join("instance");
    if let Some(text) = read(&path)?.filter(|text| ownership::is_instance(text)) {
        return Ok(InstanceId { text });
    }
    let text = stdx::hex::encode(&stdx::random::bytes::<16>());
    write(&path, &text, Durability::Durable)?;
    Ok(InstanceId { text })
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

fn write(path: &Path, text: &str, durability: Durability) -> Result<()> {
    write_atomic(path, format!("{text}\n").as_bytes(), durability)
        .map_err(|source| Error::io("write", path, source))
}
