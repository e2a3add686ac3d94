//! Credentials for a registry, from `~/.docker/config.json` or the programs named there.

use std::io::Write;
use std::process::Stdio;

use base64::Engine;
use docker_api::system::AuthConfig;
use serde::Deserialize;

use crate::docker_settings::{DockerSettings, StoredAuth};
use crate::error::{Error, Result};

/// Docker Hub's key in the settings.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Who to be at the registry of `image`; `None` is nobody.
///
/// # Errors
/// When a credential program fails in another way than by not knowing the registry.
pub(crate) fn for_image(settings: &DockerSettings, image: &str) -> Result<Option<AuthConfig>> {
    let registry = registry_of(image);
    let keys: &[&str] = if registry == "docker.io" {
        &[DOCKER_HUB, "index.docker.io", "docker.io"]
    } else {
        &[registry]
    };
    for key in keys {
        if let Some(found) = for_key(settings, key)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The registry's part of a reference, `docker.io` when it has none.
fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

fn for_key(settings: &DockerSettings, key: &str) -> Result<Option<AuthConfig>> {
    let program = settings.cred_helpers.get(key).map_or(settings.creds_store.as_str(), |p| p);
    if !program.is_empty() {
        return ask(program, key);
    }
    let wanted = bare(key);
    let stored = settings.auths.iter().find(|(known, _)| *known == key || bare(known) == wanted);
    Ok(stored.and_then(|(known, stored)| from_file(known, stored)))
}

/// The host of a registry's key: `https://host/v1/` → `host`.
fn bare(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    key.split('/').next().unwrap_or_default()
}

fn from_file(registry: &str, stored: &StoredAuth) -> Option<AuthConfig> {
    let mut auth = AuthConfig {
        username: stored.username.clone(),
        password: stored.password.clone(),
        identity_token: stored.identity_token.clone(),
        registry_token: stored.registry_token.clone(),
        server_address: registry.to_owned(),
        ..AuthConfig::default()
    };
    if !stored.auth.is_empty() {
        let bytes = base64::engine::general_purpose::STANDARD.decode(&stored.auth).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (user, password) = text.trim_end_matches('\0').split_once(':')?;
        user.clone_into(&mut auth.username);
        password.clone_into(&mut auth.password);
    }
    let empty = auth.username.is_empty()
        && auth.identity_token.is_empty()
        && auth.registry_token.is_empty();
    (!empty).then_some(auth)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks `docker-credential-PROGRAM get`.
fn ask(program: &str, registry: &str) -> Result<Option<AuthConfig>> {
    let name = format!("docker-credential-{program}");
    let failed = |source| Error::local("error getting credentials: run", &name, source);
    let mut child = stdx::process::command(&name)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input answers all the same.
        drop(stdin.write_all(registry.as_bytes()));
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(Error::State(format!(
            "error getting credentials - err: {}, out: `{}`",
            output.status,
            text.trim()
        )));
    }
    let answer: Answer = serde_json::from_str(&text)
        .map_err(|error| Error::State(format!("error getting credentials: {name}: {error}")))?;
    let mut auth = AuthConfig { server_address: registry.to_owned(), ..AuthConfig::default() };
    if answer.username == "<token>" {
        auth.identity_token = answer.secret;
    } else {
        auth.username = answer.username;
        auth.password = answer.secret;
    }
    Ok(Some(auth))
}

#[cfg(test)]
mod tests {
    use super::{DockerSettings, for_image, registry_of};

    #[test]
    fn registries_of_images() {
        for (image, registry) in [
            ("x", "docker.io"),
            ("library/x:1", "docker.io"),
            ("localhost/x", "localhost"),
            ("r.example:5000/x", "r.example:5000"),
        ] {
            assert_eq!(registry_of(image), registry);
        }
    }

    #[test]
    fn credentials_of_the_file() {
        let text = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpwOnc="},
            "https://r.example:5000/v2/":{"username":"a","password":"b"},"t.example":{}}}"#;
        let settings: DockerSettings = serde_json::from_str(text).unwrap();
        let of = |image: &str| {
            for_image(&settings, image).unwrap().map(|auth| (auth.username, auth.password))
        };
        assert_eq!(of("busybox"), Some(("u".to_owned(), "p:w".to_owned())));
        assert_eq!(of("r.example:5000/x"), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(of("t.example/x"), None);
        assert_eq!(of("other.example/x"), None);
    }
}
