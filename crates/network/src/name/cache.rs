//! Answers of the upstream servers, kept as long as they said.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::pool::lock;

/// Answers kept at most: about 2 MiB.
const CAPACITY: usize = 4096;
/// No answer is kept longer, whatever it says.
const LONGEST: u32 = 3600;
/// No denial is kept longer.
const LONGEST_DENIAL: u32 = 30;

/// What makes two questions the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    name: Name,
    kind: RecordType,
    /// Whether signatures were asked for, and unchecked answers.
    flags: (bool, bool),
    servers: Arc<[SocketAddr]>,
}

impl Key {
    pub(super) fn of(request: &Message, servers: &Arc<[SocketAddr]>) -> Option<Self> {
        let question = request.queries.first()?;
        let signatures = request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
        Some(Self {
            name: question.name().to_lowercase(),
            kind: question.query_type(),
            flags: (signatures, request.metadata.checking_disabled),
            servers: Arc::clone(servers),
        })
    }
}

#[derive(Debug)]
struct Kept {
    message: Message,
    since: Instant,
    until: Instant,
}

/// The cache.
#[derive(Debug, Default)]
pub(super) struct Cache {
    kept: Mutex<HashMap<Key, Kept>>,
}

impl Cache {
    /// An answer that still holds, its times reduced by its age.
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Message> {
        let kept = lock(&self.kept);
        let found = kept.get(key).filter(|kept| now < kept.until)?;
        let mut message = found.message.clone();
        let age = now.saturating_duration_since(found.since).as_secs();
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        for record in message
            .answers
            .iter_mut()
            .chain(&mut message.authorities)
            .chain(&mut message.additionals)
        {
            record.decrement_ttl(age);
        }
        drop(kept);
        Some(message)
    }

    /// Keeps an answer if it allows that.
    pub(super) fn keep(&self, key: Key, message: Message, now: Instant) {
        let Some(seconds) = lifetime(&message).filter(|seconds| *seconds > 0) else { return };
        let until = now + Duration::from_secs(seconds.into());
        let mut kept = lock(&self.kept);
        if kept.len() >= CAPACITY {
            kept.retain(|_, kept| now < kept.until);
        }
        if kept.len() >= CAPACITY {
            // All of them still hold: half of them, any, make room.
            let mut odd = false;
            kept.retain(|_, _| {
                odd = !odd;
                odd
            });
        }
        kept.insert(key, Kept { message, since: now, until });
    }
}

/// Seconds for which an answer holds; for a denial, what RFC 2308 section 5 says.
fn lifetime(message: &Message) -> Option<u32> {
    let code = message.metadata.response_code;
    if message.metadata.truncation
        || !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
    {
        return None;
    }
    let positive = code == ResponseCode::NoError && !message.answers.is_empty();
    if positive {
        return message.answers.iter().map(|record| record.ttl.min(LONGEST)).min();
    }
    message.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum).min(LONGEST_DENIAL)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{OpCode, Query};
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::A;

    use super::*;

    fn message(ttl: u32) -> Message {
        let name = Name::from_ascii("example.org.").unwrap();
        let mut message = Message::response(1, OpCode::Query);
        message.add_query(Query::query(name.clone(), RecordType::A));
        message.add_answer(Record::from_rdata(name, ttl, RData::A(A::new(192, 0, 2, 1))));
        message
    }

    #[test]
    fn answers_age_and_expire() {
        let cache = Cache::default();
        let servers: Arc<[SocketAddr]> = Arc::new([]);
        let now = Instant::now();
        let key = Key::of(&message(60), &servers).unwrap();
        cache.keep(key.clone(), message(60), now);
        let later = now + Duration::from_secs(20);
        assert_eq!(cache.find(&key, later).unwrap().answers[0].ttl, 40);
        assert!(cache.find(&key, now + Duration::from_secs(60)).is_none());
        cache.keep(key.clone(), message(0), later);
        assert!(cache.find(&key, later + Duration::from_secs(50)).is_none());
        let mut failed = message(60);
        failed.metadata.response_code = ResponseCode::ServFail;
        assert_eq!(lifetime(&failed), None);
    }
}
