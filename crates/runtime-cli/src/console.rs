//! The caller's terminal and signals while a container runs in the foreground.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use linux::event::{Epoll, Interest};
use linux::process::{ExitStatus, PidFd, SingleThreaded};
use linux::signal::SignalFd;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::Failure;
use crate::notify::Inbox;

/// Sends the master of the container's terminal to whoever listens at the socket, with a name as
/// runc's protocol has it.
pub(crate) fn hand_over(terminal: Option<&OwnedFd>, socket: Option<&str>) -> Result<(), Failure> {
    let (Some(terminal), Some(socket)) = (terminal, socket) else { return Ok(()) };
    let connection = std::os::unix::net::UnixStream::connect(socket)
        .map_err(|error| format!("connect to console socket {socket}: {error}"))?;
    linux::socket::send_with_fds(connection.as_fd(), b"/dev/ptmx", &[terminal.as_fd()])?;
    Ok(())
}

/// Sends a descriptor of the process to whoever listens at the socket of `--pidfd-socket`.
pub(crate) fn hand_over_process(process: &PidFd, socket: Option<&str>) -> Result<(), Failure> {
    let Some(socket) = socket else { return Ok(()) };
    let connection = std::os::unix::net::UnixStream::connect(socket)
        .map_err(|error| format!("connect to pidfd socket {socket}: {error}"))?;
    linux::socket::send_with_fds(connection.as_fd(), b"pidfd", &[process.as_fd()])?;
    Ok(())
}

/// Keys of what is waited for.
const PROCESS: u64 = 0;
const SIGNAL: u64 = 1;
const MASTER: u64 = 2;
const INPUT: u64 = 3;
const NOTICE: u64 = 4;

/// Passes signals, input and output between the caller and the container.
pub(crate) struct Relay {
    signals: SignalFd,
    inbox: Cell<Option<Inbox>>,
}

impl Relay {
    /// Blocks signals, so that none is lost between the container's birth and the waiting.
    pub(crate) fn prepare(_token: &SingleThreaded) -> Result<Self, Failure> {
        // What the program itself does wrong must still end it.
        let own = [4, 5, 6, 7, 8, 9, 11, 19, 31, 32, 33];
        let all: Vec<i32> = (1..=64).filter(|number| !own.contains(number)).collect();
        Ok(Self { signals: SignalFd::new(&all)?, inbox: Cell::new(None) })
    }

    /// Passes on what the container says of its state, too.
    pub(crate) fn attend(&self, inbox: Option<Inbox>) {
        self.inbox.set(inbox);
    }

    /// Until the process has ended.
    pub(crate) fn run(
        &self,
        process: &PidFd,
        terminal: Option<OwnedFd>,
    ) -> Result<ExitStatus, Failure> {
        let epoll = Epoll::new()?;
        epoll.add(process.as_fd(), PROCESS, Interest::IN)?;
        epoll.add(self.signals.as_fd(), SIGNAL, Interest::IN)?;
        let mut inbox = self.inbox.take();
        if let Some(inbox) = &inbox {
            epoll.add(inbox.as_fd(), NOTICE, Interest::IN)?;
        }
        let mut screen = terminal.map(Screen::new).transpose()?;
        if let Some(screen) = &screen {
            screen.register(&epoll)?;
        }
        let mut ready = Vec::new();
        loop {
            epoll.wait(None, &mut ready)?;
            for event in &ready {
                if let (NOTICE, Some(inbox)) = (event.key, &mut inbox) {
                    // The manager goes on watching this process.
                    inbox.pass_on(std::process::id());
                }
                match (event.key, &mut screen) {
                    (SIGNAL, _) => self.pass_on(process, screen.as_ref())?,
                    (MASTER, Some(screen)) => screen.show(&epoll),
                    (INPUT, Some(screen)) => screen.type_in(&epoll),
                    _ => {}
                }
            }
            if ready.iter().any(|event| event.key == PROCESS) {
                if let Some(screen) = &mut screen {
                    screen.show_rest();
                }
                return Ok(process.wait()?);
            }
        }
    }

    fn pass_on(&self, process: &PidFd, screen: Option<&Screen>) -> Result<(), Failure> {
        while let Some(number) = linux::signal_name::next(&self.signals) {
            match (number, screen) {
                (28, Some(screen)) => screen.fit(),
                // The caller's own children, and urgent data, are no business of the container's.
                (17 | 23, _) => {}
                _ => drop(process.signal(number)),
            }
        }
        Ok(())
    }
}

/// The caller's terminal beside the container's.
struct Screen {
    master: OwnedFd,
    saved: Option<Termios>,
    input_open: bool,
}

impl Screen {
    fn new(master: OwnedFd) -> Result<Self, Failure> {
        let mut screen = Self { master, saved: None, input_open: true };
        if std::io::stdin().is_terminal() {
            let saved = tcgetattr(rustix::stdio::stdin())
                .map_err(|errno| linux::Error::new("read", "terminal settings", errno))?;
            let mut raw = saved.clone();
            raw.make_raw();
            tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)
                .map_err(|errno| linux::Error::new("set", "terminal settings", errno))?;
            screen.saved = Some(saved);
        }
        screen.fit();
        Ok(screen)
    }

    fn register(&self, epoll: &Epoll) -> Result<(), Failure> {
        epoll.add(self.master.as_fd(), MASTER, Interest::IN)?;
        // A file cannot be waited for: it is never "not ready", so it is copied at once.
        if epoll.add(rustix::stdio::stdin(), INPUT, Interest::IN).is_err() {
            let mut input = std::io::stdin().lock();
            let mut master = std::fs::File::from(
                self.master.try_clone().map_err(|error| format!("copy a descriptor: {error}"))?,
            );
            std::io::copy(&mut input, &mut master)
                .map_err(|error| format!("copy input: {error}"))?;
        }
        Ok(())
    }

    /// The container's terminal gets the size of the caller's.
    fn fit(&self) {
        if let Ok(size) = linux::pty::size(rustix::stdio::stdin()) {
            drop(linux::pty::set_size(&self.master, size));
        }
    }

    fn show(&mut self, epoll: &Epoll) {
        if !copy_once(self.master.as_fd(), rustix::stdio::stdout()) {
            epoll.remove(self.master.as_fd());
        }
    }

    fn type_in(&mut self, epoll: &Epoll) {
        if self.input_open && !copy_once(rustix::stdio::stdin(), self.master.as_fd()) {
            self.input_open = false;
            epoll.remove(rustix::stdio::stdin());
        }
    }

    /// What was written before the end is shown after it.
    fn show_rest(&mut self) {
        // A master that would block forever is left alone.
        if rustix::io::ioctl_fionbio(&self.master, true).is_err() {
            return;
        }
        while copy_once(self.master.as_fd(), rustix::stdio::stdout()) {}
        drop(std::io::stdout().flush());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // The terminal may be gone; then there is nothing to restore.
            let _restored = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, saved);
        }
    }
}

/// One piece; whether there may be more.
fn copy_once(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut piece = [0; 16384];
    let Ok(length) = rustix::io::read(from, &mut piece) else { return false };
    let mut rest = piece.get(..length).unwrap_or_default();
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    length > 0
}
