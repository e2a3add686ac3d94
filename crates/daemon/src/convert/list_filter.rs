//! Filters of lists.

use docker_api::Filters;
use engine::container::{ListFilter, Port};
use engine::{Status, images::ImageFilter};

use super::create::port;
use crate::http::Refusal;

/// The filters of `GET /containers/json` that Docker knows.
const CONTAINER_FILTERS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// Which containers a list shows; `None` when a filter lets none through whatever there is.
pub(crate) fn containers(filters: &Filters) -> Result<Option<ListFilter>, Refusal> {
    filters.check(CONTAINER_FILTERS)?;
    let words = |name: &str| filters.get(name).to_vec();
    // No container has a health check or is a task of a swarm here.
    let health = filters.get("health");
    let tasks = filters.get("is-task").iter().any(|value| value == "true" || value == "1");
    if tasks || !health.is_empty() && !health.iter().any(|value| value == "none") {
        return Ok(None);
    }
    Ok(Some(ListFilter {
        statuses: filters.get("status").iter().map(status).collect::<Result<_, _>>()?,
        names: words("name"),
        ids: words("id"),
        labels: words("label"),
        ancestors: words("ancestor"),
        exited: filters.get("exited").iter().map(exit_code).collect::<Result<_, _>>()?,
        networks: words("network"),
        volumes: words("volume"),
        published: ports(filters.get("publish"))?,
        exposed: ports(filters.get("expose"))?,
        before: filters.get("before").first().cloned(),
        since: filters.get("since").first().cloned(),
        ..ListFilter::default()
    }))
}

fn status(word: &String) -> Result<Status, Refusal> {
    Status::parse(word).ok_or_else(|| Refusal::invalid(format!("invalid filter 'status={word}'")))
}

fn exit_code(word: &String) -> Result<i32, Refusal> {
    word.parse().map_err(|_| Refusal::invalid(format!("invalid filter 'exited={word}'")))
}

/// `80`, `80/tcp` or `8000-8010/udp`.
fn ports(words: &[String]) -> Result<Vec<Port>, Refusal> {
    let mut ports = Vec::new();
    for word in words {
        let (numbers, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let first = port(&format!("{first}/{protocol}"))?;
        let last = port(&format!("{last}/{protocol}"))?;
        ports.extend((first.number..=last.number).map(|number| Port { number, ..first }));
    }
    Ok(ports)
}

/// Which images a list shows.
pub(crate) fn images(filters: &Filters) -> Result<ImageFilter, Refusal> {
    filters.check(&["before", "dangling", "label", "reference", "since"])?;
    Ok(ImageFilter {
        references: filters.get("reference").to_vec(),
        labels: filters.get("label").to_vec(),
        dangling: filters.get("dangling").first().map(|word| truth(word)).transpose()?,
        before: filters.get("before").first().cloned(),
        since: filters.get("since").first().cloned(),
    })
}

/// `true`, `1`, `false`, `0`.
pub(crate) fn truth(word: &str) -> Result<bool, Refusal> {
    match word {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Refusal::invalid(format!("invalid filter value '{word}'"))),
    }
}

#[cfg(test)]
mod tests {
    use docker_api::Filters;

    use super::containers;

    #[test]
    fn filters_are_read() {
        let read = |text: &str| containers(&Filters::parse(text).unwrap());
        let filter = read(r#"{"status":["running"],"publish":["80-82/udp"],"name":{"a":true}}"#);
        let filter = filter.unwrap().unwrap();
        assert_eq!(filter.published.len(), 3);
        assert_eq!(filter.published[2].to_string(), "82/udp");
        assert_eq!(filter.names, ["a"]);
        assert!(read(r#"{"health":["healthy"]}"#).unwrap().is_none());
        assert!(read(r#"{"status":["asleep"]}"#).is_err());
        assert!(read(r#"{"colour":["red"]}"#).is_err());
    }
}
