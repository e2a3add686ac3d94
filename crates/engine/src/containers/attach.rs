//! Attaching to a container, and the size of its terminal.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use linux::event::{Epoll, Interest};
use monitor::protocol::{AttachStreams, Command, Size, WhenSlow};
use stdx::keys::DetachKeys;

use super::entry::Container;
use super::{Containers, connection, logs, not_running};
use crate::attach::AttachSession;
use crate::container::{AttachRequest, LogQuery, Status, Stdin, TerminalSize};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::rooms;

impl Containers {
    /// Attaches to it, before or after its start: nothing written after this call is missed.
    ///
    /// # Errors
    /// `Conflict` when it is paused or being restarted.
    pub async fn attach(&self, name: &str, request: AttachRequest) -> Result<AttachSession> {
        let container = self.shared.table.find(name)?;
        self.run(move |shared| async move {
            check(&container)?;
            let (terminal, stdin) =
                container.read(|s| (s.record.spec.terminal, s.record.spec.stdin));
            let keys = detach_keys(request.detach_keys.as_deref())?;
            let stdin = request.stdin && stdin != Stdin::Closed;
            let logs = if request.logs {
                let query = LogQuery {
                    stdout: request.stdout,
                    stderr: request.stderr,
                    ..LogQuery::default()
                };
                Some(logs::open(&shared, &container, &query).await?)
            } else {
                None
            };
            let stream = if request.stream {
                let streams = AttachStreams {
                    stdin,
                    stdout: request.stdout,
                    stderr: request.stderr,
                    when_slow: WhenSlow::default(),
                };
                let (ours, theirs) = pair()?;
                join(&container, streams, theirs)?;
                Some(connection::watched(ours)?)
            } else {
                None
            };
            shared.publish(&container, Action::Attach, &[]);
            let keys = Some(keys).filter(|_| terminal && stdin);
            Ok(AttachSession { terminal, logs, starting: None, stream, stdin, keys, ending: None })
        })
        .await
    }

    /// Notes that a client which was attached to it has detached.
    pub fn detached(&self, name: &str) {
        if let Ok(container) = self.shared.table.find(name) {
            self.shared.publish(&container, Action::Detach, &[]);
        }
    }

    /// Sets the size of its terminal; before its start the size is kept for it.
    ///
    /// # Errors
    /// `Conflict` when it has ended.
    #[expect(clippy::unused_async, reason = "as the other verbs")]
    pub async fn resize(&self, name: &str, size: TerminalSize) -> Result<()> {
        let container = self.shared.table.find(name)?;
        let live = container.change(|state| {
            state.size = Some(size);
            state.live.clone()
        });
        let Some(live) = live else {
            return match container.status() {
                Status::Created => Ok(()),
                _ => Err(not_running(&container)),
            };
        };
        let size_too = Size { height: size.height, width: size.width };
        live.control
            .send(&Command::Resize { exec: None, size: size_too }, None)
            .map_err(|error| rooms::monitor("resize the terminal of", &container.id, error))?;
        let more = [("height", size.height.to_string()), ("width", size.width.to_string())];
        self.shared.publish(&container, Action::Resize, &more);
        Ok(())
    }
}

fn check(container: &Container) -> Result<()> {
    let id = &container.id;
    match container.status() {
        Status::Paused => Err(Error::Conflict(format!(
            "container {id} is paused, unpause the container before attach"
        ))),
        Status::Restarting => Err(Error::Conflict(format!(
            "container {id} is restarting, wait until the container is running"
        ))),
        Status::Removing | Status::Dead => Err(not_running(container)),
        Status::Created | Status::Running | Status::Exited => Ok(()),
    }
}

/// The keys that detach: control-P, control-Q unless others are given.
///
/// # Errors
/// `Invalid` for a key that does not exist.
pub(super) fn detach_keys(given: Option<&str>) -> Result<DetachKeys> {
    let Some(text) = given.filter(|text| !text.is_empty()) else {
        return Ok(DetachKeys::default());
    };
    DetachKeys::parse(text).map_err(|unknown| Error::Invalid(unknown.to_string()))
}

/// Two ends of an attach socket: ours and the monitor's.
pub(super) fn pair() -> Result<(OwnedFd, OwnedFd)> {
    linux::socket::stream_pair().map_err(|error| rooms::kernel("attach to", "a process", error))
}

/// Gives a client's socket to the monitor, or keeps it for the start.
fn join(container: &Arc<Container>, streams: AttachStreams, theirs: OwnedFd) -> Result<()> {
    let waiting = container.change(|state| match &state.live {
        Some(live) => Some((live.clone(), theirs)),
        None => {
            state.waiting_clients.retain(|(_, waiting)| !has_left(waiting));
            state.waiting_clients.push((streams, theirs));
            None
        }
    });
    let Some((live, theirs)) = waiting else { return Ok(()) };
    live.control
        .send(&Command::Attach { exec: None, streams }, Some(theirs.as_fd()))
        .map_err(|error| rooms::monitor("attach to", &container.id, error))
}

/// Whether the client at the other end of a socket has gone altogether. (One that only sends
/// nothing more waits for output.)
fn has_left(waiting: &OwnedFd) -> bool {
    let look = || {
        let epoll = Epoll::new()?;
        epoll.add(waiting.as_fd(), 0, Interest::empty())?;
        let mut ready = Vec::new();
        epoll.wait(Some(Duration::ZERO), &mut ready)?;
        Ok::<_, linux::Error>(ready.iter().any(|ready| ready.interest.contains(Interest::HUP)))
    };
    look().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    use super::{has_left, pair};

    #[test]
    fn who_has_left() {
        let (ours, theirs) = pair().unwrap();
        let ours = UnixStream::from(ours);
        assert!(!has_left(&theirs));
        ours.shutdown(Shutdown::Write).unwrap();
        assert!(!has_left(&theirs), "it waits for output");
        drop(ours);
        assert!(has_left(&theirs));
    }
}
