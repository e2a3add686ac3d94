//! Control groups by way of systemd: a container is a scope, a transient unit that systemd makes and
//! forgets (`org.freedesktop.systemd1`(5)).
//!
//! ```text
//! Unit::of        slice:prefix:name ──▶ prefix-name.scope in slice, and where its group is
//! Unit::begin     a process that only waits ──▶ StartTransientUnit ──▶ JobRemoved: the group is there
//!                 the container is born into it, and the one that waited ends
//! Change::tell    what the group's files say ──▶ SetUnitProperties, so that a reload keeps it
//! stop            StopUnit, ResetFailedUnit
//! ```
//! A unit cannot begin without a process. With one that waits in its place, the container's own can be
//! born in the group as in any other, and its limits hold before there is anything to be limited.

mod bus;
mod property;

use std::cell::Cell;
use std::convert::Infallible;

use linux::cgroup::{Group, Layout, Mode};
use linux::process::{PidFd, SingleThreaded};
use oci::runtime::Spec;

use self::bus::{Bus, Refusal};
use self::property::Property;
use crate::Error;

/// What systemd calls the unit when it is to be known by name alone.
const DEFAULT: (&str, &str) = ("system.slice", "brig");

/// Longer ones are refused by systemd (`UNIT_NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// A scope that a container is to be.
#[derive(Debug)]
pub struct Unit {
    name: String,
    slice: String,
    cgroup: String,
    /// Of the annotations `org.systemd.property.NAME`.
    properties: Vec<Property>,
    /// Whether systemd has begun to make it for us: otherwise it is another container's.
    is_ours: Cell<bool>,
}

impl Unit {
    /// As `linux.cgroupsPath` says: `slice:prefix:name`; `system.slice:brig:ID` when it is absent.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one of another form, and for annotations that are no properties.
    pub fn of(id: &str, spec: &Spec) -> Result<Self, Error> {
        let path = spec.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
        let (slice, name) = match path.filter(|path| !path.is_empty()) {
            None => (DEFAULT.0, format!("{}-{id}.scope", DEFAULT.1)),
            Some(path) => names(path)?,
        };
        let slice = if slice.is_empty() { DEFAULT.0 } else { slice };
        let cgroup = format!("{}/{name}", expand(slice)?);
        let properties = property::of_annotations(&spec.annotations)?;
        let is_ours = Cell::new(false);
        Ok(Self { name, slice: slice.to_owned(), cgroup, properties, is_ours })
    }

    /// Its name, by which [`Change`] and [`stop`] know it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its control group is.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// Ends it if it has begun.
    ///
    /// # Errors
    /// As [`stop`].
    pub fn stop(&self) -> Result<(), Error> {
        if self.is_ours.replace(false) { stop(&self.name) } else { Ok(()) }
    }

    /// Has systemd make the unit; whoever is to be in its group has to be there before the keeper goes.
    pub(crate) fn begin(
        &self,
        token: &SingleThreaded,
        layout: &'static Layout,
    ) -> Result<(Group, Keeper), Error> {
        if layout.mode() != Mode::Unified {
            return Err(Error::unsupported("control groups by way of systemd without cgroup v2"));
        }
        let mut bus = Bus::connect()?;
        let keeper = Keeper::spawn(token)?;
        let pid = keeper.process.pid().as_raw_nonzero().get().unsigned_abs();
        let mut properties = property::of_scope(&self.slice, pid);
        properties.extend(self.properties.iter().cloned());
        self.start(&mut bus, &properties).map_err(|error| error.about("start", &self.name))?;
        Ok((Group::open(layout, &self.cgroup)?, keeper))
    }

    fn start(&self, bus: &mut Bus, properties: &[Property]) -> Result<(), Refusal> {
        let job = bus.start_transient(&self.name, properties).or_else(|error| {
            if !error.is(bus::EXISTS) {
                return Err(error);
            }
            // One that has failed may stay until somebody says that it was seen, or go by itself.
            match bus.reset_failed(&self.name) {
                Err(error) if !error.is(bus::UNKNOWN) => return Err(error),
                _ => {}
            }
            bus.start_transient(&self.name, properties)
        })?;
        self.is_ours.set(true);
        bus.await_job(&job)
    }
}

/// Whoever changes the limits of a unit's group: systemd has to hear of it, as it would otherwise set
/// its own ones again when it reloads.
#[derive(Debug)]
pub struct Change<'a> {
    unit: &'a str,
    bus: Bus,
}

impl<'a> Change<'a> {
    /// Before the first limit is changed: nothing shall be that systemd cannot be told of.
    ///
    /// # Errors
    /// [`Error::Systemd`] when it is out of reach.
    pub fn begin(unit: &'a str) -> Result<Self, Error> {
        Ok(Self { unit, bus: Bus::connect()? })
    }

    /// Tells the limits that the group has by now.
    ///
    /// # Errors
    /// [`Error::Systemd`] when it does not take them.
    pub fn tell(mut self, group: &Group) -> Result<(), Error> {
        let told = self.bus.set_properties(self.unit, &property::of_limits(group)?);
        told.map_err(|error| error.about("change", self.unit))
    }
}

