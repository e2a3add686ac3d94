//! Waiting for many things at once: epoll, and the descriptors made for it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use rustix::event::{EventfdFlags, Timespec};
use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use crate::Error;

pub use rustix::event::epoll::EventFlags as Interest;

/// An epoll instance whose registrations carry a number of the caller's choice.
#[derive(Debug)]
pub struct Epoll {
    fd: OwnedFd,
}

/// Something happened on a registered descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The number given at registration.
    pub key: u64,
    /// What it is ready for.
    pub interest: Interest,
}

impl Epoll {
    /// A new instance, close-on-exec.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new() -> Result<Self, Error> {
        let fd = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|errno| Error::new("create", "an epoll instance", errno))?;
        Ok(Self { fd })
    }

    /// Registers a descriptor.
    ///
    /// # Errors
    /// `PERM` for what cannot be waited for (a regular file), or no memory.
    pub fn add(&self, fd: BorrowedFd<'_>, key: u64, interest: Interest) -> Result<(), Error> {
        epoll::add(&self.fd, fd, epoll::EventData::new_u64(key), interest)
            .map_err(|errno| Error::new("wait on", "a descriptor", errno))
    }

    /// Changes what a registered descriptor is waited for.
    ///
    /// # Errors
    /// When it is not registered.
    pub fn modify(&self, fd: BorrowedFd<'_>, key: u64, interest: Interest) -> Result<(), Error> {
        epoll::modify(&self.fd, fd, epoll::EventData::new_u64(key), interest)
            .map_err(|errno| Error::new("change the wait on", "a descriptor", errno))
    }

    /// Takes a descriptor out. One that is not registered is left alone.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        _ = epoll::delete(&self.fd, fd);
    }

    /// Waits for up to 16 events; an empty answer means that the time is over. `None` waits for as
    /// long as it takes. A signal's arrival is not an end of the wait.
    ///
    /// # Errors
    /// When the kernel refuses, which it does only for a bug.
    pub fn wait(&self, time: Option<Duration>, ready: &mut Vec<Ready>) -> Result<(), Error> {
        ready.clear();
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let mut events = [const {
            epoll::Event { flags: Interest::empty(), data: epoll::EventData::new_u64(0) }
        }; 16];
        let count = loop {
            match epoll::wait(&self.fd, events.as_mut_slice(), time.as_ref()) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::new("wait for", "events", errno)),
                Ok(count) => break count,
            }
        };
        let found = events.iter().take(count);
        ready.extend(found.map(|event| Ready { key: event.data.u64(), interest: event.flags }));
        Ok(())
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A counter that one thread raises and another waits for.
#[derive(Debug)]
pub struct EventFd {
    fd: OwnedFd,
}

impl EventFd {
    /// A new counter at zero, non-blocking and close-on-exec.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new() -> Result<Self, Error> {
        let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| Error::new("create", "an eventfd", errno))?;
        Ok(Self { fd })
    }

    /// Makes it readable.
    pub fn raise(&self) {
        // Only a counter at its end could refuse, and that one is readable.
        _ = rustix::io::write(&self.fd, &1_u64.to_ne_bytes());
    }

    /// Whether it was raised since the last call, which makes it unreadable again.
    #[must_use]
    pub fn take(&self) -> bool {
        rustix::io::read(&self.fd, &mut [0; 8]).is_ok()
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A timer that can be waited for.
#[derive(Debug)]
pub struct TimerFd {
    fd: OwnedFd,
}

impl TimerFd {
    /// A timer on `CLOCK_BOOTTIME` (suspended time counts), not yet set.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new() -> Result<Self, Error> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let fd = rustix::time::timerfd_create(TimerfdClockId::Boottime, flags)
            .map_err(|errno| Error::new("create", "a timer", errno))?;
        Ok(Self { fd })
    }

    /// Fires once after this time; `None` stops it.
    ///
    /// # Errors
    /// When the time is beyond what the kernel counts.
    pub fn set(&self, after: Option<Duration>) -> Result<(), Error> {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A value of zero would stop it instead of firing at once.
        let value = after.map_or(Some(zero), |after| {
            Timespec::try_from(after.max(Duration::from_nanos(1))).ok()
        });
        let Some(it_value) = value else {
            return Err(Error::new("set", "a timer", Errno::INVAL));
        };
        let setting = Itimerspec { it_interval: zero, it_value };
        rustix::time::timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &setting)
            .map(drop)
            .map_err(|errno| Error::new("set", "a timer", errno))
    }

    /// Whether it has fired since the last call.
    #[must_use]
    pub fn take(&self) -> bool {
        rustix::io::read(&self.fd, &mut [0; 8]).is_ok()
    }
}

impl AsFd for TimerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::{Epoll, EventFd, Interest, TimerFd};

    #[test]
    fn events_carry_their_keys() {
        let epoll = Epoll::new().unwrap();
        let (event, timer) = (EventFd::new().unwrap(), TimerFd::new().unwrap());
        epoll.add(event.as_fd(), 7, Interest::IN).unwrap();
        epoll.add(timer.as_fd(), 8, Interest::IN).unwrap();
        let mut ready = Vec::new();
        epoll.wait(Some(Duration::ZERO), &mut ready).unwrap();
        assert!(ready.is_empty());
        event.raise();
        epoll.wait(None, &mut ready).unwrap();
        assert_eq!(ready[0].key, 7);
        assert!(event.take() && !event.take());
        timer.set(Some(Duration::from_millis(1))).unwrap();
        epoll.wait(None, &mut ready).unwrap();
        assert_eq!(ready[0].key, 8);
        assert!(timer.take());
    }
}
