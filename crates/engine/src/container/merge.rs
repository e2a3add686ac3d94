//! A container's options over its image's configuration: pure.

use oci::image::ExecutionConfig;

use super::options::{ContainerSpec, Port};
use crate::error::{Error, Result};

/// The path programs are looked up in when neither image nor caller says otherwise.
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image's label, `true` or `false`: whether its containers have an init where the caller leaves
/// it open. As process 1 a program that handles no signals would ignore them all.
pub(crate) const INIT_LABEL: &str = "io.brig.init";

/// Completes the options by the image's configuration; what the caller gave wins.
///
/// # Errors
/// `Invalid` when there is nothing to run, or the image names ports that are none.
pub(crate) fn merge(mut spec: ContainerSpec, image: &ExecutionConfig) -> Result<ContainerSpec> {
    program(&mut spec, image)?;
    spec.environment = environment(&image.env, &spec.environment);
    if spec.user.as_deref().unwrap_or_default().is_empty() && !image.user.is_empty() {
        spec.user = Some(image.user.clone());
    }
    let directory = spec.working_directory.take().filter(|directory| !directory.is_empty());
    let inherited = Some(&image.working_dir).filter(|directory| !directory.is_empty());
    spec.working_directory = directory.or_else(|| inherited.cloned());
    for (key, value) in &image.labels {
        spec.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for port in &image.exposed_ports {
        spec.exposed_ports
            .insert(Port::parse(port).ok_or_else(|| {
                Error::Invalid(format!("invalid port specification: \"{port}\""))
            })?);
    }
    spec.volumes.extend(image.volumes.iter().cloned());
    if spec.stop_signal.as_deref().unwrap_or_default().is_empty() {
        spec.stop_signal.clone_from(&image.stop_signal);
    }
    spec.stop_timeout = spec.stop_timeout.or(image.stop_timeout);
    spec.host.init = spec.host.init.or_else(|| wants_init(image));
    Ok(spec)
}

/// Whether the image says that its program is to have an init above it, or is not to.
fn wants_init(image: &ExecutionConfig) -> Option<bool> {
    image.labels.get(INIT_LABEL)?.parse().ok()
}

fn program(spec: &mut ContainerSpec, image: &ExecutionConfig) -> Result<()> {
    let command = spec.command.take().unwrap_or_default();
    let (entrypoint, command) = match spec.entrypoint.take() {
        Some(words) if words.len() == 1 && words.iter().all(String::is_empty) => (vec![], command),
        Some(words) if !words.is_empty() => (words, command),
        given => {
            let inherited = if command.is_empty() { image.cmd.clone() } else { command };
            let entrypoint = if given.is_none() { image.entrypoint.clone() } else { vec![] };
            (entrypoint, inherited)
        }
    };
    if entrypoint.is_empty() && command.is_empty() {
        return Err(Error::Invalid("no command specified".to_owned()));
    }
    spec.entrypoint = (!entrypoint.is_empty()).then_some(entrypoint);
    spec.command = (!command.is_empty()).then_some(command);
    Ok(())
}

/// `over` over `under`: a later assignment wins in the earlier one's place, a bare name unsets.
#[must_use]
pub(crate) fn environment(under: &[String], over: &[String]) -> Vec<String> {
    let mut merged: Vec<String> = Vec::with_capacity(under.len() + over.len());
    for assignment in under.iter().chain(over) {
        let (name, value) = match assignment.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (assignment.as_str(), None),
        };
        let present = merged.iter().position(|other| is_of(other, name));
        match (present, value) {
            (Some(index), Some(_)) => merged[index].clone_from(assignment),
            (Some(index), None) => drop(merged.remove(index)),
            (None, Some(_)) => merged.push(assignment.clone()),
            (None, None) => {}
        }
    }
    merged
}

/// Adds what a process needs and nobody set: PATH, HOSTNAME, TERM, HOME.
pub(crate) fn complete_environment(
    environment: &mut Vec<String>,
    hostname: &str,
    terminal: bool,
    home: &str,
) {
    if !environment.iter().any(|other| is_of(other, "PATH")) {
        environment.insert(0, DEFAULT_PATH.to_owned());
    }
    if !environment.iter().any(|other| is_of(other, "HOSTNAME")) {
        environment.insert(1, format!("HOSTNAME={hostname}"));
    }
    if terminal && !environment.iter().any(|other| is_of(other, "TERM")) {
        environment.push("TERM=xterm".to_owned());
    }
    if !environment.iter().any(|other| is_of(other, "HOME")) {
        environment.push(format!("HOME={home}"));
    }
}

