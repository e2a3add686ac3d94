//! `create` and `run`.

use std::mem::ManuallyDrop;
use std::time::{SystemTime, UNIX_EPOCH};

use linux::process::{PidFd, SingleThreaded};
use oci::runtime::{Hooks, State};
use runtime::state::{Record, start_time};
use runtime::systemd::Unit;
use runtime::{CreateRequest, Created, Newborn, Rootfs, Stdio};

use crate::activation::Activation;
use crate::arguments::{Flag, Parsed};
use crate::bundle::Bundle;
use crate::notify::{self, Inbox};
use crate::{Call, Failure, console};

const FLAGS: &[Flag] = &[
    Flag::value("bundle", Some('b')),
    Flag::value("console-socket", None),
    Flag::switch("detach", Some('d')),
    Flag::switch("keep", None),
    Flag::value("pid-file", None),
    Flag::value("pidfd-socket", None),
    Flag::switch("no-subreaper", None),
    Flag::switch("no-pivot", None),
    Flag::switch("no-new-keyring", None),
    Flag::value("preserve-fds", None),
];

/// `create [flags] ID`: the process waits for `start`.
pub(crate) fn create(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = read(words)?;
    let token = call.seal()?;
    let mut making = Making::begin(call, &parsed, true)?;
    let created = making.make(&token, true, Newborn::ready)?;
    console::hand_over(created.terminal.as_ref(), parsed.value("console-socket"))
        .inspect_err(|_| making.undo(Some(&created)))?;
    Ok(0)
}

/// `run [flags] ID`: create, start, wait, delete.
pub(crate) fn run(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = read(words)?;
    let token = call.seal()?;
    let detach = parsed.has("detach");
    let mut making = Making::begin(call, &parsed, detach)?;
    if let Some(socket) = parsed.value("console-socket") {
        // Whoever holds the terminal must have it before the program writes to it.
        let mut created = making.make(&token, false, Newborn::ready)?;
        console::hand_over(created.terminal.as_ref(), Some(socket))
            .and_then(|()| created.start().map_err(Failure::from))
            .and_then(|()| making.started())
            .inspect_err(|_| making.undo(Some(&created)))?;
        making.await_ready(&created);
        return Ok(0);
    }
    if detach {
        let created = making.make(&token, false, Newborn::start)?;
        making.started().inspect_err(|_| making.undo(Some(&created)))?;
        making.await_ready(&created);
        return Ok(0);
    }
    making.attend(&token, parsed.has("keep"))
}

fn read(words: &[String]) -> Result<Parsed, Failure> {
    let parsed = Parsed::read(words, FLAGS)?;
    parsed.only_id()?;
    if parsed.has("no-pivot") {
        let reason = "the host's root would stay mounted beneath the container's; put the bundle on \
                      a file system that is not the initial ramdisk";
        return Err(Failure::from(format!("--no-pivot is not supported: {reason}")));
    }
    Ok(parsed)
}

/// A container on its way.
struct Making<'a> {
    call: &'a Call,
    id: &'a str,
    pid_file: Option<&'a str>,
    pidfd_socket: Option<&'a str>,
    activation: Activation,
    has_own_keyring: bool,
    /// Where it says that it is ready, if somebody wants to know and it is this command's affair.
    inbox: Option<Inbox>,
    /// By which systemd makes its control group, if it is to.
    unit: Option<Unit>,
    /// What is said of the container, once there is one.
    state: State,
    /// Its hooks for later, which are not the runtime's own affair.
    hooks: Hooks,
    /// Never freed piece by piece: the process ends with its command.
    bundle: ManuallyDrop<Bundle>,
}

impl<'a> Making<'a> {
    fn begin(call: &'a Call, parsed: &'a Parsed, detached: bool) -> Result<Self, Failure> {
        let bundle = ManuallyDrop::new(Bundle::read(parsed.value("bundle"))?);
        let id = parsed.id()?;
        let socket = parsed.value("console-socket").is_some();
        if detached && bundle.terminal() && !socket {
            return Err(Failure::from(
                "cannot allocate a terminal when detaching without --console-socket".to_owned(),
            ));
        }
        if socket && !(detached && bundle.terminal()) {
            return Err(Failure::from(
                "--console-socket needs a detached container with a terminal".to_owned(),
            ));
        }
        let activation = Activation::read(parsed, call.inherited)?;
        let all = bundle.spec.hooks.as_ref();
        let hooks = all.map_or_else(Hooks::default, |all| Hooks {
            poststart: all.poststart.clone(),
            poststop: all.poststop.clone(),
            ..Hooks::default()
        });
        let pid_file = parsed.value("pid-file");
        let state = State::default();
        let unit = if call.systemd { Some(Unit::of(id, &bundle.spec)?) } else { None };
        let making = Self {
            call,
            id,
            pid_file,
            pidfd_socket: parsed.value("pidfd-socket"),
            activation,
            has_own_keyring: !parsed.has("no-new-keyring"),
            inbox: None,
            unit,
            state,
            hooks,
            bundle,
        };
        match &making.unit {
            Some(unit) => call.states.reserve(id, unit.cgroup(), Some(unit.name()))?,
            None => call.states.reserve(id, &runtime::group_of(id, &making.bundle.spec)?, None)?,
        }
        Ok(making)
    }

