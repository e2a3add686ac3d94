//! `start`, `kill`, `delete`, `pause`, `resume`, `state`, `list`: what is done to a container
//! that exists.

use std::os::unix::fs::MetadataExt;

use linux::cgroup::{Group, Layout};
use linux::process::PidFd;
use oci::runtime::{State, Status};
use runtime::Error;
use runtime::state::{Record, process_of};

use crate::arguments::{Flag, Parsed};
use crate::log::print;
use crate::notify::{self, Inbox};
use crate::{Call, Failure};

/// `start ID`: opens the gate; returns when the program runs.
pub(crate) fn start(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, &[])?;
    let record = call.states.load(parsed.only_id()?)?;
    let status = call.states.status(&record)?;
    let process = process_of(&record)?.filter(|_| status == Status::Created);
    let process = process.ok_or_else(|| conflict("start", status))?;
    let gate = call.states.gate(&record.state.id);
    let inbox = match notify::is_wanted() {
        true => Some(Inbox::open(call, &record.state.id)?),
        false => None,
    };
    let result = runtime::gate::open(&gate, &process, &record.state);
    // Whatever came of it, there is no second try.
    drop(std::fs::remove_file(&gate));
    result?;
    if let Err(error) = runtime::hook::started(&record.hooks.poststart, &record.state) {
        end(&process)?;
        return Err(error.into());
    }
    if let Some(inbox) = inbox {
        inbox.await_ready(&process);
    }
    Ok(0)
}

/// `kill [--all] ID [SIGNAL]`.
pub(crate) fn kill(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, &[Flag::switch("all", Some('a'))])?;
    let record = call.states.load(parsed.id()?)?;
    let name = parsed.rest.get(1).map_or("TERM", String::as_str);
    let number = linux::signal_name::number(name)
        .ok_or_else(|| Failure::from(format!("unknown signal {name:?}")))?;
    if parsed.has("all") {
        for pid in group_of(&record)?.processes()? {
            // One that has ended meanwhile needs no signal.
            if let Ok(process) = PidFd::open(pid) {
                drop(process.signal(number));
            }
        }
        return Ok(0);
    }
    let Some(process) = process_of(&record)? else {
        return Err("container not running".to_owned().into());
    };
    process.signal(number)?;
    Ok(0)
}

/// `delete [--force] ID`.
pub(crate) fn delete(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, &[Flag::switch("force", Some('f'))])?;
    let id = parsed.only_id()?;
    let record = match call.states.load(id) {
        Err(Error::NotFound { .. }) if parsed.has("force") => {
            // What a command that was killed half-way has left.
            if let Some(group) = call.states.group(id)
                && let Ok(group) = Group::open(Layout::detect()?, &group)
            {
                empty(&group)?;
            }
            call.stop_unit(call.states.unit(id).as_deref());
            call.states.remove(id)?;
            return Ok(0);
        }
        other => other?,
    };
    let status = call.states.status(&record)?;
    let may_kill = parsed.has("force") || status == Status::Created;
    if let Some(process) = process_of(&record)? {
        if !may_kill {
            return Err(format!("cannot delete container {id} that is not stopped: {status:?}")
                .to_lowercase()
                .into());
        }
        end(&process)?;
    }
    if let Ok(group) = group_of(&record) {
        empty(&group)?;
    }
    if let Some(unit) = &record.unit {
        match runtime::systemd::stop(unit) {
            // Nobody is in the unit any more, so that it ends by itself; only nobody has waited for it.
            Err(error) if parsed.has("force") => call.warn(Err(error)),
            stopped => stopped?,
        }
    }
    call.states.remove(id)?;
    call.stopped(&record.hooks, &record.state);
    Ok(0)
}

/// Ends whoever is in a group, and removes it.
pub(crate) fn empty(group: &Group) -> Result<(), Failure> {
    if group.is_frozen().unwrap_or(false) {
        group.thaw()?;
    }
    // Processes that share the caller's pid namespace outlive their first one.
    if !group.processes()?.is_empty() {
        group.kill()?;
    }
    Ok(group.delete()?)
}

