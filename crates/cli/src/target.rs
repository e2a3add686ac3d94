//! Which daemon a command speaks to: `-H`, `--root`, `DOCKER_HOST`, `BRIG_ROOT`, context, default.

use std::path::{Path, PathBuf};

use daemon::Roots;
use docker_api::Endpoint;

use crate::docker_settings::{DockerSettings, context_endpoint};
use crate::environment::Environment;
use crate::error::{Error, Result};

/// The directories of one daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    /// The `--root` given; `None` for the default root.
    pub(crate) given: Option<PathBuf>,
    /// Its directories.
    pub(crate) roots: Roots,
}

impl Root {
    /// The default root, or everything below one directory.
    pub(crate) fn new(given: Option<PathBuf>) -> Self {
        Self { roots: Roots::new(given.as_deref()), given }
    }
}

/// The daemon that commands speak to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A brig of this machine, started when it does not answer.
    Own(Root),
    /// Somebody else's address.
    Foreign(Endpoint),
}

impl Target {
    /// Where it listens.
    pub(crate) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Own(root) => Endpoint::Unix(root.roots.socket()),
            Self::Foreign(endpoint) => endpoint.clone(),
        }
    }
}

/// The options that choose a daemon.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Choice<'a> {
    /// `-H`.
    pub(crate) host: Option<&'a str>,
    /// `--context`.
    pub(crate) context: Option<&'a str>,
    /// `--root`.
    pub(crate) root: Option<&'a Path>,
}

/// Chooses the daemon; `settings` are read only when it comes to contexts.
///
/// # Errors
/// When an address or a context cannot be understood.
pub(crate) fn choose(
    choice: Choice<'_>,
    environment: &Environment,
    settings: impl FnOnce() -> Result<DockerSettings>,
) -> Result<Target> {
    if choice.host.is_some() && choice.context.is_some() {
        return Err(Error::Options(
            "conflicting options: cannot specify both --host and --context".to_owned(),
        ));
    }
    let directory = environment.docker_directory();
    let of_context = |name: &str| match name {
        "default" | "" => Ok(Target::Own(Root::new(None))),
        name => context_endpoint(directory.as_deref(), name).map(Target::Foreign),
    };
    let own = |root: &Path| Ok(Target::Own(Root::new(Some(environment.absolute(root)))));
    if let Some(host) = choice.host {
        return foreign(host);
    }
    if let Some(root) = choice.root {
        return own(root);
    }
    if let Some(context) = choice.context {
        return of_context(context);
    }
    if let Some(host) = environment.text("DOCKER_HOST") {
        return foreign(host);
    }
    if let Some(root) = environment.path("BRIG_ROOT") {
        return own(Path::new(root));
    }
    match environment.text("DOCKER_CONTEXT") {
        Some(context) => of_context(context),
        None => of_context(&settings()?.current_context),
    }
}

/// The directories for `brig daemon`, which has no use for addresses of others.
pub(crate) fn daemon_root(root: Option<&Path>, environment: &Environment) -> Root {
    let given = root.or_else(|| environment.path("BRIG_ROOT").map(Path::new));
    Root::new(given.map(|root| environment.absolute(root)))
}

fn foreign(host: &str) -> Result<Target> {
    let host = if host.starts_with('/') { format!("unix://{host}") } else { host.to_owned() };
    Ok(Target::Foreign(host.parse()?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Choice, Target, choose};
    use crate::docker_settings::DockerSettings;
    use crate::environment::Environment;

    #[track_caller]
    fn check(choice: Choice<'_>, variables: &[(&str, &str)], expected: &str) {
        let target =
            choose(choice, &Environment::of(variables), || Ok(DockerSettings::default())).unwrap();
        assert_eq!(target.endpoint().to_string(), expected);
    }

    #[test]
    fn the_first_that_speaks_wins() {
        let nothing = Choice::default();
        let all = [("DOCKER_HOST", "tcp://h:1"), ("BRIG_ROOT", "/r")];
        let root = Choice { root: Some(Path::new("rel")), ..nothing };
        check(Choice { host: Some("unix:///s"), ..root }, &all, "unix:///s");
        check(Choice { host: Some("/s"), ..root }, &all, "unix:///s");
        check(root, &all, "unix:///here/rel/run/brig.sock");
        check(nothing, &all, "tcp://h:1");
        check(nothing, &all[1..], "unix:///r/run/brig.sock");
        check(nothing, &[("DOCKER_HOST", "")], "unix:///run/brig/brig.sock");
        check(Choice { context: Some("default"), ..nothing }, &all, "unix:///run/brig/brig.sock");
    }

    #[test]
    fn foreign_daemons_are_never_started() {
        let choose = |choice, variables: &[(&str, &str)]| {
            choose(choice, &Environment::of(variables), || Ok(DockerSettings::default()))
        };
        let host = Choice { host: Some("unix:///run/brig/brig.sock"), ..Choice::default() };
        assert!(matches!(choose(host, &[]), Ok(Target::Foreign(_))));
        assert!(matches!(choose(Choice::default(), &[]), Ok(Target::Own(_))));
        let wrong = Choice { host: Some("ssh://x"), ..Choice::default() };
        assert!(choose(wrong, &[]).is_err());
        assert!(choose(Choice { context: Some("none"), ..Choice::default() }, &[]).is_err());
        let both = Choice { context: Some("x"), ..host };
        assert!(choose(both, &[]).is_err());
    }
}
