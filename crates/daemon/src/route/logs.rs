//! `GET /containers/{id}/logs`.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use docker_api::frame::{self, Stream};
use engine::LogStream;
use engine::container::{LogEntry, LogQuery, LogSource};

use super::{Answer, attach};
use crate::convert::time;
use crate::http::{self, Call, Refusal};
use crate::server::Server;

pub(super) async fn logs(server: Arc<Server>, call: Call, id: String) -> Answer {
    let query = &call.query;
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    if !stdout && !stderr {
        return Err(Refusal::invalid("Bad parameters: you must choose at least one stream"));
    }
    let wanted = LogQuery {
        stdout,
        stderr,
        since: time::parse(query.get("since"))?,
        until: time::parse(query.get("until"))?,
        tail: tail(query.get("tail")),
        follow: query.flag("follow"),
    };
    let stream = server.engine.containers().logs(&id, wanted).await?;
    let kind = attach::content_type(stream.terminal(), call.version);
    let form = Form {
        framed: !stream.terminal(),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
    };
    Ok(http::lines(kind, http::endless(&server.closing, Some((stream, form)), next)))
}

/// The last so many lines; all for `all` and for what is no number.
fn tail(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// How entries are written.
#[derive(Debug, Clone, Copy)]
struct Form {
    framed: bool,
    timestamps: bool,
    details: bool,
}

type Source = Option<(LogStream, Form)>;

async fn next(source: Source) -> Option<(std::io::Result<Bytes>, Source)> {
    let (mut stream, form) = source?;
    match stream.next().await? {
        Ok(entry) => Some((Ok(encode(&entry, form)), Some((stream, form)))),
        Err(error) => {
            let message = format!("Error grabbing logs: {}\n", stdx::chain(&error));
            let mut bytes = BytesMut::new();
            put(&mut bytes, Stream::System, &[message.as_bytes()], form.framed);
            Some((Ok(bytes.freeze()), None))
        }
    }
}

fn encode(entry: &LogEntry, form: Form) -> Bytes {
    let mut prefix = String::new();
    if form.timestamps {
        prefix.push_str(&time::fixed(entry.time));
        prefix.push(' ');
    }
    if form.details {
        // No attribute is ever kept with an entry.
        prefix.push(' ');
    }
    let source = match entry.source {
        LogSource::Stdout => Stream::Stdout,
        LogSource::Stderr => Stream::Stderr,
    };
    let mut bytes = BytesMut::new();
    put(&mut bytes, source, &[prefix.as_bytes(), &entry.bytes], form.framed);
    bytes.freeze()
}

fn put(bytes: &mut BytesMut, source: Stream, parts: &[&[u8]], framed: bool) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    bytes.reserve(length + frame::HEADER);
    if framed {
        bytes.put_slice(&frame::header(source, u32::try_from(length).unwrap_or(u32::MAX)));
    }
    for part in parts {
        bytes.put_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use engine::container::{LogEntry, LogSource};
    use jiff::Timestamp;

    use super::{Form, encode};

    #[test]
    fn entries_are_written() {
        let entry = LogEntry {
            time: Timestamp::new(1_700_000_000, 5).unwrap(),
            source: LogSource::Stderr,
            bytes: b"hi\n".to_vec(),
        };
        let form = Form { framed: true, timestamps: false, details: false };
        assert_eq!(&encode(&entry, form)[..], b"\x02\0\0\0\0\0\0\x03hi\n");
        let form = Form { framed: false, timestamps: true, details: true };
        assert_eq!(&encode(&entry, form)[..], b"2023-11-14T22:13:20.000000005Z  hi\n");
    }
}
