//! `GET /events`.

use docker_api::Filters;
use docker_api::event::{Actor, Message};
use engine::{Event, Subject};

use crate::http::Refusal;

/// The filters that Docker knows.
const FILTERS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

/// Refuses unknown filters.
pub(crate) fn check(filters: &Filters) -> Result<(), Refusal> {
    filters.check(FILTERS)?;
    Ok(())
}

/// Whether the filters let an event through: values of one name are alternatives (labels must all
/// be there), different names must all hold.
pub(crate) fn passes(filters: &Filters, event: &Event) -> bool {
    filters.iter().all(|(name, values)| match name {
        "type" => values.iter().any(|value| value == event.subject.as_str()),
        "event" => {
            let action = event.action.to_string();
            values.iter().any(|value| {
                *value == action || action.strip_prefix(value.as_str()).is_some_and(is_detail)
            })
        }
        "label" => values.iter().all(|value| has_label(event, value)),
        "scope" => values.iter().any(|value| value == "local"),
        "container" => event.subject == Subject::Container && names(event, values),
        "image" => match event.subject {
            Subject::Image => names(event, values),
            Subject::Container => event
                .attributes
                .get("image")
                .is_some_and(|image| values.iter().any(|value| same_image(image, value))),
            Subject::Volume | Subject::Network => false,
        },
        "volume" => event.subject == Subject::Volume && names(event, values),
        "network" => event.subject == Subject::Network && names(event, values),
        _ => false,
    })
}

/// `exec_start` stands for `exec_start: sh`.
fn is_detail(rest: &str) -> bool {
    rest.starts_with(": ")
}

fn has_label(event: &Event, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => event.attributes.get(key).is_some_and(|found| found == value),
        None => event.attributes.contains_key(wanted),
    }
}

/// Whether the event's object is one of these: by id, beginning of its id, or name.
fn names(event: &Event, values: &[String]) -> bool {
    let name = event.attributes.get("name").map(String::as_str).unwrap_or_default();
    values.iter().any(|value| {
        let value = value.trim_start_matches('/');
        !value.is_empty()
            && (event.id.starts_with(value) || name == value || same_image(name, value))
    })
}

/// Whether an image's name is meant, with or without its tag.
fn same_image(image: &str, wanted: &str) -> bool {
    image == wanted
        || image.rsplit_once(':').is_some_and(|(name, tag)| name == wanted && !tag.contains('/'))
}

/// The wire's form.
pub(crate) fn message(event: Event) -> Message {
    let action = event.action.to_string();
    let legacy = matches!(event.subject, Subject::Container | Subject::Image);
    let from = event.attributes.get("image").filter(|_| event.subject == Subject::Container);
    let nanoseconds = event.time.as_nanosecond();
    Message {
        status: if legacy { action.clone() } else { String::new() },
        id: if legacy { event.id.clone() } else { String::new() },
        from: from.cloned().unwrap_or_default(),
        kind: event.subject.as_str().to_owned(),
        action,
        actor: Actor { id: event.id, attributes: event.attributes },
        scope: "local".to_owned(),
        time: event.time.as_second(),
        time_nano: i64::try_from(nanoseconds).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use docker_api::Filters;
    use engine::{Action, Event, Subject};
    use jiff::Timestamp;

    use super::{message, passes};

    fn event() -> Event {
        let attributes = [("name", "web"), ("image", "busybox:1"), ("team", "a")];
        Event {
            sequence: 1,
            time: Timestamp::new(5, 6).unwrap(),
            subject: Subject::Container,
            action: Action::ExecStart { command: "sh -c x".into() },
            id: "abcdef".into(),
            attributes: attributes.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        }
    }

    #[test]
    fn the_wire_form() {
        let text = serde_json::to_string(&message(event())).unwrap();
        assert_eq!(
            text,
            r#"{"status":"exec_start: sh -c x","id":"abcdef","from":"busybox:1","Type":"container","Action":"exec_start: sh -c x","Actor":{"ID":"abcdef","Attributes":{"image":"busybox:1","name":"web","team":"a"}},"scope":"local","time":5,"timeNano":5000000006}"#
        );
    }

    #[test]
    fn filters() {
        for (text, want) in [
            (r#"{"container":["web"]}"#, true),
            (r#"{"container":["abc"],"type":["container","image"]}"#, true),
            (r#"{"container":["other"]}"#, false),
            (r#"{"event":["exec_start"]}"#, true),
            (r#"{"event":["exec"]}"#, false),
            (r#"{"image":["busybox"]}"#, true),
            (r#"{"label":["team=a"]}"#, true),
            (r#"{"label":["team","missing"]}"#, false),
            (r#"{"network":["web"]}"#, false),
        ] {
            assert_eq!(passes(&Filters::parse(text).unwrap(), &event()), want, "{text}");
        }
    }
}
