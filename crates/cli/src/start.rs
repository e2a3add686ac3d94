//! The daemon's face, and starting it when a command finds none.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use daemon::{LogLevel, Options, Proxy, Start};
use linux::process::SingleThreaded;
use monitor::client::Launcher;
use monitor::launcher::{self, Restart};

use crate::command::{DaemonOptions, Exit};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::session::Globals;
use crate::target::{self, Root};

/// Variables that a daemon started on demand gets: how registries are reached, and nothing of the
/// caller's session.
const PASSED: &[&str] = &[
    "PATH",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RUST_BACKTRACE",
];

/// Starts the daemon of a root and returns when it serves.
///
/// # Errors
/// When it does not start; with what it said.
pub(crate) fn on_demand(root: &Root, globals: &Globals, environment: &Environment) -> Result<()> {
    let mut arguments: Vec<OsString> = Vec::new();
    if let Some(given) = &root.given {
        arguments.extend(["--root".into(), given.into()]);
    }
    if let Some(config) = &globals.config {
        arguments.extend(["--config".into(), environment.absolute(config).into()]);
    }
    if globals.debug {
        arguments.push("--debug".into());
    }
    if let Some(level) = &globals.log_level {
        arguments.extend(["--log-level".into(), level.into()]);
    }
    arguments.extend(["daemon".into(), "--on-demand".into()]);
    let start = Start { roots: root.roots.clone(), arguments, environment: passed(environment) };
    daemon::start_on_demand(&start).map_err(|error| Error::Start(Box::new(error)))
}

fn passed(environment: &Environment) -> Vec<(OsString, OsString)> {
    let set = |name: &&str| Some(((*name).into(), environment.path(name)?.to_owned()));
    PASSED.iter().filter_map(set).collect()
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// When it cannot start or ends badly.
pub(crate) fn daemon(
    options: &DaemonOptions,
    globals: &Globals,
    environment: &Environment,
) -> Result<Exit> {
    let root = target::daemon_root(globals.root.as_deref(), environment);
    let token = SingleThreaded::claim().map_err(|error| Error::Daemon(Box::new(error)))?;
    if let Some(daemon) = options.launcher_for {
        let options = launcher_options(environment);
        launcher::serve(&token, daemon, options).map_err(|error| Error::Daemon(Box::new(error)))?;
        return Ok(Exit::SUCCESS);
    }
    let config = globals.config.as_ref().map(|config| environment.absolute(config));
    if options.on_demand && options.launcher_socket.is_none() {
        let mut paths = vec![root.roots.data.as_path(), root.roots.run.as_path()];
        paths.extend(config.as_deref());
        daemon::detach(&token, &paths).map_err(|error| Error::Daemon(Box::new(error)))?;
    }
    let launcher = launcher(&token, options, environment)?;
    let run = Options {
        config,
        docker_socket: options.docker_socket,
        listen: options.listen.clone(),
        log_level: log_level(globals),
        on_demand: options.on_demand,
        again: options.launcher_socket.is_some(),
        relaunch: Some(restart(environment)),
        notify_socket: environment.path("NOTIFY_SOCKET").map(OsStr::to_owned),
        proxy: proxy(environment),
        ..Options::new(root.roots)
    };
    daemon::run(&run, launcher).map_err(|error| Error::Daemon(Box::new(error)))?;
    Ok(Exit::SUCCESS)
}

/// How much is logged; `--debug` is the same as the level of that name.
fn log_level(globals: &Globals) -> LogLevel {
    if globals.debug {
        return LogLevel::Debug;
    }
    globals.log_level.as_deref().and_then(LogLevel::parse).unwrap_or_default()
}

/// The launcher that has started this daemon again, or a new one.
fn launcher(
    token: &SingleThreaded,
    options: &DaemonOptions,
    environment: &Environment,
) -> Result<Launcher> {
    let boxed = |error: Box<dyn std::error::Error + Send + Sync>| Error::Daemon(error);
    if let Some(number) = options.launcher_socket {
        let socket =
            linux::handover::take(token, number).map_err(|error| boxed(Box::new(error)))?;
        return launcher::adopt(socket).map_err(|error| boxed(Box::new(error)));
    }
    launcher::start(token, launcher_options(environment)).map_err(|error| boxed(Box::new(error)))
}

fn launcher_options(environment: &Environment) -> launcher::Options {
    // systemd starts its services again by itself.
    let restart = match environment.path("NOTIFY_SOCKET") {
        Some(_) => None,
        None => Some(restart(environment)),
    };
    launcher::Options { restart, cgroup: None }
}

/// This daemon's own command line.
fn restart(environment: &Environment) -> Restart {
    let variables = environment.variables().iter().map(|(name, value)| {
        let mut variable = name.clone();
        variable.push("=");
        variable.push(value);
        variable
    });
    Restart {
        // The launcher runs from the same read-only mount, which no path leads to.
        executable: "/proc/self/exe".into(),
        arguments: own_arguments(std::env::args_os()),
        environment: variables.collect(),
    }
}

/// The command line without what tells of an earlier launcher.
fn own_arguments(mut arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut own = Vec::new();
    while let Some(argument) = arguments.next() {
        if argument == launcher::SOCKET_ARGUMENT || argument == launcher::SERVE_ARGUMENT {
            drop(arguments.next());
        } else {
            own.push(argument);
        }
    }
    own
}

/// Proxies for registries; the name in lower case wins, as with most programs.
fn proxy(environment: &Environment) -> Proxy {
    let value = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let found = environment.path(&lower).or_else(|| environment.path(name))?;
        Some(String::from_utf8_lossy(found.as_bytes()).into_owned())
    };
    Proxy { http: value("HTTP_PROXY"), https: value("HTTPS_PROXY"), no_proxy: value("NO_PROXY") }
}

#[cfg(test)]
mod tests {
    use super::{own_arguments, passed, proxy};
    use crate::environment::Environment;

    #[test]
    fn a_daemon_that_is_started_again_forgets_its_launcher() {
        let line = ["brig", "daemon", "--launcher-socket", "9", "--debug", "--launcher-for", "7"];
        let own = own_arguments(line.iter().map(Into::into));
        assert_eq!(own, ["brig", "daemon", "--debug"]);
    }

    #[test]
    fn a_daemon_gets_proxies_and_nothing_of_the_session() {
        let environment = Environment::of(&[
            ("HTTPS_PROXY", "upper"),
            ("https_proxy", "lower"),
            ("DISPLAY", ":0"),
            ("PATH", "/bin"),
        ]);
        let names: Vec<_> = passed(&environment).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "HTTPS_PROXY", "https_proxy"]);
        assert_eq!(proxy(&environment).https.as_deref(), Some("lower"));
        assert_eq!(proxy(&environment).http, None);
    }
}
