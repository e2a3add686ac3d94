//! `checkpoint`, and what it has in common with `restore`.

use std::path::Path;

use linux::process::PidFd;
use oci::runtime::Status;
use runtime::Error;
use runtime::checkpoint::{
    CheckpointRequest, Criu, ManageGroups, Places, Switch, checkpoint as write,
};
use runtime::state::{Record, process_of};

use crate::arguments::{Flag, Parsed};
use crate::bundle::Bundle;
use crate::control::{conflict, empty, group_of};
use crate::{Call, Failure};

const FLAGS: &[Flag] = &[
    Flag::value("image-path", None),
    Flag::value("work-path", None),
    Flag::value("parent-path", None),
    Flag::switch("leave-running", None),
    Flag::switch("tcp-established", None),
    Flag::switch("tcp-skip-in-flight", None),
    Flag::switch("link-remap", None),
    Flag::switch("ext-unix-sk", None),
    Flag::switch("shell-job", None),
    Flag::switch("lazy-pages", None),
    Flag::value("status-fd", None),
    Flag::value("page-server", None),
    Flag::switch("file-locks", None),
    Flag::switch("pre-dump", None),
    Flag::value("manage-cgroups-mode", None),
    Flag::value("empty-ns", None),
    Flag::switch("auto-dedup", None),
];

/// Flags that CRIU is told of, under its own names.
const SWITCHES: &[(&str, Switch)] = &[
    ("leave-running", Switch::LeaveRunning),
    ("tcp-established", Switch::TcpEstablished),
    ("tcp-skip-in-flight", Switch::TcpSkipInFlight),
    ("link-remap", Switch::LinkRemap),
    ("ext-unix-sk", Switch::ExternalUnixSockets),
    ("shell-job", Switch::ShellJob),
    ("file-locks", Switch::FileLocks),
    ("auto-dedup", Switch::AutoDedup),
];

/// `checkpoint [flags] ID`: the container is gone then, unless told otherwise.
pub(crate) fn checkpoint(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, FLAGS)?;
    let record = call.states.load(parsed.only_id()?)?;
    refuse_lazy(&parsed)?;
    match call.states.status(&record)? {
        Status::Running | Status::Paused => {}
        status => return Err(conflict("checkpoint", status)),
    }
    let process = process_of(&record)?.ok_or_else(|| conflict("checkpoint", Status::Stopped))?;
    let criu = find_criu(call)?;
    let token = call.seal()?;
    let bundle = Bundle::read(Some(&record.state.bundle))?;
    let group = group_of(&record)?;
    let memory_only = parsed.has("pre-dump");
    let request = CheckpointRequest {
        criu: &criu,
        record: &record,
        spec: &bundle.spec,
        group: &group,
        places: places(&parsed),
        switches: &switches(&parsed),
        manage_groups: manage_groups(&parsed)?,
        memory_only,
        parent: parsed.value("parent-path").filter(|path| !path.is_empty()),
        page_server: page_server(&parsed)?,
    };
    write(&token, &request)?;
    if !memory_only && !parsed.has("leave-running") {
        forget(call, &record, &process)?;
    }
    Ok(0)
}

/// CRIU has ended the processes.
fn forget(call: &Call, record: &Record, process: &PidFd) -> Result<(), Failure> {
    crate::control::end(process)?;
    if let Err(Error::NotFound { .. }) = call.states.load(&record.state.id) {
        // Who had run it in the foreground was sooner.
        return Ok(());
    }
    if let Ok(group) = group_of(record) {
        empty(&group)?;
    }
    call.stop_unit(record.unit.as_deref());
    call.states.remove(&record.state.id)?;
    call.stopped(&record.hooks, &record.state);
    Ok(())
}

pub(crate) fn find_criu(call: &Call) -> Result<Criu, Failure> {
    let search_path = std::env::var("PATH").unwrap_or_default();
    Ok(Criu::find(call.criu.as_deref(), &search_path)?)
}

/// As runc has it, a directory `checkpoint` in the present one when nothing is said.
pub(crate) fn places(parsed: &Parsed) -> Places<'_> {
    let path = |name| parsed.value(name).filter(|path| !path.is_empty()).map(Path::new);
    Places { image: path("image-path").unwrap_or(Path::new("checkpoint")), work: path("work-path") }
}

