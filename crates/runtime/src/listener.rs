//! System calls that somebody outside answers (`SCMP_ACT_NOTIFY`): how the descriptor they are
//! answered at gets there.
//!
//! The process that has loaded the filter may make no call any more that could be one of them, but
//! `write`, which is why a configuration may not name that one: by it the caller learns of the
//! descriptor. It takes a copy and sends it to the listener, who can then answer also what the
//! process does next.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use linux::process::PidFd;
use oci::runtime::{ContainerProcessState, Seccomp, State};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The most bytes of JSON that one word to the caller takes.
const LONGEST: usize = 4000;

/// The name of the descriptor (specs-go, `SeccompFdName`).
const NAME: &str = "seccompFd";

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listener {
    path: String,
    metadata: String,
}

impl Listener {
    /// Reads it from a filter that notifies, or does not.
    pub(crate) fn plan(seccomp: &Seccomp, notifies: bool) -> Result<Option<Self>, Error> {
        let fail = |reason: &str| Err(Error::invalid("linux.seccomp", reason));
        let path = seccomp.listener_path.as_deref().filter(|path| !path.is_empty());
        let Some(path) = path else {
            if notifies {
                return fail("SCMP_ACT_NOTIFY needs a listenerPath");
            }
            if seccomp.listener_metadata.as_ref().is_some_and(|text| !text.is_empty()) {
                return fail("listenerMetadata needs a listenerPath");
            }
            return Ok(None);
        };
        if seccomp.default_action == "SCMP_ACT_NOTIFY" {
            return fail("SCMP_ACT_NOTIFY cannot be the default action");
        }
        let answered = seccomp.syscalls.iter().filter(|rule| rule.action == "SCMP_ACT_NOTIFY");
        if answered.flat_map(|rule| &rule.names).any(|name| name == "write") {
            return fail("SCMP_ACT_NOTIFY cannot be used for the write syscall");
        }
        let metadata = seccomp.listener_metadata.clone().unwrap_or_default();
        let listener = Self { path: path.to_owned(), metadata };
        if listener.to_json().len() > LONGEST {
            return fail("listenerPath and listenerMetadata are longer than 4000 bytes together");
        }
        Ok(notifies.then_some(listener))
    }

    /// As the process tells it to the caller.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Sends the descriptor to the listener.
    pub(crate) fn introduce(
        &self,
        process: &PidFd,
        state: &State,
        descriptor: &OwnedFd,
    ) -> Result<(), Error> {
        let pid = process.pid().as_raw_nonzero().get();
        let mut state = state.clone();
        if state.pid == 0 {
            // Its first process.
            state.pid = pid;
        }
        let told = ContainerProcessState {
            oci_version: oci::runtime::VERSION.to_owned(),
            fds: vec![NAME.to_owned()],
            pid,
            metadata: self.metadata.clone(),
            state,
        };
        let fail = |error: std::io::Error| {
            Error::from(linux::Error::from_io("connect to seccomp listener", &self.path, &error))
        };
        let text = serde_json::to_vec(&told).map_err(|error| fail(error.into()))?;
        let listener = UnixStream::connect(&self.path).map_err(fail)?;
        Ok(linux::socket::send_with_fds(listener.as_fd(), &text, &[descriptor.as_fd()])?)
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Listener};
    use oci::runtime::Seccomp;

    #[test]
    fn what_does_not_fit_into_one_word_is_refused() {
        let plan = |length: usize| {
            let seccomp = Seccomp {
                listener_path: Some("/x".to_owned()),
                listener_metadata: Some("m".repeat(length)),
                ..Seccomp::default()
            };
            Listener::plan(&seccomp, true).map(Option::unwrap)
        };
        let longest = LONGEST - plan(0).unwrap().to_json().len();
        assert_eq!(plan(longest).unwrap().to_json().len(), LONGEST);
        assert!(plan(longest + 1).unwrap_err().to_string().contains("longer than 4000 bytes"));
    }
}
