//! `source:target[:options]`: the short form of a bind or a volume.

use super::options::{MountKind, MountSpec, Propagation};
use crate::error::{Error, Result};

/// A bind in short form, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    /// The same in long form.
    pub(crate) mount: MountSpec,
    /// The options as typed.
    pub(crate) mode: String,
    /// Whether `z` or `Z` was among them.
    pub(crate) relabel: bool,
}

/// Reads `source:target[:options]`; a lone `target` is an anonymous volume.
///
/// # Errors
/// `Invalid` when a part is missing, no path is absolute or an option is unknown.
pub(crate) fn parse(text: &str) -> Result<Bind> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => ("", *target, ""),
        [source, target] => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => return Err(invalid(text)),
    };
    if target.is_empty() || (parts.len() > 1 && source.is_empty()) {
        return Err(invalid(text));
    }
    if !target.starts_with('/') {
        return Err(Error::Invalid(format!(
            "invalid volume specification: '{text}': mount path must be absolute"
        )));
    }
    if target.trim_end_matches('/').is_empty() {
        return Err(Error::Invalid(format!(
            "invalid volume specification: '{text}': destination can't be '/'"
        )));
    }
    let kind = if source.starts_with('/') { MountKind::Bind } else { MountKind::Volume };
    let mut bind = Bind {
        mount: MountSpec {
            kind,
            source: source.to_owned(),
            target: target.to_owned(),
            create_source: kind == MountKind::Bind,
            ..MountSpec::default()
        },
        mode: mode.to_owned(),
        relabel: false,
    };
    if kind == MountKind::Volume && !source.is_empty() {
        check_volume_name(source)?;
    }
    for word in mode.split(',').filter(|word| !word.is_empty()) {
        option(&mut bind, word).ok_or_else(|| Error::Invalid(format!("invalid mode: {mode}")))?;
    }
    Ok(bind)
}

fn option(bind: &mut Bind, word: &str) -> Option<()> {
    match word {
        "rw" => bind.mount.read_only = false,
        "ro" => bind.mount.read_only = true,
        "z" | "Z" => bind.relabel = true,
        "nocopy" if bind.mount.kind == MountKind::Volume => bind.mount.no_copy = true,
        // Consistency hints of other platforms mean nothing on Linux.
        "consistent" | "cached" | "delegated" => {}
        "rbind" if bind.mount.kind == MountKind::Bind => {}
        "bind" if bind.mount.kind == MountKind::Bind => bind.mount.non_recursive = true,
        _ if bind.mount.kind == MountKind::Bind => {
            bind.mount.propagation = Some(Propagation::parse(word)?);
        }
        _ => return None,
    }
    Some(())
}

/// Checks the name of a volume: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
///
/// # Errors
/// `Invalid` otherwise.
pub(crate) fn check_volume_name(name: &str) -> Result<()> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && name.len() > 1 && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )))
}

fn invalid(text: &str) -> Error {
    Error::Invalid(format!("invalid volume specification: '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::super::options::{MountKind, Propagation};
    use super::parse;

    #[test]
    fn binds_and_volumes() {
        let bind = parse("/src:/dst:ro,rslave,Z").unwrap();
        assert_eq!(bind.mount.kind, MountKind::Bind);
        assert_eq!((bind.mount.source.as_str(), bind.mount.target.as_str()), ("/src", "/dst"));
        assert!(bind.mount.read_only && bind.relabel && bind.mount.create_source);
        assert_eq!(bind.mount.propagation, Some(Propagation::Rslave));
        assert_eq!(bind.mode, "ro,rslave,Z");
        let volume = parse("cache:/var/cache:nocopy").unwrap();
        assert_eq!(volume.mount.kind, MountKind::Volume);
        assert!(volume.mount.no_copy && !volume.mount.read_only);
        let anonymous = parse("/only").unwrap();
        assert_eq!(
            (anonymous.mount.kind, anonymous.mount.source.as_str()),
            (MountKind::Volume, "")
        );
    }

    #[test]
    fn refused() {
        for bad in [
            "",
            ":",
            "/a:",
            ":/a",
            "/a:b",
            "a:b:c:d",
            "/a:/",
            "/a:/b:nope",
            "vol:/b:rshared",
            "./a:/b",
            "v/x:/b",
            "/a:/b:nocopy",
            "x:/b",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
