//! `NAME=value` options and the files that hold them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Surroundings;

/// Variables for a container: those of the files, then those given. A bare `NAME` takes the
/// caller's value; where the caller has none, a given one is kept bare (which takes the image's
/// variable away) and one of a file is left out.
///
/// # Errors
/// A file that cannot be read or has a line without a name.
pub(crate) fn environment(
    given: &[String],
    files: &[PathBuf],
    around: &Surroundings<'_>,
) -> Result<Vec<String>, String> {
    let mut variables = Vec::new();
    for file in files {
        for line in lines(file, around)? {
            match (line.split_once('='), (around.variable)(&line)) {
                (Some(_), _) => variables.push(line),
                (None, Some(value)) => variables.push(format!("{line}={value}")),
                (None, None) => {}
            }
        }
    }
    for variable in given {
        match variable.split_once('=') {
            Some(("", _)) => return Err(format!("invalid environment variable: {variable}")),
            Some(_) => variables.push(variable.clone()),
            None if variable.is_empty() => {
                return Err("invalid environment variable: ".to_owned());
            }
            None => match (around.variable)(variable) {
                Some(value) => variables.push(format!("{variable}={value}")),
                None => variables.push(variable.clone()),
            },
        }
    }
    Ok(variables)
}

/// Labels: those of the files, then those given; a bare name has an empty value.
pub(super) fn labels(
    given: &[String],
    files: &[PathBuf],
    around: &Surroundings<'_>,
) -> Result<BTreeMap<String, String>, String> {
    let mut all = Vec::new();
    for file in files {
        all.extend(lines(file, around)?);
    }
    all.extend(given.iter().cloned());
    label_map(&all)
}

/// `name[=value]` texts as a map.
///
/// # Errors
/// A text without a name.
pub(crate) fn label_map(texts: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut map = BTreeMap::new();
    for text in texts {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(format!("invalid label '{text}': empty name"));
        }
        map.insert(name.to_owned(), value.to_owned());
    }
    Ok(map)
}

/// `name=value` texts as a map; a value is needed.
pub(super) fn pairs(option: &str, texts: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut map = BTreeMap::new();
    for text in texts {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                map.insert(name.to_owned(), value.to_owned());
            }
            _ => {
                return Err(format!(
                    "invalid argument {text:?} for --{option}: must be name=value"
                ));
            }
        }
    }
    Ok(map)
}

/// Lines of a file without comments and white space before them.
fn lines(file: &Path, around: &Surroundings<'_>) -> Result<Vec<String>, String> {
    let text = (around.read)(file)
        .map_err(|error| format!("open {}: {}", file.display(), super::security::reason(&error)))?;
    let mut lines = Vec::new();
    for line in text.strip_prefix('\u{feff}').unwrap_or(&text).lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() {
            return Err(format!(
                "invalid environment file: {}: no variable name on line '{line}'",
                file.display()
            ));
        }
        if name.contains(char::is_whitespace) {
            return Err(format!(
                "invalid environment file: {}: variable '{name}' contains whitespaces",
                file.display()
            ));
        }
        lines.push(line.to_owned());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::{Surroundings, environment, label_map};

    fn with_file<T>(text: &str, test: impl FnOnce(&Surroundings<'_>) -> T) -> T {
        let read = |path: &Path| match path.to_str() {
            Some("file") => Ok(text.to_owned()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let variable = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        test(&Surroundings { variable: &variable, read: &read, directory: Path::new("/here") })
    }

    #[test]
    fn variables_of_files_come_first() {
        with_file("\u{feff}# comment\n\n  A=1=2\nHOME\nUNSET\n", |around| {
            let given = ["B=".to_owned(), "HOME".to_owned(), "GONE".to_owned()];
            let variables = environment(&given, &["file".into()], around).unwrap();
            assert_eq!(variables, ["A=1=2", "HOME=/root", "B=", "HOME=/root", "GONE"]);
        });
    }

    #[test]
    fn wrong_lines_are_told() {
        for (text, message) in [
            ("=x", "no variable name on line '=x'"),
            ("a b=1", "variable 'a b' contains whitespaces"),
        ] {
            with_file(text, |around| {
                let error = environment(&[], &["file".into()], around).unwrap_err();
                assert!(error.contains(message), "{error}");
            });
        }
        with_file("", |around| {
            let error = environment(&[], &["other".into()], around).unwrap_err();
            assert_eq!(error, "open other: no such file or directory");
            assert!(environment(&["=x".to_owned()], &[], around).is_err());
        });
    }

    #[test]
    fn labels_may_be_bare() {
        let map = label_map(&["a".to_owned(), "b=c=d".to_owned()]).unwrap();
        assert_eq!((map["a"].as_str(), map["b"].as_str()), ("", "c=d"));
        assert!(label_map(&["=x".to_owned()]).is_err());
    }
}
