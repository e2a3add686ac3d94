//! What Docker's API has and brig does not do yet.

use hyper::Method;

/// Method, path (`*` is one segment, `**` one or more), and what it is.
const FEATURES: &[(&str, &str, &str)] = &[
    ("GET", "containers/*/changes", "the list of a container's changes"),
    ("GET", "containers/*/export", "export of a container"),
    ("POST", "containers/*/update", "update of a container"),
    ("GET", "containers/*/attach/ws", "attaching by websocket"),
    ("*", "containers/*/checkpoints", "checkpoints"),
    ("*", "containers/*/checkpoints/*", "checkpoints"),
    ("POST", "build", "build"),
    ("POST", "build/cancel", "build"),
    ("POST", "commit", "commit"),
    ("POST", "session", "BuildKit sessions"),
    ("POST", "grpc", "BuildKit's control interface"),
    ("GET", "images/search", "search"),
    ("GET", "images/get", "save of images"),
    ("GET", "images/**/get", "save of an image"),
    ("GET", "images/**/attestations", "the list of an image's attestations"),
    ("POST", "images/**/push", "push"),
    ("GET", "distribution/**/json", "looking at an image in its registry"),
    ("POST", "networks/create", "making networks"),
    ("POST", "networks/*/connect", "connecting a container to a network"),
    ("POST", "networks/*/disconnect", "disconnecting a container from a network"),
    ("PUT", "volumes/*", "update of a cluster volume"),
    ("*", "swarm", "swarm mode"),
    ("*", "swarm/*", "swarm mode"),
    ("*", "nodes", "swarm mode (nodes)"),
    ("*", "nodes/*", "swarm mode (nodes)"),
    ("POST", "nodes/*/update", "swarm mode (nodes)"),
    ("*", "services", "swarm mode (services)"),
    ("POST", "services/create", "swarm mode (services)"),
    ("*", "services/*", "swarm mode (services)"),
    ("*", "services/*/*", "swarm mode (services)"),
    ("GET", "tasks", "swarm mode (tasks)"),
    ("GET", "tasks/*", "swarm mode (tasks)"),
    ("GET", "tasks/*/logs", "swarm mode (tasks)"),
    ("*", "secrets", "swarm mode (secrets)"),
    ("*", "secrets/*", "swarm mode (secrets)"),
    ("POST", "secrets/*/update", "swarm mode (secrets)"),
    ("*", "configs", "swarm mode (configs)"),
    ("*", "configs/*", "swarm mode (configs)"),
    ("POST", "configs/*/update", "swarm mode (configs)"),
    ("GET", "plugins", "plugins"),
    ("GET", "plugins/privileges", "plugins"),
    ("*", "plugins/**", "plugins"),
];

/// What a call asks for, if Docker knows it.
pub(super) fn feature(method: &Method, segments: &[&str]) -> Option<&'static str> {
    FEATURES
        .iter()
        .find(|(known, path, _)| {
            (*known == "*" || *known == method.as_str())
                && fits(&path.split('/').collect::<Vec<_>>(), segments)
        })
        .map(|(_, _, feature)| *feature)
}

fn fits(pattern: &[&str], segments: &[&str]) -> bool {
    match (pattern, segments) {
        ([], []) => true,
        (["**"], [_, ..]) => true,
        (["**", rest @ ..], [_, behind @ ..]) => fits(rest, behind) || fits(pattern, behind),
        (["*", rest @ ..], [_, behind @ ..]) => fits(rest, behind),
        ([word, rest @ ..], [segment, behind @ ..]) => word == segment && fits(rest, behind),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::feature;

    #[test]
    fn what_docker_knows() {
        let find =
            |method: Method, path: &str| feature(&method, &path.split('/').collect::<Vec<_>>());
        assert_eq!(find(Method::POST, "images/a/b/c/push"), Some("push"));
        assert_eq!(find(Method::POST, "build"), Some("build"));
        assert!(find(Method::HEAD, "containers/x/checkpoints").is_some());
        assert!(find(Method::GET, "images/push").is_none());
        assert!(find(Method::GET, "nonsense").is_none());
    }
}
