//! A checkpoint on disk.
//!
//! ```text
//! IMAGE/                 mode 0700, CRIU's files, and
//!   descriptors.json     the standard streams' names, as runc has them: ["pipe:[7]", …]
//!   parent               a link to an earlier checkpoint beside this one, if it needs one
//! WORK/                  dump.log, restore.log, statistics; IMAGE itself when not named
//! ```
//! What is restored may come from strangers (CVE-2026-53489, CVE-2026-53492, CVE-2026-50195): nothing
//! but plain files is accepted, and nobody else may be able to change them.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::Error;

/// Where a checkpoint is, and where CRIU works.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The checkpoint's directory.
    pub image: &'a Path,
    /// For the log; the same when `None`.
    pub work: Option<&'a Path>,
}

/// Both, open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) image: OwnedFd,
    pub(super) work: Option<OwnedFd>,
    log: PathBuf,
}

const DESCRIPTORS: &str = "descriptors.json";
const PARENT: &str = "parent";

impl Places<'_> {
    /// For writing: what is missing is made.
    pub(super) fn make(&self, log: &str) -> Result<Opened, Error> {
        make_private(self.image)?;
        self.open(log)
    }

    /// For reading: everything is looked at.
    pub(super) fn check(&self, log: &str) -> Result<Opened, Error> {
        let opened = self.open(log)?;
        check_directory(&opened.image, self.image, MOST_PARENTS)?;
        Ok(opened)
    }

    fn open(&self, log: &str) -> Result<Opened, Error> {
        if let Some(work) = self.work {
            make_private(work)?;
        }
        Ok(Opened {
            image: open_directory(self.image)?,
            work: self.work.map(open_directory).transpose()?,
            log: self.work.unwrap_or(self.image).join(log),
        })
    }
}

impl Opened {
    /// Adds to an error of CRIU's what its log says last, and where the rest is.
    pub(super) fn explain(&self, error: Error) -> Error {
        let Error::Criu { message } = error else { return error };
        let text = read_last(&self.log).unwrap_or_default();
        let lines = last_errors(&text);
        let log = self.log.display();
        if text.is_empty() {
            return Error::Criu { message: format!("{message} (it has written no log)") };
        }
        Error::Criu { message: format!("{message}{lines}\nlog file: {log}") }
    }

    /// Takes away the empty directories that a CRIU which was killed has left where it worked.
    pub(super) fn tidy(&self) {
        let directory = self.work.as_ref().unwrap_or(&self.image);
        let Ok(entries) = Dir::read_from(directory) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_bytes().starts_with(b".criu.") {
                let _gone = rustix::fs::unlinkat(directory, entry.file_name(), AtFlags::REMOVEDIR);
            }
        }
    }

    /// The names of the standard streams, for whoever restores.
    pub(super) fn write_descriptors(&self, names: &[String]) -> Result<(), Error> {
        let fail = |errno| linux::Error::new("write", DESCRIPTORS, errno);
        let text = serde_json::to_vec(names).unwrap_or_default();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let file = rustix::fs::openat(&self.image, DESCRIPTORS, flags | OFlags::TRUNC, mode);
        let file = file.map_err(fail)?;
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let count = rustix::io::write(&file, rest).map_err(fail)?;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// The names of the standard streams as they were.
    pub(super) fn read_descriptors(&self) -> Result<Vec<StreamName>, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::openat(&self.image, DESCRIPTORS, flags, Mode::empty())
            .map_err(|errno| linux::Error::new("open", DESCRIPTORS, errno))?;
        let mut text = Vec::new();
        fs::File::from(file)
            .take(LONGEST)
            .read_to_end(&mut text)
            .map_err(|error| linux::Error::from_io("read", DESCRIPTORS, &error))?;
        parse_descriptors(&text)
    }
}

/// More than three names need.
const LONGEST: u64 = 1 << 16;

/// A standard stream that leads out of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StreamName {
    /// By this name CRIU knows it: what takes its place is given to it.
    Outside(String),
    /// Something inside, which CRIU makes again.
    Inside,
}

fn parse_descriptors(text: &[u8]) -> Result<Vec<StreamName>, Error> {
    let names: Vec<String> = serde_json::from_slice(text)
        .map_err(|error| Error::invalid(DESCRIPTORS, error.to_string()))?;
    if names.len() > 3 {
        return Err(Error::invalid(DESCRIPTORS, "there are more than three standard streams"));
    }
    Ok(names.into_iter().map(stream_name).collect())
}

/// Whatever is not exactly such a name is none: it goes no further than here.
fn stream_name(name: String) -> StreamName {
    let inside = |prefix: &str| name.strip_prefix(prefix)?.strip_suffix(']');
    let is_number = |text: &str, radix| {
        !text.is_empty() && text.len() <= 16 && text.chars().all(|digit| digit.is_digit(radix))
    };
    let is_pipe = inside("pipe:[").is_some_and(|inode| is_number(inode, 10));
    let is_file = ["file[", "tty["]
        .into_iter()
        .find_map(inside)
        .and_then(|pair| pair.split_once(':'))
        .is_some_and(|(first, second)| is_number(first, 16) && is_number(second, 16));
    if is_pipe || is_file { StreamName::Outside(name) } else { StreamName::Inside }
}

