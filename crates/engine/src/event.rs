//! What happened, in order: numbered events, a ring of the latest, and who listens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
}

impl Subject {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// What happened. `Display` gives the word (`exec_create: sh -c true` with its command).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the word it is shown as")]
pub enum Action {
    Create,
    Attach,
    Detach,
    Start,
    Die,
    Kill,
    Stop,
    Restart,
    Pause,
    Unpause,
    Rename,
    Resize,
    Oom,
    Destroy,
    Top,
    ArchivePath,
    ExtractToDir,
    ExecCreate { command: String },
    ExecStart { command: String },
    ExecDie,
    ExecDetach,
    Connect,
    Disconnect,
    Mount,
    Unmount,
    Pull,
    Tag,
    Untag,
    Delete,
    Load,
    Prune,
}

impl std::fmt::Display for Action {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self {
            Self::Create => "create",
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Start => "start",
            Self::Die => "die",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Rename => "rename",
            Self::Resize => "resize",
            Self::Oom => "oom",
            Self::Destroy => "destroy",
            Self::Top => "top",
            Self::ArchivePath => "archive-path",
            Self::ExtractToDir => "extract-to-dir",
            Self::ExecCreate { command } => return write!(formatter, "exec_create: {command}"),
            Self::ExecStart { command } => return write!(formatter, "exec_start: {command}"),
            Self::ExecDie => "exec_die",
            Self::ExecDetach => "exec_detach",
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Mount => "mount",
            Self::Unmount => "unmount",
            Self::Pull => "pull",
            Self::Tag => "tag",
            Self::Untag => "untag",
            Self::Delete => "delete",
            Self::Load => "load",
            Self::Prune => "prune",
        };
        formatter.write_str(word)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the order of events: never by the clock.
    pub sequence: u64,
    /// When.
    pub time: Timestamp,
    /// About what.
    pub subject: Subject,
    /// What.
    pub action: Action,
    /// The id of the object (of an image: its reference or id).
    pub id: String,
    /// `name`, `image`, `exitCode`, `signal`, labels, …
    pub attributes: BTreeMap<String, String>,
}

/// Which past events come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Kept events not older than this are sent first; none when absent.
    pub since: Option<Timestamp>,
    /// The stream ends at this time (also in the future); absent goes on for ever.
    pub until: Option<Timestamp>,
}

/// Events kept for those who ask for the past.
const KEPT: usize = 1024;

/// The events of an engine; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    /// The sequence number of the next event, for those who wait; `u64::MAX` once closed.
    next: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    next: u64,
}

impl Default for Shared {
    fn default() -> Self {
        Self { ring: Mutex::default(), next: watch::Sender::new(0) }
    }
}

impl Events {
    /// Adds an event and wakes those who listen.
    pub fn publish(
        &self,
        subject: Subject,
        action: Action,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let next = {
            let mut ring = lock(&self.shared.ring);
            let sequence = ring.next;
            ring.next += 1;
            if ring.events.len() == KEPT {
                ring.events.pop_front();
            }
            let time = Timestamp::now();
            let id = id.to_owned();
            ring.events.push_back(Event { sequence, time, subject, action, id, attributes });
            ring.next
        };
        self.shared.next.send_if_modified(|value| {
            let newer = *value < next;
            *value = (*value).max(next);
            newer
        });
    }

    /// Listens; what the filter wants of the past comes first, without a gap. A listener that falls
    /// a thousand events behind misses the oldest of them.
    #[must_use]
    pub fn subscribe(&self, filter: EventFilter) -> Subscription {
        let ring = lock(&self.shared.ring);
        let position = match filter.since {
            None => ring.next,
            Some(since) => ring
                .events
                .iter()
                .find(|event| event.time >= since)
                .map_or(ring.next, |event| event.sequence),
        };
        let wake = self.shared.next.subscribe();
        let until = filter.until;
        let ends_at = until.map(|until| Instant::now() + left_until(until));
        Subscription { shared: Arc::clone(&self.shared), wake, position, until, ends_at }
    }

    /// Ends every subscription, once it has given what there is.
    pub(crate) fn close(&self) {
        self.shared.next.send_replace(u64::MAX);
    }
}

/// A listener.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    wake: watch::Receiver<u64>,
    position: u64,
    until: Option<Timestamp>,
    /// When that was to come when it was asked for: it does, wherever the clock has gone since.
    ends_at: Option<Instant>,
}

impl Subscription {
    /// The next event; `None` at the end of the time asked for and when the engine closes.
    /// Cancelling the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let seen = *self.wake.borrow_and_update();
            if let Some(event) = self.kept() {
                if self.until.is_some_and(|until| event.time > until) {
                    return None;
                }
                self.position = event.sequence + 1;
                return Some(event);
            }
            if seen == u64::MAX {
                return None;
            }
            match self.ends_at {
                None => self.wake.changed().await.ok()?,
                Some(end) => tokio::time::timeout_at(end, self.wake.changed()).await.ok()?.ok()?,
            }
        }
    }

    fn kept(&self) -> Option<Event> {
        let ring = lock(&self.shared.ring);
        let first = ring.events.front()?.sequence;
        let index = self.position.max(first) - first;
        ring.events.get(usize::try_from(index).ok()?).cloned()
    }
}

/// How long it is until then; nothing when it has passed, a lifetime at most.
fn left_until(until: Timestamp) -> Duration {
    const LIFETIME: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let left = Duration::try_from(until.duration_since(Timestamp::now()));
    left.unwrap_or_default().min(LIFETIME)
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::{Timestamp, ToSpan};

    use super::{Action, EventFilter, Events, Subject};

    fn publish(events: &Events, id: &str) {
        events.publish(Subject::Container, Action::Start, id, BTreeMap::new());
    }

    #[tokio::test]
    async fn the_past_comes_first_and_in_order() {
        let events = Events::default();
        let before = Timestamp::now();
        publish(&events, "a");
        publish(&events, "b");
        let mut all =
            events.subscribe(EventFilter { since: Some(before), ..EventFilter::default() });
        let mut new = events.subscribe(EventFilter::default());
        publish(&events, "c");
        events.close();
        let mut ids = Vec::new();
        while let Some(event) = all.next().await {
            assert_eq!(event.sequence, ids.len() as u64);
            ids.push(event.id);
        }
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(new.next().await.unwrap().id, "c");
        assert!(new.next().await.is_none());
    }

    #[tokio::test]
    async fn a_time_in_the_past_ends_at_once() {
        let events = Events::default();
        publish(&events, "a");
        let now = Timestamp::now();
        let filter = EventFilter { since: Some(now - 1.hour()), until: Some(now) };
        let mut subscription = events.subscribe(filter);
        assert_eq!(subscription.next().await.unwrap().id, "a");
        assert!(subscription.next().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_listener_misses_the_oldest() {
        let events = Events::default();
        let mut subscription = events.subscribe(EventFilter::default());
        for number in 0..super::KEPT + 10 {
            publish(&events, &number.to_string());
        }
        assert_eq!(subscription.next().await.unwrap().sequence, 10);
    }

    #[test]
    fn words() {
        assert_eq!(
            Action::ExecCreate { command: "sh -c ls".into() }.to_string(),
            "exec_create: sh -c ls"
        );
        assert_eq!(Action::ExecDie.to_string(), "exec_die");
    }
}
