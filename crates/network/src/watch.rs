//! A thread that is woken when others change nftables. It costs nothing while nobody does.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use linux::event::{Epoll, EventFd, Interest};
use linux::nftables::{Changes, News};

use crate::error::Error;
use crate::pool::{in_background, lock};

const CHANGES: u64 = 0;
const STOP: u64 = 1;

/// The thread, ended by [`Self::close`].
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<EventFd>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Watch {
    /// Calls `mend` with whatever others have changed, for as long as it says that there is
    /// somebody to mend for.
    pub(crate) fn start(
        mut changes: Changes,
        mend: impl Fn(&News) -> bool + Send + 'static,
    ) -> Result<Self, Error> {
        let failed = || Error::kernel("watch", "nftables");
        let stop = Arc::new(EventFd::new().map_err(failed())?);
        let epoll = Epoll::new().map_err(failed())?;
        epoll.add(changes.as_fd(), CHANGES, Interest::IN).map_err(failed())?;
        epoll.add(stop.as_fd(), STOP, Interest::IN).map_err(failed())?;
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("network-watch".to_owned())
            .spawn(move || {
                let _open_for_epoll = stopped;
                in_background();
                if let Err(error) = run(&epoll, &mut changes, mend) {
                    let error = stdx::chain(&error);
                    tracing::error!(error, "changes of other firewalls are not followed any more");
                }
            })
            .map_err(Error::io("watch", "nftables"))?;
        Ok(Self { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread. Idempotent.
    pub(crate) fn close(&self) {
        self.stop.raise();
        // It may be the thread itself that lets go of the networks last.
        let myself = std::thread::current().id();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != myself) {
            drop(thread.join());
        }
    }
}

fn run(
    epoll: &Epoll,
    changes: &mut Changes,
    mend: impl Fn(&News) -> bool,
) -> Result<(), linux::Error> {
    let mut ready = Vec::new();
    loop {
        epoll.wait(None, &mut ready)?;
        if ready.iter().any(|ready| ready.key == STOP) {
            return Ok(());
        }
        let news = changes.take()?;
        if !news.is_empty() && !mend(&news) {
            return Ok(());
        }
    }
}
