//! `/images`.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use docker_api::image as wire;
use docker_api::system::AuthConfig;
use docker_api::{Empty, StringOrList};
use engine::images::{HistoryLine, Image, ImageEvent, LayerStatus, Removal};
use jiff::Timestamp;
use oci::image::ExecutionConfig;
use registry::Credentials;

use super::limits::signed;
use crate::http::Refusal;

/// One row of the list.
pub(crate) fn summary(image: &Image) -> wire::Summary {
    wire::Summary {
        containers: -1,
        created: image.created.map_or(0, Timestamp::as_second),
        id: image.id.to_string(),
        labels: image.labels().clone(),
        parent_id: String::new(),
        descriptor: Some(descriptor(image)),
        repo_digests: image.digests.iter().map(oci::Reference::familiar).collect(),
        repo_tags: image.tags.iter().map(oci::Reference::familiar).collect(),
        shared_size: -1,
        size: signed(Some(image.size)),
        virtual_size: 0,
    }
}

fn descriptor(image: &Image) -> wire::Descriptor {
    wire::Descriptor {
        media_type: image.manifest.media_type.clone(),
        digest: image.manifest.digest.to_string(),
        size: signed(Some(image.manifest.size)),
    }
}

/// Everything about an image.
pub(crate) fn inspect(image: Image) -> wire::Inspect {
    let descriptor = descriptor(&image);
    let config = image.config;
    wire::Inspect {
        id: image.id.to_string(),
        repo_tags: image.tags.iter().map(oci::Reference::familiar).collect(),
        repo_digests: image.digests.iter().map(oci::Reference::familiar).collect(),
        comment: config.history.last().and_then(|step| step.comment.clone()).unwrap_or_default(),
        created: image.created.map(Into::into),
        docker_version: config.docker_version.unwrap_or_default(),
        author: config.author.unwrap_or_default(),
        config: Some(execution(config.config)),
        architecture: config.architecture,
        variant: config.variant.unwrap_or_default(),
        os: config.os,
        os_version: config.os_version.unwrap_or_default(),
        size: signed(Some(image.size)),
        graph_driver: wire::GraphDriver {
            data: std::collections::BTreeMap::new(),
            name: "overlay2".to_owned(),
        },
        root_fs: wire::RootFs {
            kind: "layers".to_owned(),
            layers: config.rootfs.diff_ids.iter().map(ToString::to_string).collect(),
        },
        metadata: wire::Metadata { last_tag_time: image.tagged.into() },
        descriptor: Some(descriptor),
        ..wire::Inspect::default()
    }
}

fn execution(config: ExecutionConfig) -> wire::ImageConfig {
    let words = |list: Vec<String>| Some(StringOrList(list)).filter(|words| !words.0.is_empty());
    wire::ImageConfig {
        user: config.user,
        exposed_ports: config.exposed_ports.into_iter().map(|port| (port, Empty {})).collect(),
        env: config.env,
        cmd: words(config.cmd),
        healthcheck: config.healthcheck.map(|check| docker_api::container::HealthConfig {
            test: check.test,
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        }),
        args_escaped: config.args_escaped,
        volumes: config.volumes.into_iter().map(|path| (path, Empty {})).collect(),
        working_dir: config.working_dir,
        entrypoint: words(config.entrypoint),
        on_build: config.on_build,
        labels: config.labels,
        stop_signal: config.stop_signal.unwrap_or_default(),
        shell: words(config.shell),
    }
}

/// One row of the history.
pub(crate) fn history(line: HistoryLine) -> wire::HistoryItem {
    wire::HistoryItem {
        comment: line.step.comment.unwrap_or_default(),
        created: line.created.map_or(0, Timestamp::as_second),
        created_by: line.step.created_by.unwrap_or_default(),
        id: line.id.map_or_else(|| "<missing>".to_owned(), |id| id.to_string()),
        size: signed(Some(line.size)),
        tags: line.tags.iter().map(oci::Reference::familiar).collect(),
    }
}

/// One row of a removal.
pub(crate) fn removal(removal: Removal) -> wire::DeleteItem {
    match removal {
        Removal::Untagged(reference) => {
            wire::DeleteItem { untagged: reference.familiar(), ..wire::DeleteItem::default() }
        }
        Removal::Deleted(digest) => {
            wire::DeleteItem { deleted: digest.to_string(), ..wire::DeleteItem::default() }
        }
    }
}

/// Lines of progress for one piece of news.
pub(crate) fn progress(event: ImageEvent) -> Vec<wire::Progress> {
    match event {
        ImageEvent::Resolving { reference } => vec![wire::Progress {
            status: format!("Pulling from {}", reference.repository()),
            id: reference.tag().map(str::to_owned).unwrap_or_default(),
            ..wire::Progress::default()
        }],
        ImageEvent::Layer { id, status, current, total } => {
            vec![layer(id, status, current, total)]
        }
        ImageEvent::Pulled { reference, digest, changed, .. } => {
            let name = reference.familiar();
            let outcome = if changed {
                format!("Status: Downloaded newer image for {name}")
            } else {
                format!("Status: Image is up to date for {name}")
            };
            vec![line(format!("Digest: {digest}")), line(outcome)]
        }
        ImageEvent::Loaded { image, reference } => vec![wire::Progress {
            stream: match reference {
                Some(reference) => format!("Loaded image: {}\n", reference.familiar()),
                None => format!("Loaded image ID: {image}\n"),
            },
            ..wire::Progress::default()
        }],
    }
}

