//! The client: configuration, connections and tokens that all pulls share.

use std::sync::Arc;

use oci::manifest::Descriptor;
use oci::{Platform, Reference};

use crate::auth::Tokens;
use crate::blob::BlobStream;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::{Error, Result};
use crate::resolve::{LocalContent, Resolved, Wanted, resolve};
use crate::session::{Session, Shared, Subject};
use crate::transport::Transport;

/// A client of all registries. Cheap to clone; clones share connections and tokens.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// A client with this configuration. Nothing is opened yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let config = Arc::new(config);
        let transport = Transport::new(Arc::clone(&config));
        Self { shared: Arc::new(Shared { config, transport, tokens: Tokens::default() }) }
    }

    /// The configuration it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Asks mirrors and origin in order what a name stands for on a platform. With `local`, only
    /// what is not here is fetched, and a tag that has not moved costs one small request.
    ///
    /// # Errors
    /// The origin's error when nobody had the image: see [`Error`].
    pub async fn resolve(
        &self,
        reference: &Reference,
        platform: &Platform,
        credentials: Option<&Credentials>,
        local: Option<LocalContent<'_>>,
    ) -> Result<Resolved> {
        let mut sessions = self.sessions(reference, credentials)?;
        let wanted = Wanted { reference, platform, local };
        loop {
            let Some(session) = sessions.first() else {
                return Err(Error::Blocked { registry: reference.registry().to_owned() });
            };
            // The endpoint's whole conversation is one large future: kept off the caller's.
            match Box::pin(resolve(session, wanted)).await {
                Ok(resolved) => return Ok(Resolved { sessions, ..resolved }),
                Err(error) if sessions.len() > 1 => {
                    let endpoint = &session.endpoint.host;
                    tracing::warn!(%error, %endpoint, image = %reference, "registry: mirror passed over");
                    sessions.remove(0);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The bytes of a layer from an offset on.
    #[must_use]
    pub fn blob(&self, resolved: &Resolved, descriptor: &Descriptor, offset: u64) -> BlobStream {
        BlobStream::new(resolved, descriptor, offset)
    }

    fn sessions(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
    ) -> Result<Vec<Arc<Session>>> {
        let subject =
            Subject { image: reference.familiar(), repository: reference.familiar_name() };
        let by_digest = reference.digest().is_some();
        let endpoints = self
            .shared
            .config
            .endpoints(reference.registry(), reference.repository(), by_digest, credentials)
            .map_err(|registry| Error::Blocked { registry })?;
        let count = endpoints.len();
        let sessions = endpoints.into_iter().enumerate().map(|(position, endpoint)| {
            let shared = Arc::clone(&self.shared);
            let alternative = position + 1 < count;
            Arc::new(Session::new(shared, endpoint, subject.clone(), alternative))
        });
        Ok(sessions.collect())
    }
}