    /// Runs the container in the foreground.
    fn attend(&mut self, token: &SingleThreaded, keep: bool) -> Result<u8, Failure> {
        let relay = console::Relay::prepare(token).inspect_err(|_| self.undo(None))?;
        let must_run = self.bundle.terminal() || !self.hooks.poststart.is_empty();
        let start = if must_run { Newborn::start } else { Newborn::launch };
        let mut created = self.make(token, false, start)?;
        self.started().inspect_err(|_| self.undo(Some(&created)))?;
        relay.attend(self.inbox.take());
        let terminal = created.terminal.take();
        let ended = relay.run(&created.process, terminal);
        let status = ended.inspect_err(|_| self.undo(Some(&created)))?;
        if !must_run {
            created.verdict().inspect_err(|_| {
                self.forget(&created);
                self.remove_pid_file();
            })?;
        }
        if !keep {
            self.forget(&created);
        }
        Ok(u8::try_from(status.code()).unwrap_or(255))
    }

    /// Makes the container, remembers it while its process sets itself up, and waits for that;
    /// `gate` lets another command start it.
    fn make(
        &mut self,
        token: &SingleThreaded,
        gate: bool,
        wait: impl FnOnce(Newborn) -> Result<Created, runtime::Error>,
    ) -> Result<Created, Failure> {
        let born = self.give_birth(token, gate).and_then(|newborn| match self.record(&newborn) {
            Ok(()) => Ok(wait(newborn)?),
            Err(failure) => {
                newborn.abandon();
                Err(failure)
            }
        });
        born.inspect_err(|_| {
            self.undo(None);
            self.remove_pid_file();
        })
    }

    fn give_birth(&mut self, token: &SingleThreaded, gate: bool) -> Result<Newborn, Failure> {
        self.furnish(gate)?;
        let gate = if gate {
            Some(runtime::gate::listen_at(&self.call.states.gate(self.id))?)
        } else {
            None
        };
        let request = CreateRequest {
            id: self.id,
            spec: &self.bundle.spec,
            bundle: &self.bundle.directory,
            rootfs: Rootfs::Directory(self.bundle.rootfs()?),
            stdio: if self.bundle.terminal() { Stdio::Terminal } else { Stdio::Inherit },
            network_namespace: None,
            preserve_descriptors: self.activation.count(),
            has_own_keyring: self.has_own_keyring,
            unit: self.unit.as_ref(),
            gate,
        };
        Ok(runtime::birth(token, request)?)
    }

    /// What the service manager gives to the container, and wants to hear from it.
    fn furnish(&mut self, gate: bool) -> Result<(), Failure> {
        if notify::is_wanted() {
            notify::furnish(self.call, self.id, &mut self.bundle.spec)?;
            self.inbox = if gate { None } else { Some(Inbox::open(self.call, self.id)?) };
        }
        if let Some(process) = &mut self.bundle.spec.process {
            self.activation.announce(&mut process.env);
        }
        Ok(())
    }

    fn await_ready(&mut self, created: &Created) {
        if let Some(inbox) = self.inbox.take() {
            inbox.await_ready(&created.process);
        }
    }

    /// What is to be done when the program runs.
    fn started(&self) -> Result<(), Failure> {
        Ok(runtime::hook::started(&self.hooks.poststart, &self.state)?)
    }

    /// Remembers the container, and writes the pid file.
    fn record(&mut self, newborn: &Newborn) -> Result<(), Failure> {
        self.state = newborn.state();
        let created_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.call.states.save(&Record {
            state: self.state.clone(),
            start_time: start_time(self.state.pid).unwrap_or(0),
            cgroup: newborn.cgroup().path().to_owned(),
            rootfs: self.bundle.rootfs()?.display().to_string(),
            hooks: self.hooks.clone(),
            has_own_keyring: self.has_own_keyring,
            unit: self.unit.as_ref().map(|unit| unit.name().to_owned()),
            created: created_at.as_secs(),
        })?;
        console::hand_over_process(newborn.process(), self.pidfd_socket)?;
        write_pid_file(self.pid_file, newborn.process())
    }

    /// Takes everything away again; goes on after errors, the first failure was told.
    fn undo(&self, created: Option<&Created>) {
        if let Some(created) = created {
            drop(created.process.signal(9));
            drop(created.process.wait());
            self.forget(created);
        } else {
            self.stop_unit();
            drop(self.call.states.remove(self.id));
        }
    }

    fn stop_unit(&self) {
        self.call.warn(self.unit.as_ref().map_or(Ok(()), Unit::stop));
    }

    /// A process that never was needs no file with its number.
    fn remove_pid_file(&self) {
        if let Some(path) = self.pid_file {
            drop(std::fs::remove_file(path));
        }
    }

    /// Takes away what is left of a container whose process has ended.
    fn forget(&self, created: &Created) {
        if let Some(group) = &created.cgroup {
            drop(group.delete());
        }
        self.stop_unit();
        drop(self.call.states.remove(self.id));
        self.call.stopped(&self.hooks, &self.state);
    }
}

/// The number only, no line end, as runc has it.
pub(crate) fn write_pid_file(path: Option<&str>, process: &PidFd) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let text = process.pid().as_raw_nonzero().to_string();
    stdx::fs::write_atomic(path.as_ref(), text.as_bytes(), stdx::fs::Durability::Volatile)
        .map_err(|error| Failure::from(format!("write pid file {path}: {error}")))
}
