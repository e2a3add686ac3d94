//! `POST /images/create` and `POST /images/load`: images that come in.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use engine::images::{ImageEvent, Progress, PullRequest};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use oci::{Platform, Reference};
use tokio::sync::mpsc;

use super::Answer;
use crate::convert::image as convert;
use crate::http::{self, Call, Refusal};
use crate::server::Server;

/// Pieces of an archive between the connection and its reader.
const PIECES: usize = 8;

pub(super) async fn create(server: Arc<Server>, call: Call) -> Answer {
    let query = &call.query;
    if query.has("fromSrc") {
        return Err(Refusal::not_implemented("import of a file system as an image"));
    }
    let reference = reference(query.get("fromImage"), query.get("tag"))?;
    let platform = query.non_empty("platform").map(Platform::parse).transpose()?;
    let header = call.headers.get("x-registry-auth").map(|value| value.to_str());
    let header = header.transpose().map_err(|_| Refusal::invalid("X-Registry-Auth is no text"))?;
    let credentials = convert::credentials(header.unwrap_or_default())?;
    let request = PullRequest { reference, platform, credentials };
    stream(server.engine.images().pull(request), false).await
}

/// `fromImage` with `tag`, which may also be a digest.
fn reference(image: &str, tag: &str) -> Result<Reference, Refusal> {
    if image.is_empty() {
        return Err(Refusal::invalid("fromImage or fromSrc is required"));
    }
    let text = if tag.is_empty() {
        image.to_owned()
    } else if tag.contains(':') {
        format!("{image}@{tag}")
    } else {
        // A tag in the name gives way.
        return Ok(Reference::parse(image)?.with_tag(tag)?);
    };
    Ok(Reference::parse(&text)?)
}

/// Answers with the news as they come. What fails before there is any is refused as such.
async fn stream(mut progress: Progress, quiet: bool) -> Answer {
    let mut ready = VecDeque::new();
    while let Some(news) = progress.next().await {
        let news = news?;
        let waiting = matches!(news, ImageEvent::Resolving { .. });
        ready.extend(convert::progress(news));
        if !waiting {
            break;
        }
    }
    let source = Source { progress: Some(progress), ready, quiet };
    Ok(http::lines("application/json", http::stream(source, next)))
}

struct Source {
    progress: Option<Progress>,
    ready: VecDeque<docker_api::image::Progress>,
    quiet: bool,
}

async fn next(mut source: Source) -> Option<(io::Result<Bytes>, Source)> {
    loop {
        if let Some(line) = source.ready.pop_front() {
            if source.quiet && line.progress_detail.is_some() {
                continue;
            }
            return Some((http::line(&line), source));
        }
        match source.progress.as_mut()?.next().await? {
            Ok(news) => source.ready.extend(convert::progress(news)),
            Err(error) => {
                source.ready.push_back(convert::failure(stdx::chain(&error)));
                source.progress = None;
            }
        }
    }
}

pub(super) async fn load(server: Arc<Server>, call: Call) -> Answer {
    let quiet = call.query.flag("quiet");
    let archive = reader(&server, call.body);
    let progress = server.engine.images().load(Box::new(archive));
    stream(progress, quiet).await
}

/// A body as the synchronous reader of archives wants it; it breaks off when the daemon ends.
pub(super) fn reader(server: &Server, body: Incoming) -> impl Read + Send + use<> {
    let (sender, receiver) = mpsc::channel(PIECES);
    let engine = Arc::clone(&server.engine);
    let feeding = async move {
        tokio::select! {
            () = pump(body, sender) => {}
            // A client that has fallen silent keeps nobody from ending.
            () = engine.images().closed() => {}
        }
    };
    drop(server.tasks.spawn(feeding));
    Archive { receiver, piece: Bytes::new(), ended: false }
}

/// One piece, or the end (an empty piece), or what broke.
type Piece = io::Result<Bytes>;

/// Moves the body to the reader; a body that breaks off is no end.
async fn pump(mut body: Incoming, sender: mpsc::Sender<Piece>) {
    while let Some(frame) = body.frame().await {
        let piece = match frame {
            Ok(frame) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => Ok(bytes),
                _ => continue,
            },
            Err(error) => Err(io::Error::other(error)),
        };
        let broken = piece.is_err();
        // A reader that has had enough has an answer, which no client hears while it still speaks.
        drop(sender.send(piece).await);
        if broken {
            return;
        }
    }
    // The reader may have had enough.
    drop(sender.send(Ok(Bytes::new())).await);
}

/// A body as the synchronous reader of archives wants it.
#[derive(Debug)]
struct Archive {
    receiver: mpsc::Receiver<Piece>,
    piece: Bytes,
    ended: bool,
}

impl Read for Archive {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.ended {
            self.piece = match self.receiver.blocking_recv() {
                Some(piece) => piece?,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            };
            self.ended = self.piece.is_empty();
        }
        let count = self.piece.len().min(space.len());
        if let Some(space) = space.get_mut(..count) {
            self.piece.copy_to_slice(space);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use bytes::Bytes;
    use tokio::sync::mpsc;

    use super::{Archive, reference};

    #[test]
    fn names_tags_and_digests() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, tag, want) in [
            ("busybox", "latest", "docker.io/library/busybox:latest".to_owned()),
            ("busybox:1", "2", "docker.io/library/busybox:2".to_owned()),
            ("host:5000/a/b", "", "host:5000/a/b:latest".to_owned()),
            ("busybox", &digest, format!("docker.io/library/busybox@{digest}")),
        ] {
            assert_eq!(reference(image, tag).unwrap().to_string(), want);
        }
        assert!(reference("", "x").is_err());
        assert!(reference("UPPER", "x").is_err());
    }

    #[test]
    fn an_archive_that_breaks_off_is_no_end() {
        let (sender, receiver) = mpsc::channel(4);
        sender.try_send(Ok(Bytes::from_static(b"abc"))).unwrap();
        drop(sender);
        let mut archive = Archive { receiver, piece: Bytes::new(), ended: false };
        let mut text = String::new();
        assert!(archive.read_to_string(&mut text).is_err());
        assert_eq!(text.len() + 3, 3 + text.len());

        let (sender, receiver) = mpsc::channel(4);
        sender.try_send(Ok(Bytes::from_static(b"abc"))).unwrap();
        sender.try_send(Ok(Bytes::new())).unwrap();
        let mut archive = Archive { receiver, piece: Bytes::new(), ended: false };
        archive.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("abc"));
    }
}
