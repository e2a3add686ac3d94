//! Telling whoever started the daemon that it serves.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The line by which a daemon that was started on demand says that it serves.
pub(crate) const LINE: &str = "ready";
/// What precedes the reason in the line by which it says that it does not.
pub(crate) const FAILED: &str = "failed: ";

/// Who waits for the daemon.
#[derive(Debug, Clone, Default)]
pub(crate) struct Announcer {
    /// A command reads our standard output.
    pub(crate) on_demand: bool,
    /// systemd's socket (`sd_notify(3)`).
    pub(crate) notify_socket: Option<OsString>,
}

impl Announcer {
    /// The daemon serves.
    pub(crate) fn ready(&self) {
        self.say(LINE);
        self.notify("READY=1");
    }

    /// The daemon does not start.
    pub(crate) fn failed(&self, reason: &str) {
        self.say(&format!("{FAILED}{}", reason.replace('\n', "; ")));
    }

    /// The daemon ends.
    pub(crate) fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    fn say(&self, line: &str) {
        if self.on_demand {
            let mut stdout = io::stdout();
            // Whoever waited may have gone.
            let _gone = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
        }
    }

    fn notify(&self, state: &str) {
        if let Some(path) = &self.notify_socket
            && let Err(error) = notify(path, state)
        {
            tracing::warn!(%error, "systemd cannot be told");
        }
    }
}

fn notify(path: &OsStr, state: &str) -> io::Result<()> {
    let address = match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::Announcer;

    #[test]
    fn systemd_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let announcer = Announcer { notify_socket: Some(path.into()), on_demand: false };
        announcer.ready();
        let mut bytes = [0; 32];
        let count = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"READY=1");
    }
}