fn line(status: String) -> wire::Progress {
    wire::Progress { status, ..wire::Progress::default() }
}

fn layer(id: String, status: LayerStatus, current: u64, total: u64) -> wire::Progress {
    let counted = matches!(status, LayerStatus::Downloading | LayerStatus::Extracting);
    let detail = wire::ProgressDetail {
        current: signed(Some(current)),
        total: signed(Some(total)),
        ..wire::ProgressDetail::default()
    };
    wire::Progress {
        status: status.as_str().to_owned(),
        progress: if counted { bar(current, total) } else { String::new() },
        progress_detail: Some(if counted { detail } else { wire::ProgressDetail::default() }),
        id,
        ..wire::Progress::default()
    }
}

/// `[====>      ]  1.2MB/3.4MB`, fifty characters wide, for clients that draw none themselves.
fn bar(current: u64, total: u64) -> String {
    use stdx::units::format_bytes_decimal as bytes;
    if total == 0 {
        return format!("{:>8}", bytes(current));
    }
    let done = current.min(total).saturating_mul(50) / total;
    let done = usize::try_from(done).unwrap_or(50);
    let arrow = if done < 50 { ">" } else { "" };
    let rest = 50_usize.saturating_sub(done).saturating_sub(arrow.len());
    format!(
        "[{}{arrow}{}] {:>8}/{}",
        "=".repeat(done),
        " ".repeat(rest),
        bytes(current),
        bytes(total)
    )
}

/// The line that ends a stream of progress which failed.
pub(crate) fn failure(message: String) -> wire::Progress {
    wire::Progress {
        error_detail: Some(wire::ErrorDetail { code: 0, message: message.clone() }),
        error: message,
        ..wire::Progress::default()
    }
}

/// Reads `X-Registry-Auth`: base64 of JSON, in either alphabet, with or without padding. `None`
/// when it says nothing.
pub(crate) fn credentials(header: &str) -> Result<Option<Credentials>, Refusal> {
    let header = header.trim();
    if header.is_empty() {
        return Ok(None);
    }
    let wrong = || Refusal::invalid("invalid X-Registry-Auth header");
    let decoded = [URL_SAFE, URL_SAFE_NO_PAD, STANDARD, STANDARD_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(header).ok())
        .ok_or_else(wrong)?;
    let auth: AuthConfig = serde_json::from_slice(&decoded).map_err(|_| wrong())?;
    Ok(from_auth(&auth))
}

/// What a client says of itself; a token wins over a password.
pub(crate) fn from_auth(auth: &AuthConfig) -> Option<Credentials> {
    if !auth.registry_token.is_empty() {
        let token = stdx::Secret::new(auth.registry_token.clone());
        return Some(Credentials::Bearer { token });
    }
    if !auth.identity_token.is_empty() {
        return Some(Credentials::identity(auth.identity_token.clone()));
    }
    if !auth.username.is_empty() {
        return Some(Credentials::basic(auth.username.clone(), auth.password.clone()));
    }
    let decoded = STANDARD.decode(&auth.auth).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Credentials::basic(username, password))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
    use engine::images::{ImageEvent, LayerStatus};
    use registry::Credentials;

    use super::{bar, credentials, progress};

    #[test]
    fn every_alphabet_of_the_header() {
        let json = r#"{"username":"joe","password":"p>?~ß"}"#;
        for header in [URL_SAFE.encode(json), URL_SAFE_NO_PAD.encode(json), STANDARD.encode(json)] {
            let Some(Credentials::Basic { username, password }) = credentials(&header).unwrap()
            else {
                panic!("{header}")
            };
            assert_eq!((username.as_str(), password.expose().as_str()), ("joe", "p>?~ß"));
        }
        assert!(credentials("e30=").unwrap().is_none());
        assert!(credentials("").unwrap().is_none());
        assert!(credentials("!!").is_err());
    }

    #[test]
    fn lines_of_progress() {
        let event = ImageEvent::Layer {
            id: "0123456789ab".into(),
            status: LayerStatus::Downloading,
            current: 1_000_000,
            total: 4_000_000,
        };
        let text = serde_json::to_string(&progress(event)[0]).unwrap();
        assert_eq!(
            text,
            r#"{"status":"Downloading","progressDetail":{"current":1000000,"total":4000000},"progress":"[============>                                     ]      1MB/4MB","id":"0123456789ab"}"#
        );
        assert_eq!(bar(4, 4).len(), "[] ".len() + 50 + "      4B/4B".len());
        let done = ImageEvent::Layer {
            id: "a".into(),
            status: LayerStatus::PullComplete,
            current: 0,
            total: 0,
        };
        let text = serde_json::to_string(&progress(done)[0]).unwrap();
        assert_eq!(text, r#"{"status":"Pull complete","progressDetail":{},"id":"a"}"#);
    }
}