fn make_private(path: &Path) -> Result<(), Error> {
    let fail = |error| linux::Error::from_io("create directory", path.display(), &error);
    Ok(fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?)
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|errno| linux::Error::new("open directory", path.display(), errno).into())
}

/// Earlier checkpoints that one may need.
const MOST_PARENTS: u32 = 64;

/// Only plain files, and nobody else can put anything there.
fn check_directory(directory: &OwnedFd, path: &Path, parents: u32) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::invalid(format!("image {}", path.display()), reason));
    let look = |errno| linux::Error::new("look at", path.display(), errno);
    let status = rustix::fs::fstat(directory).map_err(look)?;
    let own = rustix::process::geteuid().as_raw();
    if status.st_mode & 0o022 != 0 || ![0, own].contains(&status.st_uid) {
        return refuse(
            "others could change it while it is read; it must be yours alone: mode 0700".into(),
        );
    }
    for entry in Dir::read_from(directory).map_err(look)? {
        let entry = entry.map_err(look)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let status =
            rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(look)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink if name.to_bytes() == PARENT.as_bytes() => {
                check_parent(directory, path, parents)?;
            }
            _ => return refuse(format!("{name:?} is not a plain file")),
        }
    }
    Ok(())
}

/// It must lie beside the image, or below what is beside it, and be such an image itself.
fn check_parent(directory: &OwnedFd, path: &Path, parents: u32) -> Result<(), Error> {
    let member = || format!("image {}", path.display());
    if parents == 0 {
        return Err(Error::invalid(member(), "it has too many parents"));
    }
    let fail = |errno| linux::Error::new("open parent of", path.display(), errno);
    let target = rustix::fs::readlinkat(directory, PARENT, Vec::new()).map_err(fail)?;
    let target = PathBuf::from(std::ffi::OsString::from(target.to_string_lossy().into_owned()));
    let mut parts = target.components();
    let is_beside = parts.next() == Some(Component::ParentDir);
    let rest = parts.as_path();
    let is_plain = rest.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_beside || !is_plain || rest.as_os_str().is_empty() {
        let reason = format!("its parent {} does not lie beside it", target.display());
        return Err(Error::invalid(member(), reason));
    }
    let above = rustix::fs::openat(directory, "..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let parent = rustix::fs::openat2(above.map_err(fail)?, rest, flags, Mode::empty(), resolve);
    check_directory(&parent.map_err(fail)?, &path.join(target), parents - 1)
}

/// The path of an earlier image, relative to the new one, which must be there.
pub(super) fn check_new_parent(image: &OwnedFd, parent: &str) -> Result<(), Error> {
    let fail = |errno| linux::Error::new("open", format!("--parent-path {parent}"), errno);
    if parent.starts_with('/') {
        return Err(Error::invalid("--parent-path", "must be relative to --image-path"));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(image, parent, flags, Mode::empty()) {
        Ok(_) => Ok(()),
        Err(errno) => Err(fail(errno).into()),
    }
}

/// The end of a log; it may be long.
fn read_last(path: &Path) -> io::Result<String> {
    use std::io::{Seek, SeekFrom};
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST)))?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines that CRIU marks as errors, each on a line of its own.
fn last_errors(text: &str) -> String {
    // That a helper was not there, or a feature, is an error to it too.
    let is_telling = |line: &&str| line.contains("Error (") && !line.contains("): exited, status=");
    let lines: Vec<&str> = text.lines().filter(is_telling).collect();
    let first = lines.len().saturating_sub(MOST_LINES);
    lines.iter().skip(first).map(|line| format!("\n  {line}")).collect()
}

const MOST_LINES: usize = 5;

impl Opened {
    /// The same directories in the present mount namespace, under these numbers: CRIU mounts things
    /// in them.
    pub(super) fn again(&self, places: &Places<'_>) -> Result<Vec<OwnedFd>, linux::Error> {
        let mut all = vec![again(places.image, &self.image, IMAGE_NUMBER)?];
        if let (Some(path), Some(work)) = (places.work, &self.work) {
            all.push(again(path, work, WORK_NUMBER)?);
        }
        Ok(all)
    }
}

/// Above all that is open.
pub(super) const IMAGE_NUMBER: u32 = 200;
pub(super) const WORK_NUMBER: u32 = 201;

