//! Finding the program, as `exec.LookPath` of Go does, because its words are what Docker prints.

use std::ffi::CString;
use std::path::Path;

use linux::landlock::Ruleset;
use linux::path::Root;
use rustix::fs::{Access, CWD, FileType, access, stat};
use rustix::io::Errno;

use crate::channel::Failure;
use crate::hook::OfContainer;
use crate::plan::ProcessPlan;

/// What is left to do: a process, and the file it becomes.
pub(crate) struct Program {
    /// Limits, credentials, arguments.
    pub(crate) process: ProcessPlan,
    /// The program's file.
    pub(crate) path: CString,
    /// Its environment.
    pub(crate) environment: Vec<CString>,
    /// What it may do at most.
    pub(crate) landlock: Option<Ruleset>,
    /// What is run before it.
    pub(crate) hooks: Option<OfContainer>,
}

/// The home directory that the container's passwd gives this user, `/` when it does not know it.
/// `None` when the environment has one.
pub(crate) fn home(process: &ProcessPlan, root: &Root) -> Option<CString> {
    if !process.needs_home {
        return None;
    }
    let text = root.read(Path::new("/etc/passwd"), 1 << 20).unwrap_or_default();
    let home = home_in(&text, process.credentials.user).unwrap_or("/");
    CString::new(format!("HOME={home}")).ok()
}

/// name:password:uid:gid:comment:home:shell
fn home_in(passwd: &[u8], user: u32) -> Option<&str> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = std::str::from_utf8(line).ok()?.split(':');
        let id = fields.nth(2)?;
        let home = fields.nth(2)?;
        (id.parse() == Ok(user) && !home.is_empty()).then_some(home)
    })
}

/// Finds the program's file. The process is in its root and working directory already.
pub(crate) fn find(process: ProcessPlan, home: Option<CString>) -> Result<Program, Failure> {
    let path = look_up(&process.command, &process.search_path)?;
    let path = CString::new(path)
        .map_err(|_| linux::Error::new("execute", &process.command, Errno::INVAL))?;
    let landlock = process.landlock.as_ref().map(super::landlock::make).transpose()?;
    let mut environment = process.environment.clone();
    tell_own_pid(&mut environment)?;
    environment.extend(home);
    Ok(Program { process, path, environment, landlock, hooks: None })
}

/// Whoever is given sockets must find its own number beside them (`sd_listen_fds(3)`), which nobody
/// knew before: an empty `LISTEN_PID` becomes it.
fn tell_own_pid(environment: &mut [CString]) -> Result<(), Failure> {
    const EMPTY: &[u8] = b"LISTEN_PID=";
    for entry in environment.iter_mut().filter(|entry| entry.as_bytes() == EMPTY) {
        let own = super::own_pid().as_raw_nonzero();
        *entry = CString::new(format!("LISTEN_PID={own}"))
            .map_err(|_| linux::Error::new("tell", "LISTEN_PID", Errno::INVAL))?;
    }
    Ok(())
}

fn look_up(command: &str, search_path: &str) -> Result<String, Failure> {
    let fail = |text: &str, exit_code| Failure::Command {
        message: format!("exec: {command:?}: {text}"),
        exit_code,
    };
    if command.contains('/') {
        return match executable(command) {
            Ok(()) => Ok(command.to_owned()),
            Err(Errno::NOENT) => {
                Err(fail(&format!("stat {command}: no such file or directory"), 127))
            }
            Err(Errno::NOTDIR) => Err(fail(&format!("stat {command}: not a directory"), 126)),
            Err(errno) => Err(fail(&text_of(errno), 126)),
        };
    }
    for directory in search_path.split(':') {
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{directory}/{command}");
        if executable(&candidate).is_ok() {
            return Ok(candidate);
        }
    }
    Err(fail("executable file not found in $PATH", 127))
}

fn executable(path: &str) -> Result<(), Errno> {
    let status = stat(path)?;
    if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    access(path, Access::EXEC_OK)
}

/// Why exec itself failed, and the exit code for it.
pub(crate) fn exec_failure(path: &CString, errno: Errno) -> Failure {
    let exit_code = if errno == Errno::NOENT { 127 } else { 126 };
    let message = format!("exec {}: {}", path.to_string_lossy(), text_of(errno));
    Failure::Command { message, exit_code }
}

/// As C has it, beginning in lower case: `permission denied`.
pub(super) fn text_of(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(characters).chain(linux::advice(errno.raw_os_error()).chars()).collect()
}

/// Whether the container's root can be seen from the working directory at all (CVE-2024-21626):
/// outside of it the kernel says `(unreachable)`.
pub(crate) fn working_directory_is_inside() -> Result<(), Failure> {
    let path = rustix::process::getcwd(Vec::new())
        .map_err(|errno| linux::Error::new("read", "working directory", errno))?;
    if path.as_bytes().starts_with(b"/") {
        return Ok(());
    }
    Err(linux::Error::new("stay inside in", path.to_string_lossy(), Errno::XDEV).into())
}

/// Opens the current directory's root, so that a file system entered by namespace can be looked at.
pub(crate) fn own_root() -> Result<Root, Failure> {
    let flags =
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, "/", flags, rustix::fs::Mode::empty())
        .map_err(|errno| linux::Error::new("open", "/", errno))?;
    Ok(Root::from_fd(root))
}

#[cfg(test)]
mod tests {
    use super::{home_in, look_up, text_of};
    use crate::channel::Failure;
    use rustix::io::Errno;

    fn message(result: Result<String, Failure>) -> (String, u8) {
        match result {
            Err(Failure::Command { message, exit_code }) => (message, exit_code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_are_those_of_docker() {
        assert_eq!(
            message(look_up("nothing-like-it", "/bin:/usr/bin")),
            ("exec: \"nothing-like-it\": executable file not found in $PATH".to_owned(), 127)
        );
        assert_eq!(
            message(look_up("/no/such", "")),
            ("exec: \"/no/such\": stat /no/such: no such file or directory".to_owned(), 127)
        );
        assert_eq!(
            message(look_up("/etc", "")),
            ("exec: \"/etc\": is a directory".to_owned(), 126)
        );
        assert_eq!(look_up("sh", "/nowhere:/bin").unwrap(), "/bin/sh");
        assert_eq!(text_of(Errno::NOEXEC), "exec format error");
    }

    #[test]
    fn homes() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbroken\nuser:x:1000:1000::/home/user:\n";
        assert_eq!(home_in(passwd, 1000), Some("/home/user"));
        assert_eq!(home_in(passwd, 0), Some("/root"));
        assert_eq!(home_in(passwd, 5), None);
        assert_eq!(home_in(b"", 0), None);
    }
}
