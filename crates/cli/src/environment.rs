//! The caller's environment, read once.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Variables and working directory of the caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: HashMap<OsString, OsString>,
    directory: PathBuf,
}

impl Environment {
    /// Reads the process's own.
    pub(crate) fn read() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        }
    }

    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        Self {
            variables: variables.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            directory: PathBuf::from("/here"),
        }
    }

    /// A variable that is set and not empty.
    pub(crate) fn path(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    /// A variable that is set and not empty, as text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.path(name)?.to_str()
    }

    /// A variable as it is, empty or not.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(OsStr::new(name)).map(|value| value.to_string_lossy().into_owned())
    }

    /// All variables.
    pub(crate) fn variables(&self) -> &HashMap<OsString, OsString> {
        &self.variables
    }

    /// Where relative paths begin.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path of the caller made absolute.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// Docker's own directory of settings, `~/.docker`; `None` without a home.
    pub(crate) fn docker_directory(&self) -> Option<PathBuf> {
        match self.path("DOCKER_CONFIG") {
            Some(directory) => Some(PathBuf::from(directory)),
            None => self.path("HOME").map(|home| Path::new(home).join(".docker")),
        }
    }

    /// Whether colors are wanted on a terminal (<https://no-color.org>).
    pub(crate) fn wants_color(&self) -> bool {
        self.path("NO_COLOR").is_none() && self.text("TERM") != Some("dumb")
    }
}
