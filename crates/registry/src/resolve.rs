//! From a name to everything that describes its image: index, manifest, configuration.

use std::sync::Arc;

use bytes::Bytes;
use oci::image::ImageConfig;
use oci::manifest::{
    ACCEPTED, DOCKER_CONFIG, Descriptor, Document, MAX_DOCUMENT, Manifest, ManifestError,
    OCI_CONFIG,
};
use oci::{Digest, Platform, Reference};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};

use crate::blob::BlobStream;
use crate::error::{Error, Result};
use crate::session::{Session, Subject, detail_of};
use crate::transport::Request;

/// The header in which registries name the digest of what they send.
const CONTENT_DIGEST: &str = "docker-content-digest";
/// A manifest is not longer, in bytes.
const MAX_MANIFEST: usize = 4 << 20;

/// Looks a document up among those that are here already; `None` when it is not.
pub type LocalContent<'a> = &'a (dyn Fn(&Digest) -> Option<Vec<u8>> + Send + Sync);

/// An image as a registry describes it, every document verified by digest.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What was asked for.
    pub reference: Reference,
    /// What the name stands for: an index, or the manifest itself.
    pub target: Descriptor,
    /// The index, when the name stands for one.
    pub index: Option<Bytes>,
    /// The manifest of the platform.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub manifest: Bytes,
    /// What it names as configuration.
    pub config_descriptor: Descriptor,
    /// The configuration's bytes.
    pub config: Bytes,
    /// The configuration, read.
    pub image: ImageConfig,
    /// The layers, lowest first; as many as the configuration's diff ids.
    pub layers: Vec<Descriptor>,
    /// Where the layers are fetched from, in order.
    pub(crate) sessions: Vec<Arc<Session>>,
    /// Whether the first of them has just answered.
    pub(crate) proven: bool,
}

impl Resolved {
    /// The same image without its mirrors, whose bytes turned out to be wrong; `None` when there
    /// are none.
    #[must_use]
    pub fn without_mirrors(&self) -> Option<Self> {
        let [_, .., origin] = self.sessions.as_slice() else { return None };
        Some(Self { sessions: vec![Arc::clone(origin)], proven: false, ..self.clone() })
    }
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) reference: &'a Reference,
    pub(crate) platform: &'a Platform,
    pub(crate) local: Option<LocalContent<'a>>,
}

/// Asks one endpoint; the sessions of the result are left to the caller.
pub(crate) async fn resolve(session: &Arc<Session>, wanted: Wanted<'_>) -> Result<Resolved> {
    let reference = wanted.reference;
    let (target, bytes, media_type) = named(session, wanted).await?;
    let document = parse(&bytes, media_type.as_deref(), &session.subject)?;
    let (index, descriptor, bytes, manifest) = match document {
        Document::Manifest(manifest) => (None, target.clone(), bytes, manifest),
        Document::Index(list) => {
            let entry = list
                .select(wanted.platform)
                .cloned()
                .ok_or_else(|| no_platform(&session.subject, wanted.platform, &list.platforms()))?;
            let (inner, media_type) = by_digest(session, &entry, wanted.local).await?;
            let parsed = parse(&inner, media_type.as_deref(), &session.subject)?;
            let Document::Manifest(manifest) = parsed else {
                return Err(invalid("manifest", &session.subject, "an index within an index"));
            };
            (Some(bytes), entry, inner, manifest)
        }
    };
    check_kind(&manifest, &session.subject)?;
    let config = configuration(session, &manifest.config, wanted.local).await?;
    let image = ImageConfig::parse(&config)
        .map_err(|error| invalid("configuration", &session.subject, &error.to_string()))?;
    if image.rootfs.diff_ids.len() != manifest.layers.len() {
        let reason = "it has not as many layers as its manifest";
        return Err(invalid("configuration", &session.subject, reason));
    }
    Ok(Resolved {
        reference: reference.clone(),
        target,
        index,
        descriptor,
        manifest: bytes,
        config_descriptor: manifest.config,
        config,
        image,
        layers: manifest.layers,
        sessions: Vec::new(),
        proven: true,
    })
}

type Text = Option<String>;

/// The document that the reference names.
async fn named(session: &Session, wanted: Wanted<'_>) -> Result<(Descriptor, Bytes, Text)> {
    let (reference, local) = (wanted.reference, wanted.local);
    if let Some(digest) = reference.digest() {
        let found = local.and_then(|local| look_up(local, digest));
        let (bytes, media_type) = match found {
            Some(bytes) => (bytes, None),
            None => get(session, digest.as_str(), Some(digest)).await?,
        };
        return Ok(described(bytes, media_type, digest.clone()));
    }
    let tag = reference.tag().unwrap_or("latest");
    if let Some(local) = local {
        // Most often nothing has changed: a HEAD tells, and registries do not count it as a pull.
        let digest = head(session, tag).await?;
        if let Some((digest, bytes)) =
            digest.and_then(|digest| look_up(local, &digest).map(|bytes| (digest, bytes)))
        {
            return Ok(described(bytes, None, digest));
        }
    }
    let (bytes, media_type) = get(session, tag, None).await?;
    let digest = Digest::of(&bytes);
    Ok(described(bytes, media_type, digest))
}

fn described(bytes: Bytes, media_type: Text, digest: Digest) -> (Descriptor, Bytes, Text) {
    let mut descriptor = Descriptor::of(&document_type(&bytes, media_type.as_deref()), &bytes);
    descriptor.digest = digest;
    (descriptor, bytes, media_type)
}

