//! Raw mode: every key goes to the container; the terminal is put back on any way out.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::{Error, Result};

/// The terminal on standard input in raw mode, until dropped.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches standard input to raw mode; `None` when it is no terminal.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub(crate) fn enter() -> Result<Option<Self>> {
        if !super::stdin_is_terminal() {
            return Ok(None);
        }
        let failed =
            |errno: rustix::io::Errno| Error::local("set terminal to", "raw mode", errno.into());
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to put back.
        _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}
