//! The last steps: streams before the gate; limits, labels, credentials, filter and exec behind it.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use linux::path::{FileType, OFlags, Root};
use linux::procfs::Procfs;
use rustix::fs::{Mode, Uid};
use rustix::io::Errno;

use super::command::{Program, exec_failure, own_root, text_of, working_directory_is_inside};
use super::terminal::Terminal;
use crate::channel::{Child, Failure};
use crate::plan::{ProcessPlan, SchedulingPlan};
use crate::request::Stdio;

/// Goes to the working directory, resolved inside of the present root, and makes sure to be there.
pub(crate) fn enter_directory(path: &Path) -> Result<(), Failure> {
    let root: Root = own_root()?;
    let directory = root.open_at(path, OFlags::PATH | OFlags::DIRECTORY);
    let directory = directory.map_err(|error| no_directory(path, error.errno()))?;
    rustix::process::fchdir(&directory).map_err(|errno| no_directory(path, Some(errno)))?;
    working_directory_is_inside()
}

/// In Docker's words.
fn no_directory(path: &Path, errno: Option<Errno>) -> Failure {
    let errno = errno.unwrap_or(Errno::IO);
    let reason = text_of(errno);
    Failure::Command {
        message: format!("chdir to cwd ({path:?}) set in config.json failed: {reason}"),
        exit_code: if errno == Errno::NOENT { 127 } else { 126 },
    }
}

/// Puts the standard streams in their places. Gives back the master of a terminal, for the caller.
pub(crate) fn take_streams(
    process: &mut ProcessPlan,
    terminal: Option<Terminal>,
) -> Result<Option<OwnedFd>, Failure> {
    let fail = |errno| linux::Error::new("place", "standard streams", errno);
    let place = |input: BorrowedFd<'_>, output: BorrowedFd<'_>, error: BorrowedFd<'_>| {
        rustix::stdio::dup2_stdin(input)?;
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(error)
    };
    // The originals are closed.
    match (std::mem::replace(&mut process.stdio, Stdio::Inherit), terminal) {
        (Stdio::Terminal, Some(terminal)) => {
            let slave = terminal.pair.slave.as_fd();
            linux::pty::set_controlling(slave)?;
            place(slave, slave, slave).map_err(fail)?;
            Ok(Some(terminal.pair.master))
        }
        (Stdio::Descriptors { stdin, stdout, stderr }, _) => {
            place(stdin.as_fd(), stdout.as_fd(), stderr.as_fd()).map_err(fail)?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Behind the gate: nothing comes back but the reason why it failed.
pub(crate) fn finish(program: Program, channel: &Child) -> Result<Infallible, Failure> {
    let Program { process, path, environment, landlock, hooks } = program;
    own_streams(process.credentials.user)?;
    rustix::process::umask(Mode::from_raw_mode(process.umask));
    write_labels(&process)?;
    for (resource, soft, hard) in &process.limits {
        linux::process::set_resource_limit(*resource, *soft, *hard)?;
    }
    schedule(&process.scheduling)?;
    if process.no_new_privileges {
        linux::process::set_no_new_privileges()?;
    }
    if let Some(rules) = landlock {
        // The filter need not allow this; and without no_new_privs it wants privileges, too.
        rules.restrict()?;
    }
    if !process.no_new_privileges
        && let Some(filter) = &process.seccomp
    {
        // Without no_new_privs only a privileged process may load a filter.
        filter.load(channel)?;
    }
    linux::process::set_credentials(&process.credentials)?;
    if process.no_new_privileges
        && let Some(filter) = &process.seccomp
    {
        filter.load(channel)?;
    }
    if let Some(hooks) = hooks {
        // They are found in the container: so they may do no more than its program.
        hooks.run_start()?;
    }
    let errno = linux::process::exec(&path, &process.arguments, &environment);
    Err(exec_failure(&path, errno))
}

/// What needs rights that the program may not have.
fn schedule(plan: &SchedulingPlan) -> Result<(), linux::Error> {
    if let Some(personality) = plan.personality {
        linux::process::set_personality(personality)?;
    }
    if let Some((mode, nodes)) = &plan.memory {
        linux::scheduling::set_memory_policy(*mode, nodes)?;
    }
    if let Some((class, level)) = plan.io_priority {
        linux::scheduling::set_io_priority(class, level)?;
    }
    plan.policy.as_ref().map_or(Ok(()), linux::scheduling::set_policy)
}

/// The process's user owns its pipes and terminals, so that it can open `/dev/stdout` again.
fn own_streams(user: u32) -> Result<(), Failure> {
    if user == 0 {
        return Ok(());
    }
    for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let Ok(status) = rustix::fs::fstat(stream) else { continue };
        let null = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
            && status.st_rdev == rustix::fs::makedev(1, 3);
        if null || status.st_uid == user {
            continue;
        }
        match rustix::fs::fchown(stream, Some(Uid::from_raw(user)), None) {
            // A user that is not mapped, or a read-only file system: nothing that can be helped.
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => {
                return Err(linux::Error::new("change owner of", "a stream", errno).into());
            }
        }
    }
    Ok(())
}

/// Labels of the security modules, written where nobody can redirect them (CVE-2019-16884).
fn write_labels(process: &ProcessPlan) -> Result<(), Failure> {
    if process.apparmor.is_none() && process.selinux.is_none() {
        return Ok(());
    }
    let procfs = Procfs::new()?;
    let own = super::own_pid().as_raw_nonzero().to_string();
    if let Some(profile) = &process.apparmor {
        let path = Path::new(&own).join("attr/apparmor/exec");
        procfs.write(&path, format!("exec {profile}").as_bytes())?;
    }
    if let Some(label) = &process.selinux {
        procfs.write(&Path::new(&own).join("attr/exec"), label.as_bytes())?;
    }
    Ok(())
}
