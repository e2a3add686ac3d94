//! Passwords, tokens and who gets to see them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use oci::{Platform, Reference};
use registry::{Client, Credentials, Error};
use testkit::Registry;

use crate::faults::image_server;
use crate::pull::{config, layout, read_layers, resolve};
use crate::server::{Reply, Request, Server};

#[tokio::test]
async fn a_password_for_a_registry_with_basic_authentication() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::with_authentication(Some(("anna", "s:ecret")));
    let layout = layout(directory.path(), 1000);
    registry.push_from(layout.path(), "app:1", Some(("anna", "s:ecret")));
    let client = Client::new(config());
    let reference = Reference::parse(&format!("{}/app:1", registry.address())).unwrap();
    let platform = Platform::host();

    let anna = Credentials::basic("anna", "s:ecret");
    let resolved = client.resolve(&reference, &platform, Some(&anna), None).await.unwrap();
    read_layers(&client, &resolved).await.unwrap();

    let error = client.resolve(&reference, &platform, None, None).await.unwrap_err();
    let text = format!(
        "pull access denied for {}/app, repository does not exist or may require 'docker login': no basic auth credentials",
        registry.address()
    );
    assert_eq!(error.to_string(), text);

    let wrong = Credentials::basic("anna", "wrong");
    let error = client.resolve(&reference, &platform, Some(&wrong), None).await.unwrap_err();
    assert!(error.to_string().starts_with("unauthorized: http://127.0.0.1:"), "{error}");
    assert!(!error.to_string().contains("wrong"));
}

