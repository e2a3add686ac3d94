//! Creating, attaching and waiting, as `run`, `create`, `start` and `attach` share it.

use std::path::Path;

use docker_api::container::{CreateRequest, CreateResponse, WaitResponse};
use docker_api::{Client, Lines, Query};

use super::path;
use crate::command::Exit;
use crate::command::image::pull;
use crate::error::{DAEMON_FAILED, Error, Result};
use crate::options::value::PullPolicy;
use crate::options::{ContainerOptions, Meant, Mode, Surroundings, meant};
use crate::output;
use crate::session::Session;
use crate::terminal::{self, attached};

/// What the options mean, with what the command adds: proxies and the size of the terminal.
pub(super) fn request(
    session: &Session,
    options: &ContainerOptions,
    words: &[String],
    mode: Mode,
) -> Result<CreateRequest> {
    let around = Surroundings {
        variable: &|name| session.environment.variable(name),
        read: &|path| std::fs::read_to_string(session.environment.absolute(path)),
        directory: session.environment.directory(),
    };
    let Meant { mut request, refused } =
        meant(options, words, mode, &around).map_err(Error::Options)?;
    if let Some(option) = refused.first() {
        return Err(crate::refused::error(option));
    }
    request.host_config.console_size = terminal::size();
    add_proxies(session, &mut request)?;
    if let Some(file) = &options.cidfile {
        refuse_existing(&session.environment.absolute(file))?;
    }
    Ok(request)
}

/// The proxies of `~/.docker/config.json`, where the command line does not set them.
fn add_proxies(session: &Session, request: &mut CreateRequest) -> Result<()> {
    let settings = session.settings()?;
    if settings.proxies.is_empty() {
        return Ok(());
    }
    let Some(proxies) = settings.proxies_for(&session.target()?.endpoint()) else { return Ok(()) };
    let environment = &mut request.config.env;
    for (name, value) in proxies.variables() {
        let is_set = environment
            .iter()
            .any(|variable| variable.split('=').next().is_some_and(|known| known == name));
        if !is_set {
            environment.push(format!("{name}={value}"));
        }
    }
    Ok(())
}

fn refuse_existing(file: &Path) -> Result<()> {
    if file.exists() {
        return Err(Error::Options(format!(
            "container ID file found, make sure the other container isn't running or delete {}",
            file.display()
        )));
    }
    Ok(())
}

/// Creates the container, pulling its image as the policy says; the id.
pub(super) async fn create(
    session: &Session,
    client: &Client,
    options: &ContainerOptions,
    request: &CreateRequest,
) -> Result<String> {
    let image = &request.config.image;
    let platform = session.platform(options.platform.as_deref());
    let pull = async || {
        let progress = if options.quiet { pull::Show::Nothing } else { pull::Show::OnStderr };
        pull::image(session, client, image, platform.as_deref(), progress).await
    };
    if options.pull == PullPolicy::Always {
        pull().await?;
    }
    let query = Query::new()
        .maybe("name", Some(&options.name).filter(|name| !name.is_empty()))
        .maybe("platform", platform.as_deref());
    let created: docker_api::Result<CreateResponse> =
        client.post("/containers/create", &query, request).await;
    let created = match created {
        Err(error)
            if error.status() == Some(404)
                && options.pull == PullPolicy::Missing
                && is_missing_image(&error) =>
        {
            if !options.quiet {
                output::warn(format!("Unable to find image '{}' locally", pull::familiar(image)));
            }
            pull().await?;
            client.post("/containers/create", &query, request).await?
        }
        created => created?,
    };
    for warning in &created.warnings {
        output::warn(format!("WARNING: {warning}"));
    }
    if let Some(file) = &options.cidfile {
        let file = session.environment.absolute(file);
        std::fs::write(&file, &created.id).map_err(|source| {
            Error::local("failed to write the container ID to", file.display().to_string(), source)
        })?;
    }
    Ok(created.id)
}

/// A 404 may also speak of a network or another container.
fn is_missing_image(error: &docker_api::Error) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    text.contains("no such image") || text.contains("image") && text.contains("not found")
}

/// The streams of `POST /containers/ID/attach`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
}

/// Opens the streams of a container.
pub(super) async fn attach(
    client: &Client,
    id: &str,
    wanted: Wanted,
    detach_keys: &str,
) -> Result<docker_api::Hijacked> {
    let query = Query::new()
        .flag("stream", true)
        .flag("stdin", wanted.stdin)
        .flag("stdout", wanted.stdout)
        .flag("stderr", wanted.stderr)
        .with("detachKeys", detach_keys);
    Ok(client.hijack(&format!("{}/attach", path(id)), &query, None::<&()>).await?)
}

/// Begins to wait for the end of a container: `next-exit`, `removed` or `not-running`. Returns
/// once the engine has taken the wish down.
pub(super) async fn begin_wait(
    client: &Client,
    id: &str,
    condition: &str,
) -> Result<Lines<WaitResponse>> {
    let query = Query::new().with("condition", condition);
    Ok(client.post_lines(&format!("{}/wait", path(id)), &query, None).await?)
}

/// The exit status that ends a wait.
pub(super) async fn finish_wait(mut wait: Lines<WaitResponse>) -> Result<Exit> {
    let Some(response) = wait.next().await? else {
        return Err(Error::State("the engine left before the container ended".to_owned()));
    };
    match response.error {
        Some(error) if !error.message.is_empty() => Err(Error::State(error.message)),
        _ => Ok(Exit::of_status(response.status_code)),
    }
}

/// What became of the command after the streams ended.
pub(super) async fn conclude(ended: attached::Ended, wait: Lines<WaitResponse>) -> Result<Exit> {
    match ended {
        attached::Ended::Closed => finish_wait(wait).await,
        attached::Ended::Detached => {
            output::warn("read escape sequence");
            Ok(Exit::SUCCESS)
        }
        attached::Ended::Interrupted(number) => Ok(Exit::of_status(i64::from(128 + number))),
    }
}

/// Docker's rule for a container that could not be started: 127 not found, 126 not executable,
/// else 125.
pub(super) fn start_code(error: &Error) -> u8 {
    let text = error.text();
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if has(&["executable file not found", "no such file or directory", "command not found"]) {
        127
    } else if has(&["permission denied", "is a directory", "exec format error"]) {
        126
    } else {
        DAEMON_FAILED
    }
}

/// Gives a failure of `run` or `create` its exit code.
pub(super) fn failed(command: &'static str) -> impl Fn(Error) -> Error {
    move |error| match error {
        Error::Output(_) | Error::Run { .. } | Error::Exit { .. } => error,
        source => Error::Run { source: Box::new(source), command, code: DAEMON_FAILED },
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, start_code};

    #[test]
    fn codes_of_failed_starts() {
        let code = |message: &str| {
            start_code(&Error::Call(docker_api::Error::Refused {
                status: 400,
                message: message.to_owned(),
            }))
        };
        assert_eq!(code("exec: \"x\": executable file not found in $PATH"), 127);
        assert_eq!(code("exec: \"/x\": stat /x: no such file or directory"), 127);
        assert_eq!(code("exec: \"/etc\": is a directory"), 126);
        assert_eq!(code("exec: \"/x\": permission denied"), 126);
        assert_eq!(code("port is already allocated"), 125);
    }
}
