//! `brig pull`

use clap::Parser;
use docker_api::image::Progress;
use docker_api::{Client, Lines, Query};

use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::output::progress::Display;
pub(crate) use crate::output::progress::Show;
use crate::session::Session;
use crate::{credentials, output};

/// Download an image from a registry
#[derive(Debug, Parser)]
pub(crate) struct Pull {
    #[arg(short, long, hide = true)]
    all_tags: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long)]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    /// The image
    #[arg(value_name = "NAME[:TAG|@DIGEST]")]
    name: String,
}

impl Execute for Pull {
    async fn execute(self, session: &Session) -> Result<Exit> {
        if self.all_tags {
            return Err(crate::refused::error("--all-tags"));
        }
        let client = session.client().await?;
        let reference = with_tag(&self.name);
        if !self.quiet && reference != self.name {
            output::line("Using default tag: latest")?;
        }
        let platform = session.platform(self.platform.as_deref());
        let show = if self.quiet { Show::Nothing } else { Show::OnStdout };
        image(session, client, &reference, platform.as_deref(), show).await?;
        output::line(canonical(&reference))?;
        Ok(Exit::SUCCESS)
    }
}

/// Pulls an image and shows how far it is.
pub(crate) async fn image(
    session: &Session,
    client: &Client,
    image: &str,
    platform: Option<&str>,
    show: Show,
) -> Result<()> {
    let reference = with_tag(image);
    let (repository, tag) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => split_tag(&reference),
    };
    let auth = credentials::for_image(session.settings()?, image)?;
    let query =
        Query::new().with("fromImage", repository).maybe("tag", tag).maybe("platform", platform);
    let mut lines: Lines<Progress> =
        client.post_lines("/images/create", &query, auth.as_ref()).await?;
    let mut display = Display::new(show, &session.environment);
    while let Some(progress) = lines.next().await? {
        display.show(&progress)?;
    }
    Ok(())
}

/// Repository and tag; a colon before a slash is a port's.
pub(crate) fn split_tag(image: &str) -> (&str, Option<&str>) {
    match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (image, None),
    }
}

/// The image with `:latest` when it has neither tag nor digest.
fn with_tag(image: &str) -> String {
    if image.contains('@') || split_tag(image).1.is_some() {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// The image as people write it, with a tag: `docker.io/library/x` → `x:latest`.
pub(crate) fn familiar(image: &str) -> String {
    image.parse::<oci::Reference>().map_or_else(
        |_| with_tag(image),
        |_| {
            let bare = image.strip_prefix("docker.io/").unwrap_or(image);
            with_tag(bare.strip_prefix("library/").unwrap_or(bare))
        },
    )
}

/// The image with its registry: `docker.io/library/x:latest`.
fn canonical(image: &str) -> String {
    image.parse::<oci::Reference>().map_or_else(|_| image.to_owned(), |name| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::{canonical, familiar, split_tag, with_tag};

    #[test]
    fn names_of_images() {
        assert_eq!(split_tag("r:5000/x"), ("r:5000/x", None));
        assert_eq!(split_tag("r:5000/x:1"), ("r:5000/x", Some("1")));
        assert_eq!(with_tag("x"), "x:latest");
        assert_eq!(with_tag("x@sha256:00"), "x@sha256:00");
        assert_eq!(familiar("docker.io/library/x"), "x:latest");
        assert_eq!(familiar("nosuchimage"), "nosuchimage:latest");
        assert_eq!(canonical("python:3.11-slim"), "docker.io/library/python:3.11-slim");
    }
}
