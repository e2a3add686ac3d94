//! One HTTP exchange with one host: the right client for its TLS settings, the scheme it really
//! speaks, redirections. No authentication and no repetition; those are [`crate::session`]'s.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Certificate, Client, Method, NoProxy, Proxy, Response, StatusCode, Url, redirect};

use crate::config::{Access, Config};
use crate::error::{Error, Result};

/// Redirections followed before we give up.
const MAX_REDIRECTS: usize = 10;

/// Name and version, as servers' logs show us.
pub(crate) const USER_AGENT: &str = concat!("brig/", env!("CARGO_PKG_VERSION"));

/// Clients by TLS settings, and what was learnt of hosts.
#[derive(Debug)]
pub(crate) struct Transport {
    config: Arc<Config>,
    clients: Mutex<HashMap<ClientKey, Client>>,
    /// Insecure hosts that turned out to speak plain HTTP (`true`) or TLS (`false`).
    plain_hosts: Mutex<HashMap<String, bool>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    tls: bool,
    verify: bool,
    certificate_authority: Option<PathBuf>,
}

/// One request, apart from its scheme.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// GET, HEAD or POST.
    pub(crate) method: Method,
    /// Path and query, beginning with a slash.
    pub(crate) path: String,
    /// Everything to be sent; `Authorization` is dropped when another host takes over.
    pub(crate) headers: HeaderMap,
    /// A form for POST, already encoded.
    pub(crate) form: Option<String>,
}

impl Request {
    /// A request without headers.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: HeaderMap::new(), form: None }
    }
}

impl Transport {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        // Whoever installed a provider before us keeps it; ours is then not needed.
        let _kept = rustls::crypto::ring::default_provider().install_default();
        Self { config, clients: Mutex::default(), plain_hosts: Mutex::default() }
    }

    /// Sends to a host by the scheme it speaks and follows redirections.
    pub(crate) async fn send(
        &self,
        host: &str,
        access: &Access,
        request: &Request,
    ) -> Result<Response> {
        if access.plain_http {
            return self.send_by("http", host, access, request).await;
        }
        if !access.insecure {
            return self.send_by("https", host, access, request).await;
        }
        let known = lock(&self.plain_hosts).get(host).copied();
        if let Some(plain) = known {
            let scheme = if plain { "http" } else { "https" };
            let result = self.send_by(scheme, host, access, request).await;
            if plain && !result.as_ref().is_ok_and(speaks_plainly) {
                // It may have changed its mind: the next try finds out.
                lock(&self.plain_hosts).remove(host);
            }
            return result;
        }
        let by_tls = match self.send_by("https", host, access, request).await {
            Err(error @ Error::Connection { .. }) => error,
            other => {
                let response = other?;
                lock(&self.plain_hosts).insert(host.to_owned(), false);
                return Ok(response);
            }
        };
        let response = self.send_by("http", host, access, request).await?;
        if !speaks_plainly(&response) {
            return Err(by_tls);
        }
        lock(&self.plain_hosts).insert(host.to_owned(), true);
        Ok(response)
    }

    /// Sends to an absolute address, as token servers have.
    pub(crate) async fn send_to(&self, url: &Url, request: &Request) -> Result<Response> {
        let access = self.config.access_to(&authority(url));
        self.follow(url.clone(), access, request).await
    }

    /// Whether a host may be spoken to without TLS.
    pub(crate) fn may_be_plain(&self, url: &Url) -> bool {
        let access = self.config.access_to(&authority(url));
        access.plain_http || access.insecure
    }

    async fn send_by(
        &self,
        scheme: &str,
        host: &str,
        access: &Access,
        request: &Request,
    ) -> Result<Response> {
        let text = format!("{scheme}://{host}{}", request.path);
        let url = Url::parse(&text).map_err(|error| Error::Connection {
            endpoint: format!("{scheme}://{host}"),
            reason: error.to_string(),
            transient: false,
        })?;
        self.follow(url, access.clone(), request).await
    }

    async fn follow(&self, url: Url, mut access: Access, request: &Request) -> Result<Response> {
        let mut url = url;
        let mut headers = request.headers.clone();
        for _ in 0..MAX_REDIRECTS {
            let client = self.client(&url, &access)?;
            let mut builder =
                client.request(request.method.clone(), url.clone()).headers(headers.clone());
            if let Some(form) = &request.form {
                let kind = "application/x-www-form-urlencoded";
                builder = builder.header(CONTENT_TYPE, kind).body(form.clone());
            }
            let response = builder.send().await.map_err(|error| connection(&url, &error))?;
            let Some(next) = redirection(&response, &url) else { return Ok(response) };
            if authority(&next) != authority(&url) || next.scheme() != url.scheme() {
                if request.form.is_some() {
                    let reason = format!("it redirects our identity token to {}", origin(&next));
                    let endpoint = origin(&url);
                    return Err(Error::Connection { endpoint, reason, transient: false });
                }
                headers.remove(AUTHORIZATION);
                access = self.config.access_to(&authority(&next));
            }
            let downgraded = url.scheme() == "https" && next.scheme() != "https";
            if downgraded && !(access.plain_http || access.insecure) {
                let reason = format!("it redirects to {}, without TLS", origin(&next));
                let endpoint = origin(&url);
                return Err(Error::Connection { endpoint, reason, transient: false });
            }
            url = next;
        }
        let reason = format!("it redirected more than {MAX_REDIRECTS} times");
        Err(Error::Connection { endpoint: origin(&url), reason, transient: false })
    }

    /// The client for this address; clients are kept, and with them their connections.
    fn client(&self, url: &Url, access: &Access) -> Result<Client> {
        let tls = url.scheme() == "https";
        let key = ClientKey {
            tls,
            verify: !access.insecure,
            certificate_authority: access.certificate_authority.clone().filter(|_| tls),
        };
        if let Some(client) = lock(&self.clients).get(&key) {
            return Ok(client.clone());
        }
        let client = self.build(&key, url)?;
        lock(&self.clients).insert(key, client.clone());
        Ok(client)
    }

    fn build(&self, key: &ClientKey, url: &Url) -> Result<Client> {
        let timeouts = self.config.timeouts;
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .connect_timeout(timeouts.connect)
            .read_timeout(timeouts.read)
            .no_proxy();
        for proxy in self.proxies(url)? {
            builder = builder.proxy(proxy);
        }
        builder = if !key.tls {
            // No certificate is ever looked at: do not read the system's.
            builder.tls_certs_only([])
        } else if !key.verify {
            builder.tls_danger_accept_invalid_certs(true)
        } else if let Some(path) = &key.certificate_authority {
            builder.tls_certs_merge(read_certificates(path)?)
        } else {
            builder
        };
        builder.build().map_err(|error| connection(url, &error))
    }

    fn proxies(&self, url: &Url) -> Result<Vec<Proxy>> {
        let proxy = &self.config.proxy;
        let exceptions = proxy.no_proxy.as_deref().and_then(NoProxy::from_string);
        let of = |address: &Option<String>, make: fn(&str) -> reqwest::Result<Proxy>| {
            let address = address.as_deref().filter(|address| !address.is_empty());
            address.map(make).transpose().map_err(|error| connection(url, &error))
        };
        let http = of(&proxy.http, |address| Proxy::http(address))?;
        let https = of(&proxy.https, |address| Proxy::https(address))?;
        let both = http.into_iter().chain(https);
        Ok(both.map(|proxy| proxy.no_proxy(exceptions.clone())).collect())
    }
}

