//! Bodies of replies: whole, or piece by piece.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;

/// Pieces as they come; an error breaks the connection off.
type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// The body of a reply.
pub(crate) enum Body {
    /// All of it; `None` once it has been sent.
    Whole(Option<Bytes>),
    /// As it comes, chunked.
    Pieces(Pieces),
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => formatter.debug_tuple("Whole").field(bytes).finish(),
            Self::Pieces(_) => formatter.write_str("Pieces"),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) => pieces
                .poll_next_unpin(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// A body from a source asked again and again; `None` ends it. Nothing runs while nobody reads.
pub(crate) fn stream<S, F, Fut>(source: S, next: F) -> Body
where
    S: Send + 'static,
    F: FnMut(S) -> Fut + Send + 'static,
    Fut: Future<Output = Option<(io::Result<Bytes>, S)>> + Send + 'static,
{
    Body::Pieces(Box::pin(futures_util::stream::unfold(source, next)))
}

/// The same from a source that may give nothing for ever: it ends with `closing` too, after what it
/// has to give by then.
pub(crate) fn endless<S, F, Fut>(closing: &CancellationToken, source: S, next: F) -> Body
where
    S: Send + 'static,
    F: FnMut(S) -> Fut + Send + 'static,
    Fut: Future<Output = Option<(io::Result<Bytes>, S)>> + Send + 'static,
{
    let mut pieces = Box::pin(futures_util::stream::unfold(source, next));
    let mut closed = Box::pin(closing.clone().cancelled_owned());
    Body::Pieces(Box::pin(futures_util::stream::poll_fn(move |context| {
        match pieces.poll_next_unpin(context) {
            Poll::Pending if closed.as_mut().poll(context).is_ready() => Poll::Ready(None),
            polled => polled,
        }
    })))
}