fn is_of(assignment: &str, name: &str) -> bool {
    assignment.split('=').next() == Some(name)
}

#[cfg(test)]
mod tests {
    use oci::image::ExecutionConfig;

    use super::super::options::ContainerSpec;
    use super::{INIT_LABEL, complete_environment, environment, merge};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// What is run: entry point and command given (`-` is absent), over `ep` and `cmd` of the image.
    fn runs(entrypoint: Option<&[&str]>, command: &str) -> Option<String> {
        let image = ExecutionConfig {
            entrypoint: words("ep"),
            cmd: words("cmd"),
            ..ExecutionConfig::default()
        };
        let spec = ContainerSpec {
            entrypoint: entrypoint.map(|words| words.iter().map(|w| (*w).to_owned()).collect()),
            command: (command != "-").then(|| words(command)),
            ..ContainerSpec::default()
        };
        let merged = merge(spec, &image).ok()?;
        let all = [merged.entrypoint.unwrap_or_default(), merged.command.unwrap_or_default()];
        Some(all.concat().join(" "))
    }

    #[test]
    fn entry_points_and_commands() {
        assert_eq!(runs(None, "-").unwrap(), "ep cmd");
        assert_eq!(runs(None, "a b").unwrap(), "ep a b");
        assert_eq!(runs(Some(&["x"]), "-").unwrap(), "x");
        assert_eq!(runs(Some(&["x"]), "a").unwrap(), "x a");
        assert_eq!(runs(Some(&[]), "-").unwrap(), "cmd");
        assert_eq!(runs(Some(&[""]), "a").unwrap(), "a");
        assert_eq!(runs(Some(&[""]), "-"), None);
    }

    #[test]
    fn variables() {
        let merged = environment(&words("A=1 B=2 C=3"), &words("B=x=y C D=4 E"));
        assert_eq!(merged, words("A=1 B=x=y D=4"));
        let mut completed = words("HOME=/h");
        complete_environment(&mut completed, "web", true, "/root");
        assert_eq!(completed[1..], words("HOSTNAME=web HOME=/h TERM=xterm"));
        assert!(completed[0].starts_with("PATH=/usr/local/sbin"));
    }

    #[test]
    fn the_caller_wins() {
        let image = ExecutionConfig {
            cmd: words("c"),
            user: "app".into(),
            working_dir: "/srv".into(),
            labels: [("a".into(), "1".into()), ("b".into(), "1".into())].into(),
            exposed_ports: words("80/tcp"),
            volumes: words("/data"),
            stop_signal: Some("QUIT".into()),
            ..ExecutionConfig::default()
        };
        let spec = ContainerSpec {
            user: Some("0".into()),
            labels: [("b".into(), "2".into())].into(),
            volumes: ["/more".to_owned()].into(),
            ..ContainerSpec::default()
        };
        let merged = merge(spec, &image).unwrap();
        assert_eq!(merged.user.as_deref(), Some("0"));
        assert_eq!(merged.working_directory.as_deref(), Some("/srv"));
        assert_eq!(merged.labels, [("a".into(), "1".into()), ("b".into(), "2".into())].into());
        assert_eq!(merged.exposed_ports.len(), 1);
        assert_eq!(merged.volumes.len(), 2);
        assert_eq!(merged.stop_signal.as_deref(), Some("QUIT"));
    }

    #[test]
    fn an_image_may_ask_for_an_init() {
        for (label, given, expected) in [
            (Some("true"), None, Some(true)),
            (Some("true"), Some(false), Some(false)),
            (Some("false"), None, Some(false)),
            (Some("maybe"), None, None),
            (None, Some(true), Some(true)),
        ] {
            let labels = label.map(|label| (INIT_LABEL.to_owned(), label.to_owned()));
            let image = ExecutionConfig {
                cmd: words("c"),
                labels: labels.into_iter().collect(),
                ..ExecutionConfig::default()
            };
            let mut spec = ContainerSpec::default();
            spec.host.init = given;
            let merged = merge(spec, &image).unwrap();
            assert_eq!(merged.host.init, expected, "{label:?} {given:?}");
        }
    }
}
