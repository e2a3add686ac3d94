//! What is run, as whom, with which rights.

use oci::runtime::{Capabilities, ConsoleSize, Process, Rlimit, User};

use super::{Confinement, INIT_PATH, Inputs, capabilities, confinement};
use crate::container::merge::complete_environment;
use crate::container::user::Identity;
use crate::container::{ContainerSpec, ExecSpec, SecurityOptions, TerminalSize, Ulimit};
use crate::error::{Error, Result};

/// Limits by their names without `RLIMIT_`.
const LIMITS: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

pub(super) fn container_process(inputs: &Inputs<'_>, confinement: &Confinement) -> Result<Process> {
    let spec = inputs.spec;
    let mut args = Vec::new();
    if inputs.init.is_some() {
        args.extend([INIT_PATH.to_owned(), "--".to_owned()]);
    }
    args.extend(spec.entrypoint.iter().flatten().cloned());
    args.extend(spec.command.iter().flatten().cloned());
    let mut env = spec.environment.clone();
    complete_environment(&mut env, inputs.hostname, spec.terminal, &inputs.identity.home);
    let names = capabilities(&spec.host.security, inputs.available)?;
    Ok(Process {
        terminal: spec.terminal,
        console_size: spec.host.console_size.filter(|_| spec.terminal).map(console_size),
        user: user(inputs.identity),
        args,
        env,
        cwd: spec.working_directory.clone().unwrap_or_else(|| "/".to_owned()),
        capabilities: Some(sets(names, inputs.identity.uid)),
        rlimits: rlimits(&spec.host.resources.ulimits)?,
        no_new_privileges: confinement.no_new_privileges,
        apparmor_profile: confinement.apparmor.clone(),
        oom_score_adj: spec.host.oom_score_adj,
        ..Process::default()
    })
}

/// What a further process in a container is made from.
#[derive(Debug)]
pub(crate) struct ExecProcess<'a> {
    /// The container's options.
    pub(crate) container: &'a ContainerSpec,
    /// The container's host name.
    pub(crate) hostname: &'a str,
    /// What to run.
    pub(crate) exec: &'a ExecSpec,
    /// The terminal's size.
    pub(crate) size: Option<TerminalSize>,
    /// Who it runs as.
    pub(crate) identity: &'a Identity,
    /// Capabilities this process itself could give away.
    pub(crate) available: &'a [String],
}

/// The process of an exec.
///
/// # Errors
/// As for the container's own.
pub(crate) fn exec_process(inputs: &ExecProcess<'_>) -> Result<Process> {
    let (container, exec) = (inputs.container, inputs.exec);
    let security = &container.host.security;
    let rights =
        SecurityOptions { privileged: security.privileged || exec.privileged, ..security.clone() };
    let mut env = crate::container::merge::environment(&container.environment, &exec.environment);
    complete_environment(&mut env, inputs.hostname, exec.terminal, &inputs.identity.home);
    let directory = exec.working_directory.as_ref().or(container.working_directory.as_ref());
    let confinement = confinement(security)?;
    let names = capabilities(&rights, inputs.available)?;
    Ok(Process {
        terminal: exec.terminal,
        console_size: inputs.size.filter(|_| exec.terminal).map(console_size),
        user: user(inputs.identity),
        args: exec.command.clone(),
        env,
        cwd: directory.filter(|path| !path.is_empty()).cloned().unwrap_or_else(|| "/".to_owned()),
        capabilities: Some(sets(names, inputs.identity.uid)),
        rlimits: rlimits(&container.host.resources.ulimits)?,
        no_new_privileges: confinement.no_new_privileges,
        apparmor_profile: confinement.apparmor,
        oom_score_adj: container.host.oom_score_adj,
        ..Process::default()
    })
}

/// Root has its capabilities in force; another user may only be given them by set-user-id programs.
fn sets(names: Vec<String>, uid: u32) -> Capabilities {
    let in_force = if uid == 0 { names.clone() } else { Vec::new() };
    Capabilities {
        bounding: names,
        effective: in_force.clone(),
        permitted: in_force,
        inheritable: Vec::new(),
        ambient: Vec::new(),
    }
}

/// The primary group is also among the further ones: a process must not shed what a file's group
/// denies it (CVE-2022-36109).
fn user(identity: &Identity) -> User {
    let mut additional_gids = vec![identity.gid];
    for group in &identity.groups {
        if !additional_gids.contains(group) {
            additional_gids.push(*group);
        }
    }
    User { uid: identity.uid, gid: identity.gid, umask: None, additional_gids }
}

fn console_size(size: TerminalSize) -> ConsoleSize {
    ConsoleSize { height: size.height, width: size.width }
}

fn rlimits(ulimits: &[Ulimit]) -> Result<Vec<Rlimit>> {
    let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    ulimits
        .iter()
        .map(|limit| {
            if !LIMITS.contains(&limit.name.as_str()) {
                return Err(Error::Invalid(format!("invalid ulimit type: {}", limit.name)));
            }
            let kind = format!("RLIMIT_{}", limit.name.to_ascii_uppercase());
            Ok(Rlimit { kind, hard: value(limit.hard), soft: value(limit.soft) })
        })
        .collect()
}
