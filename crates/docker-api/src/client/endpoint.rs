//! Where a daemon listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// The address of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `unix:///run/brig/brig.sock`.
    Unix(PathBuf),
    /// `tcp://host:port`, without TLS.
    Tcp {
        /// Name or address; IPv6 without brackets.
        host: String,
        /// Port, 2375 when none is given.
        port: u16,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => {
                write!(formatter, "tcp://[{host}]:{port}")
            }
            Self::Tcp { host, port } => write!(formatter, "tcp://{host}:{port}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Endpoint(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.into())) };
        }
        let address = text
            .strip_prefix("tcp://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or_else(wrong)?
            .trim_end_matches('/');
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (address, 2375),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self::Tcp { host: if host.is_empty() { "127.0.0.1" } else { host }.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("unix:///run/brig/brig.sock", "unix:///run/brig/brig.sock"),
            ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375"),
            ("tcp://[::1]:99", "tcp://[::1]:99"),
            ("http://host/", "tcp://host:2375"),
            ("tcp://:2375", "tcp://127.0.0.1:2375"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), written);
        }
        for text in ["", "unix://", "ssh://host", "tcp://host:port"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
