//! Mount options as a bundle spells them (config.md, "Linux mount options"; mount(8)).

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

/// Reads the options in order; a later one overrules an earlier one.
pub(crate) fn parse(options: &[String]) -> MountOptions {
    let mut parsed = MountOptions::default();
    for option in options {
        if !apply_kind(&mut parsed, option)
            && !apply_propagation(&mut parsed, option)
            && !apply_attribute(&mut parsed.attributes, option)
            && !apply_recursive(&mut parsed.recursive, option)
        {
            parsed.file_system.push(option.clone());
        }
    }
    parsed
}

fn apply_kind(parsed: &mut MountOptions, option: &str) -> bool {
    match option {
        "bind" => parsed.bind = Some(Recursion::Single),
        "rbind" => parsed.bind = Some(Recursion::Recursive),
        "remount" => parsed.remount = true,
        "tmpcopyup" => parsed.copy_up = true,
        "idmap" => parsed.id_map = Some(Recursion::Single),
        "ridmap" => parsed.id_map = Some(Recursion::Recursive),
        // The defaults, and what has no meaning for a kernel or a mount of today.
        "defaults" | "auto" | "noauto" | "user" | "nouser" | "_netdev" | "nofail" | "loud"
        | "silent" | "iversion" | "noiversion" | "mand" | "nomand" | "" => {}
        _ => return false,
    }
    true
}

fn apply_propagation(parsed: &mut MountOptions, option: &str) -> bool {
    let found = propagation(option);
    if found.is_some() {
        parsed.propagation = found;
    }
    found.is_some()
}

/// `private`, `rprivate`, ….
pub(crate) fn propagation(word: &str) -> Option<(Propagation, Recursion)> {
    let (bare, recursion) = match word.strip_prefix('r') {
        Some(bare) => (bare, Recursion::Recursive),
        None => (word, Recursion::Single),
    };
    let propagation = match bare {
        "private" => Propagation::Private,
        "shared" => Propagation::Shared,
        "slave" => Propagation::Slave,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    };
    Some((propagation, recursion))
}

fn apply_recursive(attributes: &mut Attributes, option: &str) -> bool {
    option.strip_prefix('r').is_some_and(|bare| apply_attribute(attributes, bare))
}

fn apply_attribute(attributes: &mut Attributes, option: &str) -> bool {
    match option {
        "ro" => attributes.read_only = Some(true),
        "rw" => attributes.read_only = Some(false),
        "nosuid" => attributes.no_set_user_id = Some(true),
        "suid" => attributes.no_set_user_id = Some(false),
        "nodev" => attributes.no_devices = Some(true),
        "dev" => attributes.no_devices = Some(false),
        "noexec" => attributes.no_execute = Some(true),
        "exec" => attributes.no_execute = Some(false),
        "nosymfollow" => attributes.no_symlink_follow = Some(true),
        "symfollow" => attributes.no_symlink_follow = Some(false),
        "nodiratime" => attributes.no_directory_access_time = Some(true),
        "diratime" => attributes.no_directory_access_time = Some(false),
        "noatime" => attributes.access_time = Some(AccessTime::Never),
        "atime" | "relatime" | "nostrictatime" => {
            attributes.access_time = Some(AccessTime::Relative);
        }
        "strictatime" | "norelatime" => attributes.access_time = Some(AccessTime::Strict),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Recursion, parse};
    use linux::mount::{AccessTime, Propagation};

    fn words(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
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
    fn options_of_a_file_system() {
        let parsed = parse(&words("nosuid,strictatime,mode=755,size=65536k,newinstance"));
        assert_eq!(parsed.attributes.access_time, Some(AccessTime::Strict));
        assert_eq!(parsed.file_system, ["mode=755", "size=65536k", "newinstance"]);
        let parsed = parse(&words("relatime,remount,tmpcopyup"));
        assert_eq!(parsed.attributes.access_time, Some(AccessTime::Relative));
        assert!(parsed.remount && parsed.copy_up);
    }
}
