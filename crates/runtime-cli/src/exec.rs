//! `exec`.

use linux::cgroup::{Group, Layout};
use linux::process::{ExitStatus, PidFd};
use oci::runtime::{Capabilities, Process, State, Status, User};
use runtime::state::process_of;
use runtime::{Confinement, ExecRequest, Stdio};

use crate::activation::Activation;
use crate::arguments::{Flag, Parsed};
use crate::bundle::Bundle;
use crate::create::write_pid_file;
use crate::{Call, Failure, console};

const FLAGS: &[Flag] = &[
    Flag::value("console-socket", None),
    Flag::value("cwd", None),
    Flag::value("env", Some('e')),
    Flag::switch("tty", Some('t')),
    Flag::value("user", Some('u')),
    Flag::value("additional-gids", Some('g')),
    Flag::value("process", Some('p')),
    Flag::switch("detach", Some('d')),
    Flag::value("pid-file", None),
    Flag::value("pidfd-socket", None),
    Flag::value("process-label", None),
    Flag::value("apparmor", None),
    Flag::switch("no-new-privs", None),
    Flag::value("cap", Some('c')),
    Flag::value("preserve-fds", None),
    Flag::value("cgroup", None),
    Flag::switch("ignore-paused", None),
    Flag::switch("no-subreaper", None),
];

/// `exec [flags] ID COMMAND…` or `exec -p process.json ID`. A failure before the program runs is
/// 255, as runc has it.
pub(crate) fn exec(call: &Call, words: &[String]) -> Result<u8, Failure> {
    try_exec(call, words).map_err(|failure| Failure {
        message: format!("exec failed: {}", failure.message),
        exit_code: 255,
    })
}

fn try_exec(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, FLAGS)?;
    let id = parsed.id()?;
    let token = call.seal()?;
    let record = call.states.load(id)?;
    let target = process_of(&record)?.ok_or("cannot exec in a stopped container".to_owned())?;
    let layout = Layout::detect()?;
    let mut group = Group::open(layout, &record.cgroup)?;
    if !parsed.has("ignore-paused") && group.is_frozen().unwrap_or(false) {
        return Err("cannot exec in a paused container (use --ignore-paused)".to_owned().into());
    }
    if let Some(below) = parsed.value("cgroup") {
        group = Group::open(layout, &group_path(below, &record.cgroup)?)?;
    }
    let mut spec = Bundle::read(Some(&record.state.bundle))?.spec;
    let mut process = process(&parsed, spec.process.take().unwrap_or_default())?;
    let activation = Activation::read(&parsed, call.inherited)?;
    activation.announce(&mut process.env);
    let detach = parsed.has("detach");
    let socket = parsed.value("console-socket");
    if detach && process.terminal && socket.is_none() {
        return Err("cannot allocate a terminal when detaching without --console-socket"
            .to_owned()
            .into());
    }
    let relay = if detach { None } else { Some(console::Relay::prepare(&token)?) };
    let state = State { status: Status::Running, ..record.state.clone() };
    let request = ExecRequest {
        id,
        state: Some(&state),
        target: &target,
        process: &process,
        confinement: Confinement::of_spec(&spec),
        stdio: if process.terminal { Stdio::Terminal } else { Stdio::Inherit },
        cgroup: Some(&group),
        preserve_descriptors: activation.count(),
        has_own_keyring: record.has_own_keyring,
    };
    let starting = runtime::begin(&token, request)?;
    let publish = |process: &PidFd| {
        console::hand_over_process(process, parsed.value("pidfd-socket"))?;
        write_pid_file(parsed.value("pid-file"), process)
    };
    match relay {
        Some(relay) if !process.terminal => {
            let created = starting.launch(publish)?;
            let status = relay.run(&created.process, None)?;
            created.verdict()?;
            Ok(exit_code(status))
        }
        relay => {
            let mut created = starting.wait_at_gate()?;
            let started = publish(&created.process)
                .and_then(|()| console::hand_over(created.terminal.as_ref(), socket))
                .and_then(|()| created.start().map_err(Failure::from));
            if let Err(failure) = started {
                drop(created.process.signal(9));
                drop(created.process.wait());
                return Err(failure);
            }
            let Some(relay) = relay else { return Ok(0) };
            let terminal = created.terminal.take().filter(|_| socket.is_none());
            Ok(exit_code(relay.run(&created.process, terminal)?))
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    u8::try_from(status.code()).unwrap_or(255)
}

/// A group below the container's own; never one above it.
fn group_path(wanted: &str, container: &str) -> Result<String, Failure> {
    let parts: Vec<&str> = wanted.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| matches!(*part, "." | "..") || part.contains(':')) {
        return Err(format!("--cgroup {wanted:?} is not a group below the container's").into());
    }
    Ok(parts.iter().fold(container.to_owned(), |path, part| format!("{path}/{part}")))
}

