//! The socket beneath hyper, which can be taken away from it.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// How long a client may take to read a head.
const PATIENCE: Duration = Duration::from_millis(200);

/// A client's socket.
#[derive(Debug)]
pub(crate) enum Socket {
    /// On `brig.sock` or `docker.sock`.
    Unix(UnixStream),
    /// On `--listen tcp://…`.
    Tcp(TcpStream),
}

impl Socket {
    /// Waits until the client has read what was written so far.
    ///
    /// Some clients (docker-py) read a reply's head through a buffer and the stream after it from
    /// the bare socket: output that came along with the head would be lost to them.
    pub(super) async fn until_read(&self) {
        let Self::Unix(stream) = self else { return };
        // A descriptor of its own: what is waited for here must not be taken for the stream's being
        // full, which it would then be until its client reads again.
        let copy = stream.as_fd().try_clone_to_owned().map(std::os::unix::net::UnixStream::from);
        let Ok(watched) = copy.and_then(UnixStream::from_std) else { return };
        let all_read =
            watched.async_io(Interest::WRITABLE, || {
                match linux::socket::unread_by_peer(watched.as_fd()) {
                    Ok(0) | Err(_) => Ok(()),
                    Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
                }
            });
        // A client that does not read its head now has no such buffer, or it has gone.
        let _in_time = tokio::time::timeout(PATIENCE, all_read).await;
    }
}

/// What goes on over a connection after it has been taken over: gets the socket and the bytes
/// that were read from it already.
pub(crate) type Session =
    Box<dyn FnOnce(Socket, Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// Shared by a connection's socket and its calls.
#[derive(Default)]
pub(crate) struct Slot {
    /// What hyper writes is dropped.
    muted: AtomicBool,
    /// The client's end of file is kept from hyper, which would give the call up.
    open_ended: AtomicBool,
    taken: Mutex<Option<(Bytes, Session)>>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Slot").field("muted", &self.muted).finish_non_exhaustive()
    }
}

impl Slot {
    /// Keeps the connection for a session, which begins with `head`; from now on hyper writes into
    /// the void.
    pub(crate) fn take_over(&self, head: Bytes, session: Session) {
        self.muted.store(true, Ordering::Release);
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some((head, session));
    }

    /// The session, once hyper is done.
    pub(crate) fn taken(&self) -> Option<(Bytes, Session)> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether hyper must not see the end of what the client sends: it may be the end of a
    /// process's standard input, sent together with the call.
    pub(crate) fn set_open_ended(&self, on: bool) {
        self.open_ended.store(on, Ordering::Release);
    }
}

/// A socket as hyper sees it.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) socket: Socket,
    slot: Arc<Slot>,
}

impl Guarded {
    pub(crate) fn new(socket: Socket, slot: Arc<Slot>) -> Self {
        Self { socket, slot }
    }

    fn muted(&self) -> bool {
        self.slot.muted.load(Ordering::Acquire)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.muted() {
            return Poll::Pending;
        }
        let before = space.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(context, space);
        let ended = matches!(result, Poll::Ready(Ok(()))) && space.filled().len() == before;
        if ended && self.slot.open_ended.load(Ordering::Acquire) {
            // Nobody need be woken: the call's own future goes on, and after its reply hyper reads
            // again.
            return Poll::Pending;
        }
        result
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.muted() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.muted() {
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        Pin::new(&mut self.socket).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.muted() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.muted() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(context, space),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, space),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::Socket;

    const LONG: Duration = Duration::from_secs(20);

    /// A client that reads nothing yet, not even the head, does not hold up what follows.
    #[tokio::test]
    async fn a_stream_takes_output_whether_or_not_its_head_was_read() {
        let (served, mut client) = UnixStream::pair().unwrap();
        let mut socket = Socket::Unix(served);
        socket.write_all(b"head").await.unwrap();
        socket.until_read().await;
        tokio::time::timeout(LONG, socket.write_all(b"output")).await.unwrap().unwrap();
        let mut read = [0; 10];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"headoutput");
    }

    /// The client may read at the very moment at which that is looked for.
    #[tokio::test]
    async fn a_head_that_is_read_meanwhile_is_not_waited_for() {
        for _ in 0..2000 {
            let (served, client) = UnixStream::pair().unwrap();
            let mut socket = Socket::Unix(served);
            let reader = std::thread::spawn(move || {
                let mut client = client.into_std().unwrap();
                client.set_nonblocking(false).unwrap();
                std::io::Read::read(&mut client, &mut [0; 64]).map(|_| client)
            });
            socket.write_all(b"head").await.unwrap();
            socket.until_read().await;
            tokio::time::timeout(LONG, socket.write_all(b"output")).await.unwrap().unwrap();
            drop(reader.join().unwrap().unwrap());
        }
    }
}
