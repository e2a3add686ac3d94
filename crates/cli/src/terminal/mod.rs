//! The caller's terminal: raw mode, size, keys that detach, signals, and the streams of a container.

pub(crate) mod attached;
pub(crate) mod raw;
pub(crate) mod signals;
mod stdin;

use std::io::{self, IsTerminal};

/// Height and width of the terminal on standard output (or input), `[0, 0]` when there is none.
pub(crate) fn size() -> [u32; 2] {
    let size = rustix::termios::tcgetwinsize(io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(io::stdin()));
    size.map_or([0, 0], |size| [u32::from(size.ws_row), u32::from(size.ws_col)])
}

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}