pub(crate) fn switches(parsed: &Parsed) -> Vec<Switch> {
    let given = SWITCHES.iter().filter(|(name, _)| parsed.has(name));
    given.map(|(_, switch)| *switch).collect()
}

pub(crate) fn manage_groups(parsed: &Parsed) -> Result<ManageGroups, Failure> {
    let mode = match parsed.value("manage-cgroups-mode") {
        None | Some("") => ManageGroups::Default,
        Some("soft") => ManageGroups::Soft,
        Some("full") => ManageGroups::Full,
        Some("strict") => ManageGroups::Strict,
        Some("ignore") => ManageGroups::Ignore,
        Some(other) => {
            let reason = "is none of soft, full, strict, ignore";
            return Err(format!("--manage-cgroups-mode: {other:?} {reason}").into());
        }
    };
    // That of the network is always empty: its devices are for those to make who made them first.
    match parsed.values("empty-ns").find(|kind| *kind != "network") {
        None => Ok(mode),
        Some(other) => Err(format!("--empty-ns: namespace {other:?} is not supported").into()),
    }
}

/// What needs somebody who goes on serving pages after this has ended.
pub(crate) fn refuse_lazy(parsed: &Parsed) -> Result<(), Failure> {
    for flag in ["lazy-pages", "status-fd"] {
        if parsed.value(flag).is_some_and(|value| value != "false") {
            let reason = "pages that are fetched later need a server that nothing here runs";
            return Err(format!("--{flag} is not supported: {reason}").into());
        }
    }
    Ok(())
}

/// `ADDRESS:PORT`; an address of IPv6 stands in brackets.
fn page_server(parsed: &Parsed) -> Result<Option<(&str, u16)>, Failure> {
    let Some(text) = parsed.value("page-server").filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let wrong = || format!("--page-server: {text:?} is not ADDRESS:PORT");
    let (address, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    match bare.unwrap_or(address) {
        "" => Err(wrong().into()),
        address => Ok(Some((address, port))),
    }
}

#[cfg(test)]
mod tests {
    use super::{FLAGS, manage_groups, page_server, places, refuse_lazy, switches};
    use crate::arguments::Parsed;
    use runtime::checkpoint::{ManageGroups, Switch};
    use std::path::Path;

    fn read(text: &str) -> Parsed {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        Parsed::read(&words, FLAGS).unwrap()
    }

    #[test]
    fn flags_and_their_meaning() {
        let parsed = read("--tcp-established --leave-running --link-remap=false --work-path /w id");
        assert_eq!(switches(&parsed), [Switch::LeaveRunning, Switch::TcpEstablished]);
        let found = places(&parsed);
        assert_eq!((found.image, found.work), (Path::new("checkpoint"), Some(Path::new("/w"))));
        assert_eq!(manage_groups(&parsed).ok(), Some(ManageGroups::Default));
        let mode = |text| manage_groups(&read(text)).ok();
        assert_eq!(mode("--manage-cgroups-mode=ignore id"), Some(ManageGroups::Ignore));
        assert_eq!(mode("--manage-cgroups-mode=none id"), None);
        assert_eq!(mode("--empty-ns network id"), Some(ManageGroups::Default));
        assert_eq!(mode("--empty-ns ipc id"), None);
        assert!(refuse_lazy(&read("--lazy-pages id")).is_err());
        assert!(refuse_lazy(&read("--status-fd 5 id")).is_err());
        assert!(refuse_lazy(&read("id")).is_ok());
    }

    #[test]
    fn addresses_of_page_servers() {
        let of =
            |text: &str| page_server(&read(text)).ok().flatten().map(|(a, p)| format!("{a} {p}"));
        assert_eq!(of("--page-server 127.0.0.1:99 id").as_deref(), Some("127.0.0.1 99"));
        assert_eq!(of("--page-server [::1]:99 id").as_deref(), Some("::1 99"));
        for wrong in ["99", ":99", "a:", "a:0", "a:65536", "[]:1"] {
            assert!(page_server(&read(&format!("--page-server {wrong} id"))).is_err(), "{wrong}");
        }
    }
}
