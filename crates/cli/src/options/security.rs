//! `--security-opt`: a seccomp profile is a file of the caller, so it is read here.

use std::path::Path;

use super::Surroundings;

/// What `--security-opt` means for the engine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Security {
    /// The options as sent.
    pub(super) options: Vec<String>,
    /// `systempaths=unconfined`: nothing masked, nothing read-only.
    pub(super) unconfined_paths: bool,
}

pub(super) fn read(given: &[String], around: &Surroundings<'_>) -> Result<Security, String> {
    let mut security = Security::default();
    for option in given {
        match option.split_once('=').or_else(|| option.split_once(':')) {
            None if option == "no-new-privileges" => security.options.push(option.clone()),
            None => return Err(format!("invalid --security-opt: {option:?}")),
            Some(("systempaths", "unconfined")) => security.unconfined_paths = true,
            Some(("seccomp", profile)) if !matches!(profile, "unconfined" | "builtin") => {
                security.options.push(format!("seccomp={}", seccomp(profile, around)?));
            }
            Some((name, value)) => security.options.push(format!("{name}={value}")),
        }
    }
    Ok(security)
}

fn seccomp(profile: &str, around: &Surroundings<'_>) -> Result<String, String> {
    let text = (around.read)(Path::new(profile)).map_err(|error| {
        format!("opening seccomp profile ({profile}) failed: open {profile}: {}", reason(&error))
    })?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        format!("compacting json for seccomp profile ({profile}) failed: {error}")
    })?;
    Ok(value.to_string())
}

/// The system's words for an error without Rust's addition.
pub(super) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::{Security, Surroundings, read};

    #[test]
    fn profiles_are_read() {
        let file = |path: &Path| match path.to_str() {
            Some("good.json") => Ok("{ \"defaultAction\": \"SCMP_ACT_ALLOW\" }\n".to_owned()),
            Some("bad.json") => Ok("{".to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let around = Surroundings { variable: &|_| None, read: &file, directory: Path::new("/") };
        let options = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            read(&texts, &around)
        };
        let security =
            options(&["no-new-privileges", "seccomp=good.json", "apparmor:x", "label=disable"]);
        assert_eq!(
            security.unwrap().options,
            [
                "no-new-privileges",
                r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#,
                "apparmor=x",
                "label=disable"
            ]
        );
        assert_eq!(
            options(&["systempaths=unconfined"]),
            Ok(Security { options: Vec::new(), unconfined_paths: true })
        );
        assert_eq!(options(&["seccomp=unconfined"]).unwrap().options, ["seccomp=unconfined"]);
        for (text, message) in [
            ("seccomp=none.json", "opening seccomp profile (none.json) failed"),
            ("seccomp=bad.json", "compacting json"),
            ("nonsense", "invalid --security-opt"),
        ] {
            assert!(options(&[text]).unwrap_err().contains(message), "{text}");
        }
    }
}
