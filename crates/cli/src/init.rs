//! The face of `--init`: process 1 of a container. It runs the command as its only child of
//! interest, passes signals on to it, reaps whatever else dies, and ends as the command ends.
//!
//! One thread, no allocation while waiting, no time-outs. The command is started by the standard
//! library, whose fork does without clone3: seccomp profiles of containers refuse that.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use linux::signal::SignalFd;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};

use crate::output;

/// The command does not exist.
const NOT_FOUND: u8 = 127;
/// The command cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// Something of our own went wrong.
const BROKEN: u8 = 125;

/// Signals that are not passed on: those that cannot be caught, those that a fault of our own
/// raises, and the one that tells of dead children.
const KEPT: &[i32] = &[4, 5, 6, 7, 8, 9, 11, 17, 19];

/// Runs `words` (after an optional `--`) and returns its exit code.
pub(crate) fn main(words: &[OsString]) -> ExitCode {
    let words = match words.split_first() {
        Some((first, rest)) if first == "--" => rest,
        _ => words,
    };
    let Some((program, arguments)) = words.split_first() else {
        output::warn("brig-init: no command");
        return ExitCode::from(BROKEN);
    };
    match run(program, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::warn(format!("brig-init: {}", stdx::chain(&error)));
            ExitCode::from(BROKEN)
        }
    }
}

fn run(program: &OsString, arguments: &[OsString]) -> Result<u8, linux::Error> {
    // Signals are caught before the command exists, so that none is lost.
    let numbers: Vec<i32> = (1..=64).filter(|number| is_caught(*number)).collect();
    let signals = SignalFd::new(&numbers)?;
    let command = match start(program, arguments) {
        Ok(command) => command,
        Err(error) => return Ok(not_started(program, &error)),
    };
    loop {
        wait_readable(&signals)?;
        while let Some(number) = linux::signal_name::next(&signals) {
            if number != linux::signal::CHLD {
                pass_on(command, number);
            } else if let Some(code) = reap(command) {
                return Ok(code);
            }
        }
    }
}

/// Starts the command in a process group of its own with no signal blocked or ignored, in the
/// foreground of the terminal if there is one.
fn start(program: &OsString, arguments: &[OsString]) -> io::Result<Pid> {
    let mut command = stdx::process::command(program);
    command.args(arguments).process_group(0);
    linux::process::reset_signals_of(&mut command);
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    if rustix::termios::tcsetpgrp(io::stdin(), pid).is_ok() {
        // It may have been stopped for reading the terminal too early.
        _ = rustix::process::kill_process_group(pid, Signal::CONT);
    }
    Ok(pid)
}

fn not_started(program: &OsString, error: &io::Error) -> u8 {
    let (reason, code) = match error.kind() {
        io::ErrorKind::NotFound => ("executable file not found in $PATH".to_owned(), NOT_FOUND),
        _ => (error.to_string(), NOT_EXECUTABLE),
    };
    output::warn(format!("brig-init: exec: {:?}: {reason}", program.to_string_lossy()));
    code
}

/// 32 and 33 belong to the C library.
fn is_caught(number: i32) -> bool {
    number == linux::signal::CHLD || !KEPT.contains(&number) && !matches!(number, 32 | 33)
}

fn wait_readable(signals: &SignalFd) -> Result<(), linux::Error> {
    let mut wanted = [PollFd::new(signals, PollFlags::IN)];
    match rustix::event::poll(&mut wanted, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(linux::Error::new("wait for", "signals", errno)),
    }
}

fn pass_on(command: Pid, number: i32) {
    // The command may just have ended; its end is on the way. It is not reaped before that is
    // noticed, so its number is still its own.
    if let Ok(process) = linux::process::PidFd::open(command) {
        drop(process.signal(number));
    }
}

/// Reaps all that has died; the command's exit code once it is among them.
fn reap(command: Pid) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == command {
            code = Some(exit_code(status));
        }
    }
    code
}

/// As a shell has it: the code, or 128 plus the signal's number.
fn exit_code(status: WaitStatus) -> u8 {
    let code = status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|number| 128 + number))
        .unwrap_or(i32::from(BROKEN));
    u8::try_from(code & 0xff).unwrap_or(BROKEN)
}

#[cfg(test)]
mod tests {
    use super::is_caught;

    #[test]
    fn faults_and_the_uncatchable_are_not_passed_on() {
        for number in [4, 9, 11, 19, 32, 33] {
            assert!(!is_caught(number), "{number}");
        }
        for number in [1, 2, 15, 17, 28, 34, 64] {
            assert!(is_caught(number), "{number}");
        }
    }
}
