//! Deletes links in the background, in groups: one deletion costs the kernel 20 ms, thirty at once
//! hardly more. What a link blocked (its addresses) is released when it is gone.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use linux::netlink::Batch;
use linux::route::{Socket, change};

use crate::error::Error;
use crate::lease::{Lease, LeaseBook};
use crate::pool::{LinkNames, in_background, lock};

/// Links per deletion: bounds how long the kernel's network lock is held.
pub(crate) const GROUP: usize = 32;

/// A link to delete, and what is released then.
#[derive(Debug)]
pub(crate) struct Doomed {
    pub(crate) link: String,
    pub(crate) lease: Option<Lease>,
}

/// What the thread works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) group: u32,
    pub(crate) leases: Arc<LeaseBook>,
    pub(crate) names: Arc<LinkNames>,
}

/// The thread that deletes links.
#[derive(Debug)]
pub(crate) struct Reaper {
    sender: Mutex<Option<Sender<Doomed>>>,
    leases: Arc<LeaseBook>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Reaper {
    /// Starts the thread; it acts in the calling thread's namespace.
    pub(crate) fn start(context: Context) -> Result<Self, Error> {
        let mut socket = Socket::open().map_err(Error::kernel("start", "deletion of links"))?;
        let (sender, receiver) = channel();
        let leases = Arc::clone(&context.leases);
        let thread = std::thread::Builder::new()
            .name("network-reaper".to_owned())
            .spawn(move || {
                in_background();
                run(&mut socket, &context, &receiver);
            })
            .map_err(Error::io("start", "deletion of links"))?;
        Ok(Self { sender: Mutex::new(Some(sender)), leases, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a link over; returns at once. Once closed, the link is left to a later start.
    pub(crate) fn delete(&self, doomed: Doomed) {
        if let Some(lease) = doomed.lease {
            self.leases.expire(lease);
        }
        let refused = match lock(&self.sender).as_ref() {
            Some(sender) => sender.send(doomed).err().map(|refused| refused.0),
            None => Some(doomed),
        };
        // Whoever waits for the lease must not wait for ever.
        if let Some(lease) = refused.and_then(|doomed| doomed.lease) {
            self.leases.release(lease);
        }
    }

    /// Deletes what is due and ends the thread. Idempotent.
    pub(crate) fn close(&self) {
        drop(lock(&self.sender).take());
        if let Some(thread) = lock(&self.thread).take() {
            drop(thread.join());
        }
    }
}

fn run(socket: &mut Socket, context: &Context, receiver: &Receiver<Doomed>) {
    while let Ok(first) = receiver.recv() {
        let group: Vec<Doomed> =
            std::iter::once(first).chain(receiver.try_iter()).take(GROUP).collect();
        delete(socket, context.group, &group);
        for doomed in group {
            context.names.forget(&doomed.link);
            if let Some(lease) = doomed.lease {
                context.leases.release(lease);
            }
        }
    }
}

/// A link may be gone already, with its namespace: every failure but that is logged.
pub(crate) fn delete(socket: &mut Socket, group: u32, links: &[Doomed]) {
    let mut batch = Batch::new();
    if let [only] = links {
        change::delete_link(&mut batch, &only.link);
    } else {
        for doomed in links {
            change::set_group(&mut batch, &doomed.link, group);
        }
        report(socket.execute(&mut batch, "links to delete"));
        batch = Batch::new();
        change::delete_group(&mut batch, group);
    }
    report(socket.execute(&mut batch, "links"));
}

fn report(result: Result<(), linux::Error>) {
    const NO_DEVICE: i32 = 19;
    if let Err(error) = result
        && error.errno().is_none_or(|errno| errno.raw_os_error() != NO_DEVICE)
    {
        tracing::warn!(error = stdx::chain(&error), "cannot delete links");
    }
}
