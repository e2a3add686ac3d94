//! The volumes of an engine, for those who look at them and make them by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::event::{Action, Subject};
use crate::rooms::{self, Rooms};

/// What a volume is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Its name; made up when absent.
    pub name: Option<String>,
    /// The driver, `local` when empty; there is no other.
    pub driver: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeView {
    /// Its name.
    pub name: String,
    /// Whether nobody named it.
    pub anonymous: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Its directory on the host.
    pub path: PathBuf,
}

/// The volumes of an engine.
#[derive(Debug)]
pub struct Volumes {
    rooms: Arc<Rooms>,
}

impl Volumes {
    pub(crate) fn new(rooms: Arc<Rooms>) -> Self {
        Self { rooms }
    }

    /// Makes a volume; one of the same name is given back as it is.
    ///
    /// # Errors
    /// `Invalid` for a name against the rules or an unknown driver.
    pub async fn create(&self, spec: VolumeSpec) -> Result<VolumeView> {
        if !matches!(spec.driver.as_str(), "" | "local") {
            let driver = spec.driver;
            return Err(Error::Invalid(format!(
                "error looking up volume plugin {driver}: plugin \"{driver}\" not found"
            )));
        }
        self.rooms
            .blocking("create volume", move |rooms| {
                let VolumeSpec { name, labels, options, .. } = spec;
                let wanted = storage::NewVolume { name, labels, options };
                let name = wanted.name.clone().unwrap_or_default();
                let (volume, new) = rooms
                    .store
                    .volumes()
                    .create(&wanted)
                    .map_err(|error| rooms::storage("create volume", &name, error))?;
                if new {
                    announce(rooms, Action::Create, &volume.name);
                }
                Ok(view(rooms, volume))
            })
            .await
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn list(&self) -> Result<Vec<VolumeView>> {
        self.rooms
            .blocking("list volumes", |rooms| {
                let volumes = rooms.store.volumes().list();
                let volumes = volumes.map_err(|error| rooms::storage("list", "volumes", error))?;
                Ok(volumes.into_iter().map(|volume| view(rooms, volume)).collect())
            })
            .await
    }

    /// One volume.
    ///
    /// # Errors
    /// `NoSuchVolume`.
    pub async fn inspect(&self, name: &str) -> Result<VolumeView> {
        let name = name.to_owned();
        self.rooms
            .blocking("inspect volume", move |rooms| {
                let volume = rooms.store.volumes().get(&name);
                Ok(view(rooms, volume.map_err(|error| missing(&name, error))?))
            })
            .await
    }

    /// Removes a volume with what is in it. Whether a container uses it is for the caller to know.
    ///
    /// # Errors
    /// `NoSuchVolume`.
    pub(crate) async fn remove(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.rooms
            .blocking("remove volume", move |rooms| {
                rooms.store.volumes().remove(&name).map_err(|error| missing(&name, error))?;
                announce(rooms, Action::Destroy, &name);
                Ok(())
            })
            .await
    }

    /// Bytes in a volume.
    ///
    /// # Errors
    /// `NoSuchVolume`; when it cannot be read.
    pub async fn usage(&self, name: &str) -> Result<u64> {
        let name = name.to_owned();
        self.rooms
            .blocking("measure volume", move |rooms| {
                let usage = rooms.store.volumes().usage(&name);
                usage.map(|usage| usage.size).map_err(|error| missing(&name, error))
            })
            .await
    }
}

fn announce(rooms: &Rooms, action: Action, name: &str) {
    let attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
    rooms.events.publish(Subject::Volume, action, name, attributes);
}

fn missing(name: &str, error: storage::Error) -> Error {
    if error.kind() == stdx::ErrorKind::NotFound {
        return Error::NoSuchVolume(name.to_owned());
    }
    rooms::storage("use volume", name, error)
}

fn view(rooms: &Rooms, volume: storage::Volume) -> VolumeView {
    let path = rooms.store.volumes().path(&volume.name);
    VolumeView {
        name: volume.name,
        anonymous: volume.anonymous,
        labels: volume.labels,
        options: volume.options,
        created: volume.created,
        path,
    }
}