/// Kills a process that is no child, and waits until it has ended.
pub(crate) fn end(process: &PidFd) -> Result<(), Failure> {
    use rustix::event::{PollFd, PollFlags, poll};
    drop(process.signal(9));
    let mut wanted = [PollFd::new(process, PollFlags::IN)];
    loop {
        match poll(&mut wanted, None) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(linux::Error::new("wait for", "a process", errno).into()),
        }
    }
}

/// `pause ID`.
pub(crate) fn pause(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, &[])?;
    let record = call.states.load(parsed.only_id()?)?;
    match call.states.status(&record)? {
        Status::Running | Status::Created => {}
        status => return Err(conflict("pause", status)),
    }
    group_of(&record)?.freeze()?;
    Ok(0)
}

/// `resume ID`.
pub(crate) fn resume(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, &[])?;
    let record = call.states.load(parsed.only_id()?)?;
    match call.states.status(&record)? {
        Status::Paused => group_of(&record)?.thaw()?,
        status => return Err(conflict("resume", status)),
    }
    Ok(0)
}

/// `state ID`.
pub(crate) fn state(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, &[])?;
    let record = call.states.load(parsed.only_id()?)?;
    Ok(print(&format!("{:#}\n", shown(call, &record)?)))
}

/// `list [--quiet] [--format table|json]`.
pub(crate) fn list(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let flags = [Flag::value("format", Some('f')), Flag::switch("quiet", Some('q'))];
    let parsed = Parsed::read(words, &flags)?;
    let records = call.states.list()?;
    if parsed.has("quiet") {
        let lines: String = records.iter().map(|record| format!("{}\n", record.state.id)).collect();
        return Ok(print(&lines));
    }
    match parsed.value("format") {
        None | Some("table") => Ok(print(&table(call, &records)?)),
        Some("json") => {
            let all: Result<Vec<_>, _> = records.iter().map(|record| shown(call, record)).collect();
            Ok(print(&format!("{}\n", serde_json::Value::Array(all?))))
        }
        Some(other) => Err(format!("invalid format option {other:?}").into()),
    }
}

fn table(call: &Call, records: &[Record]) -> Result<String, Failure> {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let mut rows = vec![header.to_vec()];
    for record in records {
        let status = call.states.status(record)?;
        let pid = if status == Status::Stopped { 0 } else { record.state.pid };
        rows.push(vec![
            record.state.id.clone(),
            pid.to_string(),
            format!("{status:?}").to_lowercase(),
            record.state.bundle.clone(),
            time(record.created),
            owner(call, &record.state.id),
        ]);
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0).max(10)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  "));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    Ok(rows.iter().map(line).collect())
}

/// As `state` has it, and what runc adds.
fn shown(call: &Call, record: &Record) -> Result<serde_json::Value, Failure> {
    let status = call.states.status(record)?;
    let pid = if status == Status::Stopped { 0 } else { record.state.pid };
    let state = State { status, pid, ..record.state.clone() };
    let mut value = serde_json::to_value(&state).map_err(|error| error.to_string())?;
    if let Some(object) = value.as_object_mut() {
        object.insert("rootfs".to_owned(), record.rootfs.clone().into());
        object.insert("created".to_owned(), time(record.created).into());
        object.insert("owner".to_owned(), owner(call, &record.state.id).into());
    }
    Ok(value)
}

/// Whose the container is: who has made its directory, by name where it has one.
fn owner(call: &Call, id: &str) -> String {
    let Ok(directory) = std::fs::metadata(call.states.directory(id)) else { return String::new() };
    let number = directory.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&number)).then(|| name.to_owned())
    });
    name.unwrap_or(number)
}

fn time(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(crate) fn group_of(record: &Record) -> Result<Group, Failure> {
    Ok(Group::open(Layout::detect()?, &record.cgroup)?)
}

pub(crate) fn conflict(operation: &'static str, status: Status) -> Failure {
    Error::Conflict { operation, status: format!("{status:?}").to_lowercase() }.into()
}
