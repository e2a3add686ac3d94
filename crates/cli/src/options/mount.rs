//! `--mount type=…,source=…,target=…`, `--volume` and `--tmpfs`.

use std::collections::BTreeMap;
use std::path::Path;

use docker_api::container::{BindOptions, DriverConfig, Mount, TmpfsOptions, VolumeOptions};

use super::value;

/// Reads `--mount`.
pub(super) fn parse(text: &str) -> Result<Mount, String> {
    let mut mount = Mount { kind: "volume".to_owned(), ..Mount::default() };
    let fields = super::csv(text);
    if let Some(kind) = fields.iter().find_map(|field| field.strip_prefix("type=")) {
        mount.kind = kind.to_ascii_lowercase();
    }
    if !matches!(mount.kind.as_str(), "bind" | "volume" | "tmpfs" | "image" | "cluster" | "npipe") {
        return Err(format!("invalid mount type '{}'", mount.kind));
    }
    for field in &fields {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim())),
            None => (field.trim(), None),
        };
        set(&mut mount, &key.to_ascii_lowercase(), value, field)?;
    }
    check(&mount)?;
    Ok(mount)
}

fn set(mount: &mut Mount, key: &str, value: Option<&str>, field: &str) -> Result<(), String> {
    match (key, value) {
        ("readonly" | "ro", value) => mount.read_only = truth(key, value)?,
        ("volume-nocopy", value) => volume(mount).no_copy = truth(key, value)?,
        ("bind-nonrecursive", value) => bind(mount).non_recursive = truth(key, value)?,
        ("bind-create-src", value) => bind(mount).create_mountpoint = truth(key, value)?,
        (_, None) => {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        }
        ("type", Some(_)) => {}
        ("source" | "src", Some(value)) => value.clone_into(&mut mount.source),
        ("target" | "dst" | "destination", Some(value)) => value.clone_into(&mut mount.target),
        ("consistency", Some(value)) => mount.consistency = value.to_ascii_lowercase(),
        ("bind-propagation", Some(value)) => {
            bind(mount).propagation = value.to_ascii_lowercase();
        }
        ("bind-recursive", Some(value)) => set_recursion(mount, value)?,
        ("volume-subpath", Some(value)) => value.clone_into(&mut volume(mount).subpath),
        ("volume-label", Some(value)) => {
            let (name, value) = pair(value);
            volume(mount).labels.insert(name, value);
        }
        ("volume-driver", Some(value)) => value.clone_into(&mut driver(mount).name),
        ("volume-opt", Some(value)) => {
            let (name, value) = pair(value);
            driver(mount).options.insert(name, value);
        }
        ("tmpfs-size", Some(value)) => {
            tmpfs(mount).size_bytes =
                value::size(value).map_err(|_| format!("invalid value for {key}: {value}"))?;
        }
        ("tmpfs-mode", Some(value)) => {
            tmpfs(mount).mode = u32::from_str_radix(value, 8)
                .map_err(|_| format!("invalid value for {key}: {value}"))?;
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn set_recursion(mount: &mut Mount, value: &str) -> Result<(), String> {
    let options = bind(mount);
    match value {
        "enabled" => {}
        "disabled" => options.non_recursive = true,
        "writable" => options.read_only_non_recursive = true,
        "readonly" => options.read_only_force_recursive = true,
        _ => {
            return Err(format!(
                "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            ));
        }
    }
    Ok(())
}

fn check(mount: &Mount) -> Result<(), String> {
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    let misplaced = [
        ("bind", mount.bind_options.is_some()),
        ("volume", mount.volume_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ];
    for (kind, given) in misplaced {
        if given && mount.kind != kind {
            return Err(format!("cannot mix '{kind}-*' options with mount type '{}'", mount.kind));
        }
    }
    Ok(())
}

fn truth(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(true),
        Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(format!("invalid value for {key}: {other}")),
    }
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut DriverConfig {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

/// What one `--volume` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VolumeWish {
    /// `source:target[:options]`, a relative source made absolute.
    Bind(String),
    /// A path in the container that becomes an anonymous volume.
    Anonymous(String),
}

/// Reads `--volume`; `directory` is where relative sources begin.
pub(super) fn volume_wish(text: &str, directory: &Path) -> Result<VolumeWish, String> {
    let wrong = || format!("invalid spec: {text}: empty section between colons");
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [] | [""] => Err("invalid empty volume spec".to_owned()),
        [target] => Ok(VolumeWish::Anonymous((*target).to_owned())),
        [source, target, rest @ ..] => {
            if source.is_empty() || target.is_empty() || rest.iter().any(|part| part.is_empty()) {
                return Err(wrong());
            }
            if rest.len() > 1 {
                return Err(format!("invalid spec: {text}: unknown option: {}", rest.join(":")));
            }
            let relative = *source == "."
                || *source == ".."
                || source.starts_with("./")
                || source.starts_with("../");
            if !relative {
                return Ok(VolumeWish::Bind(text.to_owned()));
            }
            let source = lexical(&directory.join(source));
            Ok(VolumeWish::Bind(
                [&*source, target]
                    .into_iter()
                    .chain(rest.iter().copied())
                    .collect::<Vec<_>>()
                    .join(":"),
            ))
        }
    }
}

/// `.` and `..` taken out of an absolute path, without looking at links (as Go's `filepath.Abs`).
fn lexical(path: &Path) -> String {
    let mut clean = std::path::PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean.to_string_lossy().into_owned()
}

/// Reads `--tmpfs target[:options]`.
pub(super) fn tmpfs_wishes(texts: &[String]) -> BTreeMap<String, String> {
    let split = |text: &String| {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        (target.to_owned(), options.to_owned())
    };
    texts.iter().map(split).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{VolumeWish, parse, volume_wish};

    #[test]
    fn mounts_are_read() {
        let mount = parse("type=bind,src=/a,dst=/b,ro,bind-propagation=rshared").unwrap();
        assert_eq!((&*mount.kind, &*mount.source, &*mount.target), ("bind", "/a", "/b"));
        assert!(mount.read_only);
        assert_eq!(mount.bind_options.unwrap().propagation, "rshared");
        let mount = parse("source=v,target=/b,volume-opt=type=nfs,\"volume-opt=o=a,b\"").unwrap();
        let driver = mount.volume_options.unwrap().driver_config.unwrap();
        assert_eq!(driver.options["type"], "nfs");
        assert_eq!(driver.options["o"], "a,b");
        let mount = parse("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
        let options = mount.tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (1 << 20, 0o1770));
    }

    #[test]
    fn wrong_mounts_are_refused() {
        for (text, message) in [
            ("type=x,target=/a", "invalid mount type"),
            ("type=bind,source=/a", "target is required"),
            ("type=bind,target", "must be a key=value pair"),
            ("type=bind,target=/a,color=red", "unexpected key 'color'"),
            ("type=bind,target=/a,tmpfs-size=1", "cannot mix 'tmpfs-*'"),
            ("target=/a,ro=perhaps", "invalid value for ro"),
            ("type=tmpfs,target=/a,tmpfs-size=x", "invalid value for tmpfs-size"),
            ("type=bind,target=/a,bind-recursive=x", "invalid value for bind-recursive"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn volumes_are_read() {
        let wish = |text| volume_wish(text, Path::new("/here/below"));
        let bind = |text: &str| Ok(VolumeWish::Bind(text.to_owned()));
        assert_eq!(wish("/data"), Ok(VolumeWish::Anonymous("/data".to_owned())));
        assert_eq!(wish("name:/data:ro"), bind("name:/data:ro"));
        assert_eq!(wish("/a:/b"), bind("/a:/b"));
        assert_eq!(wish("./x:/b:ro"), bind("/here/below/x:/b:ro"));
        assert_eq!(wish(".:/b"), bind("/here/below:/b"));
        assert_eq!(wish("../y:/b"), bind("/here/y:/b"));
        for text in ["", ":", "a:", ":b", "a:b:c:d", "a::b"] {
            assert!(wish(text).is_err(), "{text}");
        }
    }
}
