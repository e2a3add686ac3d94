//! Answers to challenges: access tokens and passwords, cached per registry, repository and
//! identity (distribution token specification; OAuth 2.0 refresh as registries do it).

pub(crate) mod challenge;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Url};
use sha2::{Digest as _, Sha256};
use stdx::Secret;
use tokio::time::Instant;

use crate::auth::challenge::Challenge;
use crate::config::Endpoint;
use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::retry;
use crate::session::{detail_of, wait_asked_for};
use crate::transport::{Request, Transport, origin};

/// How long a token is good when its server does not say (token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// No token is used longer: a server may say anything.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// Tokens are renewed this much before they end.
const LEEWAY: Duration = Duration::from_secs(5);
/// The longest answer of a token server that we read, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// By what name token servers know this program.
const CLIENT_ID: &str = "brig";

/// All tokens of a client.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    entries: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<Entry>>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    registry: String,
    scope: String,
    identity: [u8; 32],
}

/// What is known about one repository. Locked while a token is fetched, so that several layers
/// asking at once fetch one.
#[derive(Debug, Default)]
struct Entry {
    challenge: Option<Challenge>,
    header: Option<Secret<String>>,
    expires: Option<Instant>,
}

impl Entry {
    fn fresh(&self) -> Option<&Secret<String>> {
        let expired = self.expires.is_some_and(|end| end <= Instant::now() + LEEWAY);
        self.header.as_ref().filter(|_| !expired)
    }
}

#[derive(serde::Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Tokens {
    /// The `Authorization` to send, when an earlier challenge is known; an ended token is
    /// renewed first.
    pub(crate) async fn known(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
    ) -> Result<Option<Secret<String>>> {
        if let Some(Credentials::Bearer { token }) = &endpoint.credentials {
            return Ok(Some(Secret::new(format!("Bearer {}", token.expose()))));
        }
        let entry = self.entry(endpoint);
        let mut entry = entry.lock().await;
        if let Some(header) = entry.fresh() {
            return Ok(Some(header.clone()));
        }
        match entry.challenge.clone() {
            Some(challenge) => obtain(transport, endpoint, challenge, &mut entry).await,
            None => Ok(None),
        }
    }

    /// Answers a challenge that came although `refused` was sent. `None` when there is nothing
    /// better to send.
    pub(crate) async fn answer(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
        challenge: Challenge,
        refused: Option<&Secret<String>>,
    ) -> Result<Option<Secret<String>>> {
        if matches!(endpoint.credentials, Some(Credentials::Bearer { .. })) {
            return Ok(None);
        }
        let entry = self.entry(endpoint);
        let mut entry = entry.lock().await;
        if let Some(header) = entry.fresh().filter(|header| Some(*header) != refused) {
            return Ok(Some(header.clone()));
        }
        obtain(transport, endpoint, challenge, &mut entry).await
    }

    fn entry(&self, endpoint: &Endpoint) -> Arc<tokio::sync::Mutex<Entry>> {
        let identity = endpoint.credentials.as_ref().map(Credentials::cache_key);
        let identity = identity.map_or([0; 32], |key| Sha256::digest(key.expose()).into());
        let registry = endpoint.host.clone();
        let key = Key { registry, scope: default_scope(endpoint), identity };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(entries.entry(key).or_default())
    }
}

fn default_scope(endpoint: &Endpoint) -> String {
    format!("repository:{}:pull", endpoint.repository)
}

async fn obtain(
    transport: &Transport,
    endpoint: &Endpoint,
    challenge: Challenge,
    entry: &mut Entry,
) -> Result<Option<Secret<String>>> {
    let (header, lifetime) = match &challenge {
        Challenge::Basic => (basic_header(endpoint.credentials.as_ref()), None),
        Challenge::Bearer { realm, service, scope } => {
            let scope = scope.clone().unwrap_or_else(|| default_scope(endpoint));
            let wanted = Wanted { realm, service: service.as_deref(), scope: &scope };
            let (token, lifetime) = fetch(transport, endpoint, &wanted).await?;
            (Some(Secret::new(format!("Bearer {}", token.expose()))), Some(lifetime))
        }
    };
    entry.challenge = Some(challenge);
    entry.expires = lifetime.map(|lifetime| Instant::now() + lifetime);
    entry.header.clone_from(&header);
    Ok(header)
}