/// Scheme, host and port of an address, for error texts.
pub(crate) fn origin(url: &Url) -> String {
    format!("{}://{}", url.scheme(), authority(url))
}

/// Host and explicit port.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether an answer by plain HTTP comes from a registry, and not from a TLS server that has been
/// spoken to wrongly: those answer 400, which no registry says to what we ask.
fn speaks_plainly(response: &Response) -> bool {
    response.status() != StatusCode::BAD_REQUEST
}

fn redirection(response: &Response, from: &Url) -> Option<Url> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let next = from.join(location).ok()?;
    matches!(next.scheme(), "http" | "https").then_some(next)
}

fn read_certificates(path: &PathBuf) -> Result<Vec<Certificate>> {
    let failed =
        |source| Error::Certificate { path: path.display().to_string(), source: Arc::new(source) };
    let bytes = std::fs::read(path).map_err(failed)?;
    let certificates = Certificate::from_pem_bundle(&bytes)
        .map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
    if certificates.is_empty() {
        let reason = "it has no PEM certificate";
        return Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidData, reason)));
    }
    Ok(certificates)
}

/// Puts a failed exchange into words: the innermost cause, since reqwest's outer ones only say
/// that something failed.
pub(crate) fn connection(url: &Url, error: &reqwest::Error) -> Error {
    let mut causes = Vec::new();
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
        causes.push(source.to_string());
    }
    let lookup = lookup(&causes);
    let reason = if error.is_timeout() {
        "no answer in time".to_owned()
    } else if lookup == Lookup::Done {
        innermost.to_string()
    } else {
        format!("the name {} cannot be resolved", url.host_str().unwrap_or_default())
    };
    let certificate = reason.contains("certificate");
    let transient = !certificate && lookup != Lookup::Unknown && !error.is_builder();
    let reason = if certificate { format!("TLS: {reason}") } else { reason };
    Error::Connection { endpoint: origin(url), reason, transient }
}

/// What a failed exchange has to do with the host's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lookup {
    /// Nothing.
    Done,
    /// No name server answered, or those that did had failures of their own.
    Unanswered,
    /// There is no such name, and name servers say so.
    Unknown,
}

/// Reads it off the texts of the causes; the types are not ours to see.
fn lookup(causes: &[String]) -> Lookup {
    let says = |words: &str| causes.iter().any(|cause| cause.contains(words));
    if says("no records found") {
        Lookup::Unknown
    } else if says("dns error") {
        Lookup::Unanswered
    } else {
        Lookup::Done
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::{Lookup, authority, lookup, origin};

    #[test]
    fn only_name_servers_can_say_that_there_is_no_such_name() {
        let of =
            |causes: &[&str]| lookup(&causes.iter().map(ToString::to_string).collect::<Vec<_>>());
        let unknown = ["client error (Connect)", "dns error", "no records found for Query { .. }"];
        assert_eq!(of(&unknown), Lookup::Unknown);
        assert_eq!(of(&["dns error", "request timed out"]), Lookup::Unanswered);
        assert_eq!(of(&["tcp connect error", "Connection refused"]), Lookup::Done);
    }

    #[test]
    fn an_address_is_named_by_scheme_host_and_port() {
        let url = Url::parse("https://user:secret@[::1]:5000/v2/?token=x").unwrap();
        assert_eq!(authority(&url), "[::1]:5000");
        assert_eq!(origin(&url), "https://[::1]:5000");
    }
}