/// A registry that wants tokens, and its token server at `/token`. Tokens are numbered; only the
/// number in `valid` is good.
fn token_registry(
    valid: Arc<AtomicUsize>,
    check: impl Fn(&Request) -> Option<Reply> + Send + Sync + 'static,
) -> Server {
    let issued = AtomicUsize::new(0);
    let inner = image_server(vec![3; 3000], |_, layer| Reply::new(200, layer));
    let inner_address = inner.address();
    let inner = Mutex::new(inner);
    Server::start(move |request, address| {
        let _alive = &inner;
        if request.path.starts_with("/token") {
            if let Some(refusal) = check(request) {
                return refusal;
            }
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::new(200, format!(r#"{{"token":"t{number}","expires_in":300}}"#));
        }
        let expected = format!("Bearer t{}", valid.load(Ordering::SeqCst));
        if request.header("authorization") != Some(expected.as_str()) {
            let challenge = format!(
                r#"Bearer realm="http://{address}/token",service="test",scope="repository:app:pull""#
            );
            return Reply::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#)
                .with("WWW-Authenticate", &challenge);
        }
        // Blobs are elsewhere, as registries with a content network have it.
        if request.path.contains("/blobs/") {
            let location = format!("http://{inner_address}{}", request.path);
            return Reply::new(307, "").with("Location", &location);
        }
        forward(&inner_address, request)
    })
}

pub(crate) fn forward(address: &str, request: &Request) -> Reply {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {} HTTP/1.1\r\nHost: x\r\n\r\n", request.path).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    Reply::new(200, &answer[end + 4..])
}

#[tokio::test]
async fn an_anonymous_token_is_fetched_once_and_renewed_when_refused() {
    let valid = Arc::new(AtomicUsize::new(1));
    let server = token_registry(Arc::clone(&valid), |_| None);
    let client = Client::new(config());
    let name = format!("{}/app", server.address());
    let resolved = resolve(&client, &name).await.unwrap();
    read_layers(&client, &resolved).await.unwrap();
    assert_eq!(server.count("/token"), 1);
    let asked = server.requests().into_iter().find(|one| one.path.starts_with("/token")).unwrap();
    assert_eq!(asked.path, "/token?service=test&scope=repository%3Aapp%3Apull");

    valid.store(2, Ordering::SeqCst);
    resolve(&client, &name).await.unwrap();
    assert_eq!(server.count("/token"), 2);
}

#[tokio::test]
async fn the_token_does_not_follow_a_redirection_to_another_host() {
    let server = token_registry(Arc::new(AtomicUsize::new(1)), |_| None);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let elsewhere = Server::start({
        let seen = Arc::clone(&seen);
        move |request, _| {
            seen.lock().unwrap().push(request.header("authorization").map(str::to_owned));
            Reply::new(404, "")
        }
    });
    let target = elsewhere.address();
    let redirecting = Server::start(move |request, _| {
        if request.header("authorization").is_none() {
            return Reply::new(401, "").with("WWW-Authenticate", "Basic realm=x");
        }
        Reply::new(302, "").with("Location", &format!("http://{target}/stolen"))
    });
    let client = Client::new(config());
    let reference = Reference::parse(&format!("{}/app", redirecting.address())).unwrap();
    let anna = Credentials::basic("anna", "secret");
    let error = client.resolve(&reference, &Platform::host(), Some(&anna), None).await;
    assert!(matches!(error.unwrap_err(), Error::ManifestUnknown { .. }));
    assert_eq!(*seen.lock().unwrap(), [None]);
    drop(server);
}

#[tokio::test]
async fn a_password_goes_to_the_token_server() {
    let server = token_registry(Arc::new(AtomicUsize::new(1)), |request| {
        let good = request.header("authorization") == Some("Basic YW5uYTpzZWNyZXQ=")
            && request.path.contains("account=anna");
        (!good).then(|| Reply::new(401, r#"{"details":"incorrect username or password"}"#))
    });
    let client = Client::new(config());
    let reference = Reference::parse(&format!("{}/app", server.address())).unwrap();
    let platform = Platform::host();
    let anna = Credentials::basic("anna", "secret");
    client.resolve(&reference, &platform, Some(&anna), None).await.unwrap();
    let wrong = Credentials::basic("anna", "wrong");
    let error = client.resolve(&reference, &platform, Some(&wrong), None).await.unwrap_err();
    assert!(error.to_string().ends_with(": incorrect username or password"), "{error}");
    assert!(matches!(error, Error::Unauthorized { .. }));
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let server = token_registry(Arc::new(AtomicUsize::new(1)), |request| {
        let form = &request.body;
        let good = request.method == "POST"
            && form.contains("grant_type=refresh_token")
            && form.contains("refresh_token=re%2Ffresh")
            && form.contains("scope=repository%3Aapp%3Apull");
        (!good).then(|| Reply::new(401, ""))
    });
    let client = Client::new(config());
    let reference = Reference::parse(&format!("{}/app", server.address())).unwrap();
    let identity = Credentials::identity("re/fresh");
    let platform = Platform::host();
    client.resolve(&reference, &platform, Some(&identity), None).await.unwrap();
}

#[tokio::test]
async fn a_repository_that_no_token_opens_is_denied() {
    let server = token_registry(Arc::new(AtomicUsize::new(99)), |_| None);
    let client = Client::new(config());
    let error = resolve(&client, &format!("{}/app", server.address())).await.unwrap_err();
    let text = format!(
        "pull access denied for {}/app, repository does not exist or may require 'docker login': unauthorized: no",
        server.address()
    );
    assert_eq!(error.to_string(), text);
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn an_overloaded_token_server_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let server = token_registry(Arc::new(AtomicUsize::new(1)), move |_| {
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Some(Reply { cut_after: Some(3), ..Reply::new(200, "{\"token\":\"t0\"}") }),
            1 => Some(Reply::new(503, "")),
            2 => Some(Reply::new(429, "").with("Retry-After", "0")),
            _ => None,
        }
    });
    let client = Client::new(config());
    resolve(&client, &format!("{}/app", server.address())).await.unwrap();
    assert_eq!(server.count("/token"), 4);

    let broken = token_registry(Arc::default(), |_| Some(Reply::new(500, "")));
    let error = resolve(&client, &format!("{}/app", broken.address())).await.unwrap_err();
    assert!(error.to_string().ends_with("answered 500 to fetching a token"), "{error}");
    assert_eq!(broken.count("/token"), 5);
    let limited = |_: &Request| Some(Reply::new(429, "").with("Retry-After", "7200"));
    let limited = token_registry(Arc::default(), limited);
    let error = resolve(&client, &format!("{}/app", limited.address())).await.unwrap_err();
    assert!(error.to_string().ends_with("it asks to wait 7200 seconds"), "{error}");
}

#[tokio::test]
async fn a_token_may_claim_to_live_for_ever() {
    let server = token_registry(Arc::new(AtomicUsize::new(1)), |_| {
        let answer = format!(r#"{{"token":"t1","expires_in":{}}}"#, u64::MAX);
        Some(Reply::new(200, answer))
    });
    let client = Client::new(config());
    let name = format!("{}/app", server.address());
    for _ in 0..2 {
        resolve(&client, &name).await.unwrap();
    }
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test]
async fn an_identity_token_does_not_follow_a_redirection() {
    let thief = Server::start(|_, _| Reply::new(200, r#"{"token":"t1"}"#));
    let target = format!("http://{}/token", thief.address());
    let server = token_registry(Arc::new(AtomicUsize::new(1)), move |_| {
        Some(Reply::new(307, "").with("Location", &target))
    });
    let client = Client::new(config());
    let reference = Reference::parse(&format!("{}/app", server.address())).unwrap();
    let identity = Credentials::identity("refresh");
    let error = client.resolve(&reference, &Platform::host(), Some(&identity), None).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("it redirects our identity token to "), "{error}");
    assert!(thief.requests().is_empty());
}
