//! Mount options as a bundle spells them (config.md, "Linux mount options"; mount(8)).

use std::path::PathBuf;

use linux::mount::{AccessTime, Attributes, Propagation};

/// What a list of mount options means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// `bind` or `rbind`.
    pub bind: Option<Recursion>,
    /// `remount`: change what is mounted there.
    pub remount: bool,
    /// `tmpcopyup`: begin a tmpfs with what the image has there.
    pub copy_up: bool,
    /// For the mount itself.
    pub attributes: Attributes,
    /// For the mount and all below it (`rro`, …).
    pub recursive: Attributes,
    /// `idmap` or `ridmap`: its files' ids are mapped.
    pub id_map: Option<Recursion>,
    /// [`BENEATH`]: the directory that the source of a bind mount must not lead out of.
    pub beneath: Option<PathBuf>,
    /// How it spreads.
    pub propagation: Option<(Propagation, Recursion)>,
    /// What is left for the file system.
    pub file_system: Vec<String>,
}

/// Whether the mounts below are meant too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recursion {
    /// This mount only.
    Single,
    /// All below too.
    Recursive,
}

/// An option of our own: links on the way from this directory to the source, which is below it, are
/// resolved inside of it. For a source in what others can write, who could exchange a directory for a
/// link that leads out (CVE-2017-1002101, CVE-2021-25741). To mount(8), `X-` is a comment.
const BENEATH: &str = "X-brig.beneath=";

/// What one word changes.
type Change = fn(&mut MountOptions);

/// What one word changes of a mount's attributes.
type AttributeChange = fn(&mut Attributes);

/// Words about how something is mounted.
const KINDS: [(&str, Change); 20] = [
    ("bind", |options| options.bind = Some(Recursion::Single)),
    ("rbind", |options| options.bind = Some(Recursion::Recursive)),
    ("remount", |options| options.remount = true),
    ("tmpcopyup", |options| options.copy_up = true),
    ("idmap", |options| options.id_map = Some(Recursion::Single)),
    ("ridmap", |options| options.id_map = Some(Recursion::Recursive)),
    // The defaults, and what has no meaning for a kernel or a mount of today.
    ("", |_| ()),
    ("defaults", |_| ()),
    ("auto", |_| ()),
    ("noauto", |_| ()),
    ("user", |_| ()),
    ("nouser", |_| ()),
    ("_netdev", |_| ()),
    ("nofail", |_| ()),
    ("loud", |_| ()),
    ("silent", |_| ()),
    ("iversion", |_| ()),
    ("noiversion", |_| ()),
    ("mand", |_| ()),
    ("nomand", |_| ()),
];

/// Words about how mounts spread; with `r` before them, about those below too.
const PROPAGATIONS: [(&str, Propagation); 4] = [
    ("private", Propagation::Private),
    ("shared", Propagation::Shared),
    ("slave", Propagation::Slave),
    ("unbindable", Propagation::Unbindable),
];

/// Words about the attributes of a mount; with `r` before them, of those below too.
const ATTRIBUTES: [(&str, AttributeChange); 18] = [
    ("ro", |attributes| attributes.read_only = Some(true)),
    ("rw", |attributes| attributes.read_only = Some(false)),
    ("nosuid", |attributes| attributes.no_set_user_id = Some(true)),
    ("suid", |attributes| attributes.no_set_user_id = Some(false)),
    ("nodev", |attributes| attributes.no_devices = Some(true)),
    ("dev", |attributes| attributes.no_devices = Some(false)),
    ("noexec", |attributes| attributes.no_execute = Some(true)),
    ("exec", |attributes| attributes.no_execute = Some(false)),
    ("nosymfollow", |attributes| attributes.no_symlink_follow = Some(true)),
    ("symfollow", |attributes| attributes.no_symlink_follow = Some(false)),
    ("nodiratime", |attributes| attributes.no_directory_access_time = Some(true)),
    ("diratime", |attributes| attributes.no_directory_access_time = Some(false)),
    ("noatime", |attributes| attributes.access_time = Some(AccessTime::Never)),
    ("atime", |attributes| attributes.access_time = Some(AccessTime::Relative)),
    ("relatime", |attributes| attributes.access_time = Some(AccessTime::Relative)),
    ("nostrictatime", |attributes| attributes.access_time = Some(AccessTime::Relative)),
    ("strictatime", |attributes| attributes.access_time = Some(AccessTime::Strict)),
    ("norelatime", |attributes| attributes.access_time = Some(AccessTime::Strict)),
];