fn again(path: &Path, known: &OwnedFd, number: u32) -> Result<OwnedFd, linux::Error> {
    let fail = |errno| linux::Error::new("open directory", path.display(), errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(fail)?;
    let (here, before) = (rustix::fs::fstat(&found), rustix::fs::fstat(known));
    let (here, before) = (here.map_err(fail)?, before.map_err(fail)?);
    if (here.st_dev, here.st_ino) != (before.st_dev, before.st_ino) {
        // Somebody has exchanged it since it was looked at.
        return Err(fail(Errno::STALE));
    }
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    let copy = rustix::io::fcntl_dupfd_cloexec(&found, number).map_err(fail)?;
    if copy.as_raw_fd() == number { Ok(copy) } else { Err(fail(Errno::MFILE)) }
}

/// A descriptor's number as CRIU wants it.
pub(super) fn number_of(descriptor: impl AsFd) -> Result<u32, Error> {
    let number = u32::try_from(descriptor.as_fd().as_raw_fd());
    number.map_err(|_| linux::Error::new("pass on", "a descriptor", Errno::BADF).into())
}

#[cfg(test)]
mod tests {
    use super::{Places, StreamName, last_errors, parse_descriptors};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    #[test]
    fn only_names_of_pipes_files_and_terminals_are_passed_on() {
        let parse = |text: &str| parse_descriptors(text.as_bytes());
        let text = r#"["pipe:[7]","/dev/null","file[1f:2a]"]"#;
        let outside = |name: &str| StreamName::Outside(name.to_owned());
        let expected = [outside("pipe:[7]"), StreamName::Inside, outside("file[1f:2a]")];
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse(r#"["tty[8800:17]"]"#).unwrap(), [outside("tty[8800:17]")]);
        for inside in [
            "tty[8800]",
            "pipe:[]",
            "pipe:[x]",
            "pipe:[7",
            "xpipe:[7]",
            "/x/pipe:[7]",
            "pipe:[7]]",
            "file[1]",
            "file[1:2]:x",
            "file[:]",
            "extRootNetNS",
            "tty[1:2]x",
            "pipe:[12345678901234567]",
        ] {
            assert_eq!(parse(&format!("[{inside:?}]")).unwrap(), [StreamName::Inside], "{inside}");
        }
        for wrong in ["", "{}", "[1]", r#"["a","b","c","d"]"#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    /// What is said of an image directory that was changed.
    fn refusal(change: impl FnOnce(&Path)) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let places = Places { image: &image, work: None };
        drop(places.make("dump.log").unwrap());
        assert_eq!(fs::metadata(&image).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(image.join("inventory.img"), "").unwrap();
        change(&image);
        places.check("restore.log").err().map(|error| error.to_string())
    }

    #[test]
    fn hostile_images() {
        assert_eq!(refusal(|_| {}), None);
        let link = |image: &Path| symlink("/etc/passwd", image.join("pages-1.img")).unwrap();
        assert!(refusal(link).unwrap().contains("not a plain file"));
        let directory = |image: &Path| fs::create_dir(image.join("core-1.img")).unwrap();
        assert!(refusal(directory).unwrap().contains("not a plain file"));
        let open = |image: &Path| {
            fs::set_permissions(image, fs::Permissions::from_mode(0o777)).unwrap();
        };
        assert!(refusal(open).unwrap().contains("0700"));
        for parent in ["/etc", "..", "../..", "../../x", "here", "../x/../../y"] {
            let refused = refusal(|image| symlink(parent, image.join("parent")).unwrap());
            assert!(refused.unwrap().contains("beside"), "{parent}");
        }
        let missing = refusal(|image| symlink("../none", image.join("parent")).unwrap());
        assert!(missing.unwrap().contains("prepare"));
        let by_link = refusal(|image| {
            symlink("/etc", image.parent().unwrap().join("etc")).unwrap();
            symlink("../etc", image.join("parent")).unwrap();
        });
        assert!(by_link.is_some());
        let itself = refusal(|image| symlink("../image", image.join("parent")).unwrap());
        assert!(itself.unwrap().contains("too many parents"));
        let hostile_parent = refusal(|image| {
            let parent = image.parent().unwrap().join("first");
            fs::create_dir(&parent).unwrap();
            symlink("/etc/passwd", parent.join("pages-1.img")).unwrap();
            symlink("../first", image.join("parent")).unwrap();
        });
        assert!(hostile_parent.unwrap().contains("not a plain file"));
        let good = refusal(|image| {
            fs::create_dir(image.parent().unwrap().join("first")).unwrap();
            symlink("../first", image.join("parent")).unwrap();
        });
        assert_eq!(good, None);
    }

    #[test]
    fn a_link_takes_nobody_to_a_file_of_the_hosts() {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside");
        let image = directory.path().join("image");
        fs::write(&outside, "kept").unwrap();
        let places = Places { image: &image, work: None };
        let opened = places.make("dump.log").unwrap();
        symlink(&outside, image.join("descriptors.json")).unwrap();
        assert!(opened.write_descriptors(&[]).is_err());
        assert!(opened.read_descriptors().is_err());
        assert_eq!(fs::read(&outside).unwrap(), b"kept");
    }

    #[test]
    fn errors_of_a_log() {
        let log = "(0.1) Error (a.c:1): one\n(0.2) Warn  (b.c:2): two\n(0.2) Error (criu/util.c:642): exited, status=1\n(0.3) Error (c.c:3): three\n";
        let expected = "\n  (0.1) Error (a.c:1): one\n  (0.3) Error (c.c:3): three";
        assert_eq!(last_errors(log), expected);
        assert_eq!(last_errors(&"Error (x)\n".repeat(9)).lines().count(), 6);
    }
}
