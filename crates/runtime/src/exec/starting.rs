//! A process on its way into a container, as its caller sees it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::process::PidFd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::Error;
use crate::channel::{Gifts, Parent, Word, ended};
use crate::create::end;
use crate::request::Created;

/// A process on its way. To be advanced whenever one of its [descriptors](Starting::descriptors) is
/// readable. When it is dropped, what has been made ends by itself if it still can, and is to be
/// killed by [`Starting::processes`] otherwise.
#[derive(Debug)]
pub struct Starting {
    parent: Parent,
    go_between: PidFd,
    process: Option<PidFd>,
    is_gate_open: bool,
    /// Whether a listener is to be told of it.
    notifies: bool,
}

/// How far a process has come.
#[derive(Debug)]
pub enum Progress {
    /// There is nothing new.
    Pending,
    /// It is set up and waits for [`Starting::open_gate`].
    AtGate {
        /// The master side of its terminal, with [`crate::Stdio::Terminal`].
        terminal: Option<OwnedFd>,
    },
    /// The gate was open, and it has become its program.
    Running,
}

impl Starting {
    pub(super) fn new(parent: Parent, go_between: PidFd, notifies: bool) -> Self {
        Self { parent, go_between, process: None, is_gate_open: false, notifies }
    }

    /// Becomes readable when there is something to be heard, and when the go-between has ended.
    #[must_use]
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.parent.as_fd(), self.go_between.as_fd()]
    }

    /// Hears what there is; never waits.
    ///
    /// # Errors
    /// As [`Created::start`], [`Error::Ended`] when it was killed. What has been made is then to be
    /// killed and reaped.
    pub fn advance(&mut self) -> Result<Progress, Error> {
        while let Some(word) = self.next_word()? {
            match self.take(word)? {
                Progress::Pending => {}
                progress => return Ok(progress),
            }
        }
        Ok(Progress::Pending)
    }

    fn take(&mut self, word: Word) -> Result<Progress, Error> {
        match (word, &self.process) {
            (Word::Born(process), None) => {
                let proceed = self.parent.proceed(&process, &Gifts::default());
                self.process = Some(process);
                proceed?;
            }
            (Word::Listening(word), Some(process)) => self.parent.introduce(process, &word)?,
            (Word::Ready(terminal), Some(_)) => return Ok(Progress::AtGate { terminal }),
            (Word::End, Some(_)) if self.is_gate_open => return Ok(Progress::Running),
            (_, process) => return Err(ended(process.as_ref().unwrap_or(&self.go_between))),
        }
        Ok(Progress::Pending)
    }

    fn next_word(&self) -> Result<Option<Word>, Error> {
        let word = self.parent.hear()?;
        if word.is_some() || self.process.is_some() || !has_ended(&self.go_between) {
            return Ok(word);
        }
        // It may have spoken since; otherwise nobody will say which process it has made.
        Ok(Some(self.parent.hear()?.unwrap_or(Word::End)))
    }

    /// Opens the gate.
    ///
    /// # Errors
    /// As [`Created::start`], when it has failed or ended before.
    pub fn open_gate(&mut self) -> Result<(), Error> {
        self.is_gate_open = true;
        self.parent.open_gate(self.newest())
    }

    /// Waits only until it is known which process it is, tells it to `known`, and opens the gate
    /// before the process is there. Whether the program could be run is for [`Created::verdict`] to
    /// say when the process has ended: a caller who only waits for the end is not woken before. For
    /// a process without terminal, whose other end would come later.
    ///
    /// # Errors
    /// What `known` says, or as [`crate::exec`]. Nothing is left behind then.
    pub fn launch<E: From<Error>>(
        self,
        known: impl FnOnce(&PidFd) -> Result<(), E>,
    ) -> Result<Created, E> {
        if self.notifies {
            // Somebody has to introduce the process to its listener.
            let mut created = self.wait_at_gate()?;
            let started = known(&created.process).and_then(|()| Ok(created.start()?));
            return started.inspect_err(|_| end(&created.process)).map(|()| created);
        }
        let mut starting = self;
        let opened = starting.wait_born().map_err(E::from).and_then(|()| {
            known(starting.newest())?;
            Ok(starting.open_gate()?)
        });
        match opened {
            Ok(()) => Ok(starting.into_created(Ok(None))?),
            Err(error) => {
                starting.known().for_each(end);
                Err(error)
            }
        }
    }

    /// Waits until the process has been named, and hears nothing more: what it says from then on is
    /// for the verdict.
    fn wait_born(&mut self) -> Result<(), Error> {
        while self.process.is_none() {
            match self.next_word()? {
                Some(word) => drop(self.take(word)?),
                None => self.wait(),
            }
        }
        Ok(())
    }

    fn newest(&self) -> &PidFd {
        self.process.as_ref().unwrap_or(&self.go_between)
    }

    /// All processes of it that are known.
    pub fn known(&self) -> impl Iterator<Item = &PidFd> {
        [&self.go_between].into_iter().chain(&self.process)
    }

    /// The go-between and the process, both children of the caller to be reaped; the second one is
    /// missing when it was not made, or when the go-between was killed before it could tell.
    #[must_use]
    pub fn processes(self) -> (PidFd, Option<PidFd>) {
        (self.go_between, self.process)
    }

    /// Waits until it is at the gate.
    ///
    /// # Errors
    /// As [`crate::exec`]. Nothing is left behind then.
    pub fn wait_at_gate(mut self) -> Result<Created, Error> {
        let result = loop {
            match self.advance() {
                Ok(Progress::Pending) => self.wait(),
                Ok(Progress::AtGate { terminal }) => break Ok(terminal),
                Ok(Progress::Running) => break Err(ended(&self.go_between)),
                Err(error) => break Err(error),
            }
        };
        self.into_created(result)
    }

    fn into_created(self, result: Result<Option<OwnedFd>, Error>) -> Result<Created, Error> {
        let Self { parent, go_between, process, .. } = self;
        match (result, process) {
            (Ok(terminal), Some(process)) => {
                drop(go_between.wait());
                Ok(Created { process, terminal, cgroup: None, parent, is_running: false })
            }
            (result, process) => {
                process.iter().chain([&go_between]).for_each(end);
                Err(result.err().unwrap_or_else(|| ended(&go_between)))
            }
        }
    }

    fn wait(&self) {
        let [channel, go_between] = self.descriptors();
        let go_between = PollFd::from_borrowed_fd(go_between, PollFlags::IN);
        let channel = PollFd::from_borrowed_fd(channel, PollFlags::IN);
        // A go-between that has ended would be told again and again.
        let mut waiting = [channel, go_between];
        let count = if self.process.is_some() { 1 } else { 2 };
        while poll(&mut waiting[..count], None) == Err(Errno::INTR) {}
    }
}

/// Whether a child has ended; one that was reaped has.
fn has_ended(process: &PidFd) -> bool {
    !matches!(process.try_wait(), Ok(None))
}