/// The media type that the document states, or else its header.
fn document_type(bytes: &[u8], header: Option<&str>) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        #[serde(default)]
        media_type: Option<String>,
    }
    let stated = serde_json::from_slice::<Typed>(bytes).ok().and_then(|typed| typed.media_type);
    let header = header.map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
    stated.filter(|text| !text.is_empty()).or(header).unwrap_or_default()
}

fn look_up(local: LocalContent<'_>, digest: &Digest) -> Option<Bytes> {
    local(digest).filter(|bytes| digest.matches(bytes)).map(Bytes::from)
}

/// The digest that a tag stands for now; `None` when the registry does not tell by HEAD.
async fn head(session: &Session, tag: &str) -> Result<Option<Digest>> {
    let request = manifest_request(session, Method::HEAD, tag);
    let response = match session.send("looking a manifest up", &request).await {
        Ok(response) => response,
        Err(Error::Status { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if !response.status().is_success() {
        return Ok(None);
    }
    let digest = response.headers().get(CONTENT_DIGEST).and_then(|value| value.to_str().ok());
    Ok(digest.and_then(|text| Digest::parse(text).ok()))
}

/// A manifest by descriptor: its size and digest are checked.
async fn by_digest(
    session: &Session,
    entry: &Descriptor,
    local: Option<LocalContent<'_>>,
) -> Result<(Bytes, Text)> {
    if let Some(bytes) = local.and_then(|local| look_up(local, &entry.digest)) {
        return Ok((bytes, None));
    }
    let (bytes, media_type) = get(session, entry.digest.as_str(), Some(&entry.digest)).await?;
    if bytes.len() as u64 != entry.size {
        return Err(Error::SizeMismatch {
            endpoint: session.endpoint.host.clone(),
            digest: entry.digest.to_string(),
            expected: entry.size,
            actual: bytes.len() as u64,
        });
    }
    Ok((bytes, media_type))
}

async fn get(session: &Session, name: &str, digest: Option<&Digest>) -> Result<(Bytes, Text)> {
    let request = manifest_request(session, Method::GET, name);
    let fetched = session.fetch("fetching a manifest", &request, MAX_MANIFEST).await?;
    let (status, headers, bytes) = fetched;
    if status == StatusCode::NOT_FOUND {
        return Err(not_found(&session.subject, &bytes));
    }
    let stated = header_text(&headers, CONTENT_DIGEST).and_then(|text| Digest::parse(&text).ok());
    if let Some(expected) = digest.or(stated.as_ref())
        && !expected.matches(&bytes)
    {
        return Err(Error::DigestMismatch {
            endpoint: session.endpoint.host.clone(),
            expected: expected.to_string(),
            actual: Digest::of(&bytes).to_string(),
        });
    }
    Ok((bytes, header_text(&headers, CONTENT_TYPE.as_str())))
}

fn header_text(headers: &HeaderMap, name: &str) -> Text {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn manifest_request(session: &Session, method: Method, name: &str) -> Request {
    let path = format!("/v2/{}/manifests/{name}", session.endpoint.repository);
    let mut request = Request::new(method, path);
    for media_type in ACCEPTED {
        request.headers.append(ACCEPT, HeaderValue::from_static(media_type));
    }
    request
}

fn not_found(subject: &Subject, body: &[u8]) -> Error {
    let detail = detail_of(body);
    if detail.starts_with(": name unknown") {
        return Error::AccessDenied { repository: subject.repository.clone(), detail };
    }
    Error::ManifestUnknown { image: subject.image.clone() }
}

async fn configuration(
    session: &Arc<Session>,
    descriptor: &Descriptor,
    local: Option<LocalContent<'_>>,
) -> Result<Bytes> {
    if let Some(bytes) = local.and_then(|local| look_up(local, &descriptor.digest)) {
        return Ok(bytes);
    }
    let stream = BlobStream::first(session, descriptor);
    stream.collect(MAX_DOCUMENT).await.map(Bytes::from)
}

fn parse(bytes: &[u8], header: Option<&str>, subject: &Subject) -> Result<Document> {
    Document::parse(bytes, header).map_err(|error| match error {
        ManifestError::SchemaOne => Error::SchemaOne { image: subject.image.clone() },
        ManifestError::UnsupportedMediaType { media_type } => {
            Error::NotAnImage { image: subject.image.clone(), media_type }
        }
        other => invalid("manifest", subject, &stdx::chain(&other)),
    })
}

/// Refuses charts, signatures and other artifacts before their blobs are taken for layers.
fn check_kind(manifest: &Manifest, subject: &Subject) -> Result<()> {
    let media_type = manifest.config.media_type.as_str();
    let image = matches!(media_type, OCI_CONFIG | DOCKER_CONFIG | "" | "application/json")
        || media_type.contains("container.image");
    if image {
        return Ok(());
    }
    let media_type = manifest.artifact_type.as_deref().unwrap_or(media_type);
    let media_type = media_type.chars().take(100).collect();
    Err(Error::NotAnImage { image: subject.image.clone(), media_type })
}

fn invalid(what: &'static str, subject: &Subject, reason: &str) -> Error {
    Error::InvalidDocument { what, image: subject.image.clone(), reason: reason.to_owned() }
}

fn no_platform(subject: &Subject, platform: &Platform, offered: &[String]) -> Error {
    let available = if offered.is_empty() {
        String::new()
    } else {
        format!(", which has {}", offered.join(", "))
    };
    let (image, platform) = (subject.image.clone(), platform.to_string());
    Error::NoMatchingPlatform { image, platform, available }
}
