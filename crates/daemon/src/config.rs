//! `config.toml`, and what is read of other engines' files.
//!
//! ```toml
//! [daemon]
//! listen = ["tcp://127.0.0.1:2375"]   # besides the socket of the root
//! docker-socket = true                # /var/run/docker.sock too
//! group = "docker"                    # who may use the sockets besides root
//! debug = false
//!
//! [registries."docker.io"]            # see the registry room
//! mirrors = ["https://mirror.example"]
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Error, Result};

/// Where the configuration is looked for unless it is named.
pub const DEFAULT_PATH: &str = "/etc/brig/config.toml";
/// containers' own file, read for registries and mirrors.
const REGISTRIES_CONF: &str = "/etc/containers/registries.conf";
/// Docker's own file, read for registries and mirrors.
const DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// The whole file. Registries are checked by their room.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    daemon: DaemonTable,
    #[serde(rename = "registries")]
    _registries: toml::Table,
}

/// The `[daemon]` table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct DaemonTable {
    pub(crate) listen: Vec<String>,
    pub(crate) docker_socket: bool,
    pub(crate) group: Option<String>,
    pub(crate) debug: bool,
}

/// Everything configured.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) daemon: DaemonTable,
    pub(crate) registries: registry::Config,
}

/// Reads the configuration: the file named, which must exist, or the standard one, which need not;
/// then what other engines' files say of registries that it does not mention.
pub(crate) fn load(named: Option<&Path>) -> Result<Config> {
    let path = named.map_or_else(|| PathBuf::from(DEFAULT_PATH), Path::to_owned);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io("read", path.display().to_string(), error)),
    };
    let mut config = parse(&path, &text)?;
    add(REGISTRIES_CONF, |text| config.registries.add_registries_conf(text))?;
    add(DAEMON_JSON, |text| config.registries.add_daemon_json(text))?;
    Ok(config)
}

fn parse(path: &Path, text: &str) -> Result<Config> {
    let wrong = |reason: String| Error::Configuration { path: path.to_owned(), reason };
    let document: Document = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let mut registries = registry::Config::new();
    registries.add_native(text).map_err(|error| wrong(stdx::chain(&error)))?;
    Ok(Config { daemon: document.daemon, registries })
}

/// Reads somebody else's file if it is there.
fn add(path: &str, parse: impl FnOnce(&str) -> registry::Result<()>) -> Result<()> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text).map_err(|error| Error::Configuration {
            path: path.into(),
            reason: stdx::chain(&error),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::parse;

    #[test]
    fn tables_are_read() {
        let text = "[daemon]\nlisten = [\"tcp://127.0.0.1:1\"]\ndocker-socket = true\n\
                    [registries.\"docker.io\"]\nmirrors = [\"http://127.0.0.1:5000\"]\n";
        let config = parse(Path::new("c.toml"), text).unwrap();
        assert!(config.daemon.docker_socket);
        assert_eq!(config.daemon.listen, ["tcp://127.0.0.1:1"]);
    }

    /// Every example of the manual is read by the parser of its file.
    #[test]
    fn examples_of_the_manual() {
        let manual = include_str!("../../../docs/configuration.md");
        let examples = |language: &str| {
            let fence = format!("\n```{language}\n");
            let blocks = manual.split(&fence).skip(1);
            blocks.map(|block| block.split("\n```").next().unwrap()).collect::<Vec<_>>()
        };
        let others = |text: &str| text.starts_with("# /etc/containers/registries.conf\n");
        let (conf, native): (Vec<&str>, Vec<&str>) =
            examples("toml").into_iter().partition(|text| others(text));
        let daemon_json = examples("json");
        assert_eq!((conf.len(), native.len(), daemon_json.len()), (1, 1, 1));
        let mut config = parse(Path::new("config.toml"), native[0]).unwrap();
        assert_eq!(config.daemon.group.as_deref(), Some("root"));
        config.registries.add_registries_conf(conf[0]).unwrap();
        config.registries.add_daemon_json(daemon_json[0]).unwrap();
    }

    #[test]
    fn mistakes_are_shown_with_their_line() {
        for (text, part) in [
            ("[daemon]\n\nlistn = []\n", "line 3"),
            ("x = 1\n", "line 1"),
            ("[registries.\"a\"]\nmirror = []\n", "mirror"),
            ("[daemon\n", "line 1"),
        ] {
            let message = parse(Path::new("c.toml"), text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