/// The process to run: from its file, or the container's own with what the flags change.
fn process(parsed: &Parsed, container: Process) -> Result<Process, Failure> {
    let command = parsed.rest.get(1..).unwrap_or_default();
    if let Some(path) = parsed.value("process") {
        let text = std::fs::read(path).map_err(|error| format!("read {path}: {error}"))?;
        let process = serde_json::from_slice(&text);
        let mut process: Process = process.map_err(|error| format!("parse {path}: {error}"))?;
        // As runc has it: a process that does not say has what the container's first one has.
        process.capabilities = process.capabilities.or(container.capabilities);
        return Ok(process);
    }
    if command.is_empty() {
        return Err("process args cannot be empty".to_owned().into());
    }
    let mut process = container;
    process.args = command.to_vec();
    process.terminal = parsed.has("tty");
    process.console_size = None;
    process.env.extend(parsed.values("env").map(str::to_owned));
    if let Some(directory) = parsed.value("cwd") {
        directory.clone_into(&mut process.cwd);
    }
    if let Some(user) = parsed.value("user") {
        process.user = User { umask: process.user.umask, ..user_of(user)? };
    }
    for group in parsed.values("additional-gids") {
        process.user.additional_gids.push(number(group)?);
    }
    if parsed.has("no-new-privs") {
        process.no_new_privileges = true;
    }
    process.apparmor_profile =
        parsed.value("apparmor").map(str::to_owned).or(process.apparmor_profile);
    process.selinux_label =
        parsed.value("process-label").map(str::to_owned).or(process.selinux_label);
    add_capabilities(&mut process, parsed);
    Ok(process)
}

fn add_capabilities(process: &mut Process, parsed: &Parsed) {
    let mut names = parsed.values("cap").peekable();
    if names.peek().is_none() {
        return;
    }
    let sets = process.capabilities.get_or_insert_with(Capabilities::default);
    for name in names {
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.push(name.to_owned());
        }
    }
}

/// `UID[:GID]`, numbers only: what is not one is an error, never user 0 (CVE-2026-30892).
fn user_of(text: &str) -> Result<User, Failure> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (number(uid)?, number(gid)?),
        None => (number(text)?, 0),
    };
    Ok(User { uid, gid, ..User::default() })
}

fn number(text: &str) -> Result<u32, Failure> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(id) if digits && id != u32::MAX => Ok(id),
        _ => Err(format!("{text:?} is not a user or group id").into()),
    }
}

#[cfg(test)]
mod tests {
    use oci::runtime::{Capabilities, Process};

    use super::{FLAGS, group_path, process, user_of};
    use crate::arguments::Parsed;

    #[test]
    fn users_are_numbers() {
        let user = user_of("1000:50").ok().unwrap();
        assert_eq!((user.uid, user.gid), (1000, 50));
        for text in ["", "root", "1000x", "1000:", ":5", "+1", "-1", "4294967295", "4294967296"] {
            assert!(user_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_process_that_names_no_capabilities_has_the_containers() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let words = ["-p".to_owned(), file.path().display().to_string(), "x".to_owned()];
        let of = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            let sets = Capabilities { effective: vec!["CAP_KILL".to_owned()], ..<_>::default() };
            let container = Process { capabilities: Some(sets), ..Process::default() };
            let parsed = Parsed::read(&words, FLAGS).unwrap();
            process(&parsed, container).ok().unwrap().capabilities.unwrap().effective
        };
        assert_eq!(of(r#"{"args":["true"],"cwd":"/"}"#), ["CAP_KILL"]);
        assert_eq!(of(r#"{"args":["true"],"cwd":"/","capabilities":{}}"#), [""; 0]);
    }

    #[test]
    fn groups_stay_below() {
        let of = |wanted: &str| group_path(wanted, "/brig/x").ok();
        assert_eq!(of("a/b").as_deref(), Some("/brig/x/a/b"));
        assert_eq!(of("/").as_deref(), Some("/brig/x"));
        assert_eq!(of("../y"), None);
        assert_eq!(of("memory:a"), None);
    }
}
