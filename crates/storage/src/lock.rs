//! Locks between processes: one daemon per data directory, one starter at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Error, Result};

/// The lock under which a daemon starts; dropping it lets the next starter go on.
#[derive(Debug)]
pub struct StartLock {
    _file: File,
}

/// The life-long lock on a data directory. It ends with the process, however it ends.
#[derive(Debug)]
pub(crate) struct RootLock {
    _file: File,
}

impl RootLock {
    /// Takes the lock at once or says who has it.
    pub(crate) fn take(root: &Path) -> Result<Self> {
        let path = root.join("lock");
        let mut file = open(&path).map_err(|source| Error::io("open", &path, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::InUse { root: root.to_owned(), pid: read_pid(&mut file) });
            }
            Err(errno) => return Err(Error::io("lock", &path, errno)),
        }
        write_pid(&mut file).map_err(|source| Error::io("write", &path, source))?;
        Ok(Self { _file: file })
    }
}

pub(crate) fn start(run: &Path) -> io::Result<StartLock> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(run)?;
    let file = open(&run.join("start.lock"))?;
    rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
    Ok(StartLock { _file: file })
}

/// As [`start`], but `None` when somebody else starts just now.
pub(crate) fn try_start(run: &Path) -> io::Result<Option<StartLock>> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(run)?;
    let file = open(&run.join("start.lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(StartLock { _file: file })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

pub(crate) fn owner(root: &Path) -> io::Result<Option<u32>> {
    let mut file = match File::open(root.join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(Errno::WOULDBLOCK) => Ok(Some(read_pid(&mut file).unwrap_or(0))),
        Err(errno) => Err(errno.into()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