/// Words that every file system understands, and no bind mount.
const OF_FILE_SYSTEMS: [&str; 7] =
    ["acl", "async", "dirsync", "lazytime", "noacl", "nolazytime", "sync"];

/// Every word that is understood, in the order of the alphabet; file systems may know others.
#[must_use]
pub fn mount_options() -> Vec<String> {
    let recursive = |name: &&str| [(*name).to_owned(), format!("r{name}")];
    let propagations = PROPAGATIONS.iter().map(|(name, _)| name);
    let attributes = ATTRIBUTES.iter().map(|(name, _)| name);
    let kinds = KINDS.iter().map(|(name, _)| (*name).to_owned()).filter(|name| !name.is_empty());
    let mut all: Vec<String> =
        propagations.chain(attributes).flat_map(recursive).chain(kinds).collect();
    all.extend(OF_FILE_SYSTEMS.map(str::to_owned));
    all.sort();
    all
}

/// Reads the options in order; a later one overrules an earlier one.
pub(crate) fn parse(options: &[String]) -> MountOptions {
    let mut parsed = MountOptions::default();
    for option in options {
        if let Some((_, change)) = KINDS.iter().find(|(name, _)| name == option) {
            change(&mut parsed);
        } else if let Some(found) = propagation(option) {
            parsed.propagation = Some(found);
        } else if let Some(change) = attribute(option) {
            change(&mut parsed.attributes);
        } else if let Some(change) = option.strip_prefix('r').and_then(attribute) {
            change(&mut parsed.recursive);
        } else if let Some(directory) = option.strip_prefix(BENEATH) {
            parsed.beneath = Some(PathBuf::from(directory));
        } else {
            parsed.file_system.push(option.clone());
        }
    }
    parsed
}

/// `private`, `rprivate`, ….
pub(crate) fn propagation(word: &str) -> Option<(Propagation, Recursion)> {
    let (bare, recursion) = match word.strip_prefix('r') {
        Some(bare) => (bare, Recursion::Recursive),
        None => (word, Recursion::Single),
    };
    let found = PROPAGATIONS.iter().find(|(name, _)| *name == bare);
    found.map(|(_, propagation)| (*propagation, recursion))
}

fn attribute(word: &str) -> Option<AttributeChange> {
    ATTRIBUTES.iter().find(|(name, _)| *name == word).map(|(_, change)| *change)
}

#[cfg(test)]
mod tests {
    use super::{Recursion, parse};
    use linux::mount::{AccessTime, Propagation};

    fn words(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn the_directory_that_a_source_is_below() {
        let parsed = parse(&words("rbind,X-brig.beneath=/v/_data,ro"));
        assert_eq!(parsed.beneath.as_deref(), Some(std::path::Path::new("/v/_data")));
        assert_eq!(parse(&words("X-other")).file_system, ["X-other"]);
    }

    #[test]
    fn options_of_a_volume() {
        let parsed = parse(&words("rbind,rprivate,ro,nosuid,rw,rro,ridmap"));
        assert_eq!(parsed.bind, Some(Recursion::Recursive));
        assert_eq!(parsed.propagation, Some((Propagation::Private, Recursion::Recursive)));
        assert_eq!(parsed.attributes.read_only, Some(false));
        assert_eq!(parsed.recursive.read_only, Some(true));
        assert_eq!(parsed.attributes.no_set_user_id, Some(true));
        assert_eq!(parsed.id_map, Some(Recursion::Recursive));
        assert!(parsed.file_system.is_empty());
    }

    #[test]
    fn every_word_means_something() {
        let all = super::mount_options();
        assert!(all.contains(&"rro".to_owned()) && all.contains(&"rslave".to_owned()));
        assert_eq!(parse(&all).file_system, super::OF_FILE_SYSTEMS);
    }

    #[test]
    fn options_of_a_file_system() {
        let parsed = parse(&words("nosuid,strictatime,mode=755,size=65536k,newinstance"));
        assert_eq!(parsed.attributes.access_time, Some(AccessTime::Strict));
        assert_eq!(parsed.file_system, ["mode=755", "size=65536k", "newinstance"]);
        let parsed = parse(&words("relatime,remount,tmpcopyup"));
        assert_eq!(parsed.attributes.access_time, Some(AccessTime::Relative));
        assert!(parsed.remount && parsed.copy_up);
    }
}