fn basic_header(credentials: Option<&Credentials>) -> Option<Secret<String>> {
    let Some(Credentials::Basic { username, password }) = credentials else { return None };
    let value = Credentials::basic_value(username, password);
    Some(Secret::new(format!("Basic {}", value.expose())))
}

/// What a token is wanted for.
struct Wanted<'a> {
    realm: &'a str,
    service: Option<&'a str>,
    scope: &'a str,
}

async fn fetch(
    transport: &Transport,
    endpoint: &Endpoint,
    wanted: &Wanted<'_>,
) -> Result<(Secret<String>, Duration)> {
    let failed = |reason| Error::Token { realm: wanted.realm.to_owned(), reason };
    let url = Url::parse(wanted.realm).map_err(|error| failed(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(failed("its address is neither http nor https".to_owned()));
    }
    let plain_allowed = endpoint.access.plain_http || transport.may_be_plain(&url);
    if endpoint.credentials.is_some() && url.scheme() == "http" && !plain_allowed {
        return Err(failed("credentials are not sent without TLS".to_owned()));
    }
    let (url, request) = token_request(url, endpoint.credentials.as_ref(), wanted);
    let response = transport.send_to(&url, &request).await?;
    let status = response.status().as_u16();
    let endpoint = origin(&url);
    if status == 429 {
        return Err(Error::RateLimited { endpoint, retry_after: wait_asked_for(&response) });
    }
    let body = crate::session::read_capped(response, MAX_ANSWER).await?;
    if matches!(status, 400 | 401 | 403) {
        return Err(Error::Unauthorized { endpoint, detail: detail_of(&body) });
    }
    if retry::is_transient(status) {
        let operation = "fetching a token".to_owned();
        return Err(Error::Status { endpoint, status, operation, detail: detail_of(&body) });
    }
    if status != 200 {
        return Err(failed(format!("it answered {status}{}", detail_of(&body))));
    }
    let answer: Answer =
        serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
    let lifetime = lifetime(answer.expires_in);
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| failed("its answer has no token".to_owned()))?;
    Ok((Secret::new(token), lifetime))
}

/// How long a token is used, whatever its server says.
fn lifetime(stated: Option<u64>) -> Duration {
    let stated = stated.map_or(DEFAULT_LIFETIME, Duration::from_secs);
    stated.clamp(DEFAULT_LIFETIME, LONGEST_LIFETIME)
}

/// GET with the password, or POST with the refresh token.
fn token_request(
    mut url: Url,
    credentials: Option<&Credentials>,
    wanted: &Wanted<'_>,
) -> (Url, Request) {
    if let Some(Credentials::Identity { token }) = credentials {
        // The form is encoded as a query is.
        let mut form = url.clone();
        form.set_query(None);
        form.query_pairs_mut()
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", token.expose())
            .append_pair("client_id", CLIENT_ID)
            .append_pair("scope", wanted.scope)
            .extend_pairs(wanted.service.map(|service| ("service", service)));
        let mut request = Request::new(Method::POST, "");
        request.form = form.query().map(str::to_owned);
        return (url, request);
    }
    {
        let mut query = url.query_pairs_mut();
        if let Some(Credentials::Basic { username, .. }) = credentials {
            query.append_pair("account", username);
        }
        if let Some(service) = wanted.service {
            query.append_pair("service", service);
        }
        for scope in wanted.scope.split(' ') {
            query.append_pair("scope", scope);
        }
    }
    let mut request = Request::new(Method::GET, "");
    if let Some(header) = basic_header(credentials) {
        insert_authorization(&mut request, &header);
    }
    (url, request)
}

/// Puts the header into the request, marked so that nothing prints it.
pub(crate) fn insert_authorization(request: &mut Request, header: &Secret<String>) {
    if let Ok(mut value) = HeaderValue::from_str(header.expose()) {
        value.set_sensitive(true);
        request.headers.insert(AUTHORIZATION, value);
    }
}
