//! Signals by name, and reading which one has arrived.

use crate::signal::SignalFd;

/// The number of the next signal that has arrived at the descriptor, if there is one.
#[must_use]
pub fn next(signals: &SignalFd) -> Option<i32> {
    use std::os::fd::AsFd;
    let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
    let length = rustix::io::read(signals.as_fd(), &mut record).ok()?;
    // The number is the first member of the record.
    let number = record.get(..4).filter(|_| length == record.len())?;
    i32::try_from(u32::from_ne_bytes(number.try_into().ok()?)).ok()
}

/// The number of a signal given as `KILL`, `SIGKILL` (any case), `RTMIN+3` or `9`.
#[must_use]
pub fn number(name: &str) -> Option<i32> {
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |text: &str| text.parse::<i32>().ok();
    let number = match bare.split_once(['+', '-']) {
        Some(("RTMIN", up)) if bare.contains('+') => 34 + offset(up)?,
        Some(("RTMAX", down)) if bare.contains('-') => 64 - offset(down)?,
        _ => NAMES.iter().find(|(known, _)| *known == bare)?.1,
    };
    (1..=64).contains(&number).then_some(number)
}

const NAMES: [(&str, i32); 36] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("IOT", libc::SIGIOT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn names_and_numbers() {
        for (name, expected) in
            [("KILL", 9), ("sigterm", 15), ("9", 9), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)]
        {
            assert_eq!(number(name), Some(expected), "{name}");
        }
        for name in ["", "0", "65", "NOPE", "RTMIN-1", "RTMIN+99", "-9", "SIGSIGKILL"] {
            assert_eq!(number(name), None, "{name}");
        }
    }
}
