//! `process`: the program, and who it is.

use std::ffi::CString;
use std::path::PathBuf;

use linux::capability::{Set, Sets};
use linux::process::{Credentials, Resource};
use linux::pty::Size;
use oci::runtime::{Capabilities, Process, Rlimit};

use super::label;
use super::landlock::{self, LandlockPlan};
use super::scheduling::{AffinityPlan, SchedulingPlan};
use crate::Error;
use crate::request::{Confinement, Stdio};
use crate::seccomp::{self, Filter};

/// What is run in the end.
#[derive(Debug)]
pub(crate) struct ProcessPlan {
    /// The program's name as given.
    pub command: String,
    /// Arguments, the name first.
    pub arguments: Vec<CString>,
    /// `NAME=value`.
    pub environment: Vec<CString>,
    /// Where a name without slash is looked for.
    pub search_path: String,
    /// Whether `HOME` is to be taken from the container's passwd.
    pub needs_home: bool,
    /// Working directory, absolute.
    pub directory: PathBuf,
    /// User, groups, capabilities.
    pub credentials: Credentials,
    /// File mode creation mask.
    pub umask: u32,
    /// Kind, soft and hard limit.
    pub limits: Vec<(Resource, Option<u64>, Option<u64>)>,
    /// How the kernel runs it.
    pub scheduling: SchedulingPlan,
    /// Where, when it is not the container's first.
    pub affinity: AffinityPlan,
    /// Exec gains nothing.
    pub no_new_privileges: bool,
    /// Filter of system calls.
    pub seccomp: Option<Filter>,
    /// What it may do at most.
    pub landlock: Option<LandlockPlan>,
    /// Content of `attr/apparmor/exec`.
    pub apparmor: Option<String>,
    /// Content of `attr/exec`.
    pub selinux: Option<String>,
    /// For the caller to write.
    pub oom_score_adjustment: Option<i32>,
    /// Standard streams.
    pub stdio: Stdio,
    /// Of the terminal, at first.
    pub terminal_size: Option<Size>,
    /// From 3 on.
    pub preserve_descriptors: u32,
}

/// Checks and converts.
pub(crate) fn plan(
    process: &Process,
    confinement: &Confinement<'_>,
    stdio: Stdio,
    preserve_descriptors: u32,
) -> Result<ProcessPlan, Error> {
    let command = process.args.first().filter(|name| !name.is_empty());
    let command = command.ok_or_else(|| Error::invalid("process.args", "has no program"))?;
    if !process.cwd.starts_with('/') {
        return Err(Error::invalid("process.cwd", format!("{:?} is not absolute", process.cwd)));
    }
    let environment = process.env.iter().filter(|entry| *entry != "HOME=");
    let environment: Vec<&String> = environment.collect();
    let variable = |name: &str| {
        let value = |entry: &&String| Some(entry.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        environment.iter().rev().find_map(value)
    };
    let size = process.console_size.filter(|size| size.width != 0 || size.height != 0);
    Ok(ProcessPlan {
        command: command.clone(),
        arguments: linux::process::strings(&process.args)?,
        search_path: variable("PATH").unwrap_or_default(),
        needs_home: variable("HOME").is_none(),
        environment: linux::process::strings(&environment)?,
        directory: PathBuf::from(&process.cwd),
        credentials: credentials(process)?,
        umask: process.user.umask.unwrap_or(0o022) & 0o777,
        limits: process.rlimits.iter().map(limit).collect::<Result<_, _>>()?,
        scheduling: SchedulingPlan::of(process, confinement)?,
        affinity: AffinityPlan::of(process.exec_cpu_affinity.as_ref())?,
        no_new_privileges: process.no_new_privileges,
        seccomp: seccomp::compile(confinement.seccomp)?,
        landlock: match confinement.landlock {
            Some(text) => landlock::plan(text, linux::landlock::version())?,
            None => None,
        },
        apparmor: label::profile_of(process)?,
        selinux: label::of_process(process)?,
        oom_score_adjustment: process.oom_score_adj,
        stdio,
        terminal_size: size.map(|size| Size { rows: size.height, columns: size.width }),
        preserve_descriptors,
    })
}

fn credentials(process: &Process) -> Result<Credentials, Error> {
    let user = &process.user;
    for id in [&user.uid, &user.gid].into_iter().chain(&user.additional_gids) {
        if *id == u32::MAX {
            return Err(Error::invalid("process.user", format!("{id} is no id")));
        }
    }
    Ok(Credentials {
        user: user.uid,
        group: user.gid,
        additional_groups: user.additional_gids.clone(),
        // A process that asks for none has none: it must not keep the caller's.
        capabilities: match &process.capabilities {
            Some(wanted) => capabilities(wanted)?,
            None => Sets::default(),
        },
    })
}

/// Names that nobody knows are an error; those that this process cannot give (an old kernel, a
/// container itself) are left out, as runc does.
fn capabilities(capabilities: &Capabilities) -> Result<Sets, Error> {
    let possible = Set::permitted_here()?;
    let read = |member: &str, names: &[String]| match Set::of_names(names) {
        Ok(set) => Ok(set.intersection(possible)),
        Err(error) => {
            Err(Error::invalid(format!("process.capabilities.{member}"), error.to_string()))
        }
    };
    Ok(Sets {
        bounding: read("bounding", &capabilities.bounding)?,
        effective: read("effective", &capabilities.effective)?,
        permitted: read("permitted", &capabilities.permitted)?,
        inheritable: read("inheritable", &capabilities.inheritable)?,
        ambient: read("ambient", &capabilities.ambient)?,
    })
}

fn limit(limit: &Rlimit) -> Result<(Resource, Option<u64>, Option<u64>), Error> {
    let resource = match limit.kind.as_str() {
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_STACK" => Resource::Stack,
        other => return Err(Error::invalid("process.rlimits", format!("{other:?} is unknown"))),
    };
    let number = |value: u64| (value != u64::MAX).then_some(value);
    Ok((resource, number(limit.soft), number(limit.hard)))
}

#[cfg(test)]
mod tests {
    use super::plan;
    use crate::request::{Confinement, Stdio};
    use oci::runtime::{Process, Rlimit, User};

    fn process() -> Process {
        Process { args: vec!["true".to_owned()], cwd: "/".to_owned(), ..Process::default() }
    }

    #[test]
    fn environment_is_searched_from_its_end() {
        let env = ["PATH=/a", "HOME=", "PATH=/b", "X=1"].map(str::to_owned).to_vec();
        let planned =
            plan(&Process { env, ..process() }, &Confinement::default(), Stdio::Inherit, 0)
                .unwrap();
        assert_eq!(planned.search_path, "/b");
        assert!(planned.needs_home);
        assert_eq!(planned.environment.len(), 3);
    }

    #[test]
    fn wrong_processes() {
        let capabilities = oci::runtime::Capabilities {
            bounding: vec!["CAP_NOTHING".to_owned()],
            ..Default::default()
        };
        let rlimit = Rlimit { kind: "NOFILE".to_owned(), ..Rlimit::default() };
        let user = User { uid: u32::MAX, ..User::default() };
        for wrong in [
            Process { args: Vec::new(), ..process() },
            Process { args: vec!["a\0b".to_owned()], ..process() },
            Process { cwd: "tmp".to_owned(), ..process() },
            Process { capabilities: Some(capabilities), ..process() },
            Process { rlimits: vec![rlimit], ..process() },
            Process { user, ..process() },
        ] {
            assert!(plan(&wrong, &Confinement::default(), Stdio::Inherit, 0).is_err(), "{wrong:?}");
        }
    }
}
