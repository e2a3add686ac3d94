//! `restore`.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use linux::process::SingleThreaded;
use oci::runtime::Hooks;
use runtime::checkpoint::{Criu, Places, RestoreRequest, Restored, restore as read_again};
use runtime::state::{Record, start_time};
use runtime::systemd::Unit;

use crate::arguments::{Flag, Parsed};
use crate::bundle::Bundle;
use crate::checkpoint::{find_criu, manage_groups, places, refuse_lazy, switches};
use crate::create::write_pid_file;
use crate::{Call, Failure, console};

const FLAGS: &[Flag] = &[
    Flag::value("console-socket", None),
    Flag::value("image-path", None),
    Flag::value("work-path", None),
    Flag::switch("tcp-established", None),
    Flag::switch("ext-unix-sk", None),
    Flag::switch("shell-job", None),
    Flag::switch("file-locks", None),
    Flag::value("manage-cgroups-mode", None),
    Flag::value("bundle", Some('b')),
    Flag::switch("detach", Some('d')),
    Flag::value("pid-file", None),
    Flag::switch("no-subreaper", None),
    Flag::switch("no-pivot", None),
    Flag::value("empty-ns", None),
    Flag::switch("auto-dedup", None),
    Flag::switch("lazy-pages", None),
    Flag::value("lsm-profile", None),
    Flag::value("lsm-mount-context", None),
];

/// `restore [flags] ID`: as `run`, from a checkpoint.
pub(crate) fn restore(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, FLAGS)?;
    let id = parsed.only_id()?;
    refuse_lazy(&parsed)?;
    if parsed.has("no-pivot") {
        return Err("--no-pivot is not supported".to_owned().into());
    }
    let criu = find_criu(call)?;
    let token = call.seal()?;
    let bundle = Bundle::read(parsed.value("bundle"))?;
    check_terminal(&parsed, &bundle)?;
    let unit = if call.systemd { Some(Unit::of(id, &bundle.spec)?) } else { None };
    match &unit {
        Some(unit) => call.states.reserve(id, unit.cgroup(), Some(unit.name()))?,
        None => call.states.reserve(id, &runtime::group_of(id, &bundle.spec)?, None)?,
    }
    let restoring = Restoring { call, id, parsed: &parsed, bundle: &bundle, criu: &criu, unit };
    let relay = if parsed.has("detach") { None } else { Some(console::Relay::prepare(&token)) };
    let begun = relay.transpose().and_then(|relay| Ok((relay, restoring.begin(&token)?)));
    let (relay, mut restored) = begun.inspect_err(|_| restoring.stop_unit_and_forget())?;
    restoring.record(&restored).inspect_err(|_| restoring.undo(&restored))?;
    let Some(relay) = relay else { return Ok(0) };
    let terminal = restored.terminal.take();
    let status = relay.run(&restored.process, terminal)?;
    restoring.forget(&restored);
    Ok(u8::try_from(status.code()).unwrap_or(255))
}

fn check_terminal(parsed: &Parsed, bundle: &Bundle) -> Result<(), Failure> {
    let detach = parsed.has("detach");
    let socket = parsed.value("console-socket").is_some();
    if detach && bundle.terminal() && !socket {
        let reason = "cannot hand over a terminal when detaching without --console-socket";
        return Err(reason.to_owned().into());
    }
    if socket && !(detach && bundle.terminal()) {
        let reason = "--console-socket needs a detached container with a terminal";
        return Err(reason.to_owned().into());
    }
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// A container on its way back.
struct Restoring<'a> {
    call: &'a Call,
    id: &'a str,
    parsed: &'a Parsed,
    bundle: &'a Bundle,
    criu: &'a Criu,
    unit: Option<Unit>,
}

impl Restoring<'_> {
    fn begin(&self, token: &SingleThreaded) -> Result<Restored, Failure> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let given = places(self.parsed);
        let image = absolute(given.image)?;
        let work = given.work.map(absolute).transpose()?;
        let request = RestoreRequest {
            criu: self.criu,
            places: Places { image: &image, work: work.as_deref() },
            id: self.id,
            spec: &self.bundle.spec,
            bundle: &self.bundle.directory,
            rootfs: &self.bundle.rootfs()?,
            mount_point: &absolute(&self.call.states.directory(self.id))?,
            streams: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()],
            unit: self.unit.as_ref(),
            switches: &switches(self.parsed),
            manage_groups: manage_groups(self.parsed)?,
            lsm_profile: self.parsed.value("lsm-profile").filter(|text| !text.is_empty()),
            lsm_mount_context: self
                .parsed
                .value("lsm-mount-context")
                .filter(|text| !text.is_empty()),
        };
        Ok(read_again(token, &request)?)
    }

    /// Remembers the container, and tells those who wait for its number and its terminal.
    fn record(&self, restored: &Restored) -> Result<(), Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.call.states.save(&Record {
            state: restored.state.clone(),
            start_time: start_time(restored.state.pid).unwrap_or(0),
            cgroup: restored.cgroup.path().to_owned(),
            rootfs: self.bundle.rootfs()?.display().to_string(),
            hooks: self.hooks(),
            has_own_keyring: true,
            unit: self.unit.as_ref().map(|unit| unit.name().to_owned()),
            created: now.as_secs(),
        })?;
        write_pid_file(self.parsed.value("pid-file"), &restored.process)?;
        console::hand_over(restored.terminal.as_ref(), self.parsed.value("console-socket"))
    }

    fn hooks(&self) -> Hooks {
        let poststop = self.bundle.spec.hooks.iter().flat_map(|hooks| hooks.poststop.clone());
        Hooks { poststop: poststop.collect(), ..Hooks::default() }
    }

    fn undo(&self, restored: &Restored) {
        drop(restored.process.signal(9));
        drop(restored.process.wait());
        if let Some(path) = self.parsed.value("pid-file") {
            drop(std::fs::remove_file(path));
        }
        self.forget(restored);
    }

    /// Takes away what is left of a container whose first process has ended.
    fn forget(&self, restored: &Restored) {
        drop(restored.cgroup.delete());
        self.stop_unit_and_forget();
        self.call.stopped(&self.hooks(), &restored.state);
    }

    fn stop_unit_and_forget(&self) {
        self.call.warn(self.unit.as_ref().map_or(Ok(()), Unit::stop));
        drop(self.call.states.remove(self.id));
    }
}