/// Ends a unit, and makes systemd forget it. One that is no more has ended.
///
/// # Errors
/// [`Error::Systemd`].
pub fn stop(name: &str) -> Result<(), Error> {
    let mut bus = Bus::connect()?;
    for result in [bus.stop(name), bus.reset_failed(name)] {
        match result {
            Err(error) if !error.is(bus::UNKNOWN) => return Err(error.about("stop", name)),
            _ => {}
        }
    }
    Ok(())
}

/// A process that only keeps a unit from ending.
#[derive(Debug)]
pub(crate) struct Keeper {
    process: PidFd,
}

impl Keeper {
    fn spawn(token: &SingleThreaded) -> Result<Self, Error> {
        let wait = || -> Infallible {
            // Nobody is to be waited for whose runtime was killed.
            let kill = Some(rustix::process::Signal::KILL);
            if rustix::process::set_parent_process_death_signal(kill).is_err() {
                linux::process::exit(1);
            }
            loop {
                rustix::event::pause();
            }
        };
        Ok(Self { process: linux::process::spawn(token, wait)? })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        crate::create::end(&self.process);
    }
}

/// Slice and unit name of `slice:prefix:name`.
fn names(path: &str) -> Result<(&str, String), Error> {
    let wrong = |reason: &str| {
        let reason = format!("{path:?} {reason}");
        Err(Error::invalid("linux.cgroupsPath", reason))
    };
    let parts: Vec<&str> = path.split(':').collect();
    let [slice, prefix, name] = parts[..] else {
        return wrong("is not of the form slice:prefix:name, which --systemd-cgroup wants");
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-@\\".contains(c);
    if name.is_empty() || !prefix.chars().chain(name.chars()).all(allowed) {
        return wrong("has a name that no unit can have");
    }
    if name.ends_with(".slice") {
        return wrong("names a slice, and a container is a scope");
    }
    if is_escaped(prefix) || prefix.is_empty() && is_escaped(name) {
        return wrong("begins as systemd lets no group begin");
    }
    let dash = if prefix.is_empty() { "" } else { "-" };
    let full = format!("{prefix}{dash}{name}.scope");
    if full.len() > LONGEST_NAME {
        return wrong("is too long for the name of a unit");
    }
    Ok((slice, full))
}

/// Whether systemd would call the group otherwise than the unit, so that it is not one of the kernel's
/// own files (`cg_escape`).
fn is_escaped(name: &str) -> bool {
    name.starts_with(['_', '.']) || name.starts_with("cgroup.")
}

/// The path of a slice's group: `a-b.slice` is in `a.slice` (systemd.slice(5)).
fn expand(slice: &str) -> Result<String, Error> {
    let wrong = || Error::invalid("linux.cgroupsPath", format!("{slice:?} is not a slice"));
    let base = slice.strip_suffix(".slice").ok_or_else(wrong)?;
    if base == "-" {
        return Ok(String::new());
    }
    if is_escaped(base) {
        return Err(wrong());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.:\\@".contains(c);
    let mut path = String::new();
    let mut name = String::new();
    for part in base.split('-') {
        if part.is_empty() || !part.chars().all(allowed) {
            return Err(wrong());
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(part);
        path.push_str(&format!("/{name}.slice"));
    }
    Ok(path)
}

impl From<bus::Refusal> for Error {
    fn from(refusal: bus::Refusal) -> Self {
        Self::Systemd { message: refusal.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Unit, expand};
    use oci::runtime::{Linux, Spec};

    fn unit(path: &str) -> Result<Unit, crate::Error> {
        let linux = Linux { cgroups_path: Some(path.to_owned()), ..Linux::default() };
        Unit::of("x", &Spec { linux: Some(linux), ..Spec::default() })
    }

    #[test]
    fn slices_lie_in_slices() {
        assert_eq!(expand("-.slice").unwrap(), "");
        assert_eq!(expand("a.slice").unwrap(), "/a.slice");
        assert_eq!(expand("a-b-c.slice").unwrap(), "/a.slice/a-b.slice/a-b-c.slice");
        for wrong in
            ["", "a", ".slice", "-a.slice", "a--b.slice", "a-.slice", "a/b.slice", "../a.slice"]
        {
            assert!(expand(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn units_have_names_and_groups() {
        let of = |path: &str| unit(path).ok().map(|unit| (unit.name, unit.cgroup));
        let found = |name: &str, cgroup: &str| Some((name.to_owned(), cgroup.to_owned()));
        assert_eq!(of(""), found("brig-x.scope", "/system.slice/brig-x.scope"));
        assert_eq!(of(":p:n"), found("p-n.scope", "/system.slice/p-n.scope"));
        assert_eq!(of("a-b.slice::n"), found("n.scope", "/a.slice/a-b.slice/n.scope"));
        assert_eq!(of("-.slice:p:n"), found("p-n.scope", "/p-n.scope"));
        let long = format!("a.slice:p:{}", "n".repeat(250));
        for wrong in [
            "/a/b",
            "a.slice:b",
            "a.slice:b:c:d",
            "a.slice:p:",
            "a:p:n",
            "a.slice:p:n/m",
            "a.slice:p:n.slice",
            "a.slice:../p:n",
            "a.slice::_n",
            "a.slice:.p:n",
            "cgroup.x.slice:p:n",
            "_a.slice:p:n",
            "a.slice:p:n\n",
            &long,
        ] {
            assert!(unit(wrong).is_err(), "{wrong:?}");
        }
    }
}
