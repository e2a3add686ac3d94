//! Profiles of system calls: the default one, and Docker's JSON for those of users.
//!
//! A profile's rules apply under conditions: capabilities, architecture, kernel version. What is
//! left once a [`Situation`] has decided them is the OCI runtime specification's plain filter.

mod default;
mod profile;

use oci::runtime::{Seccomp, SeccompArgument, SeccompRule};

use crate::error::{Error, Result};

/// A kernel's version, as far as profiles care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// Before the dot.
    pub major: u32,
    /// After it.
    pub minor: u32,
}

impl KernelVersion {
    /// Reads the beginning of a release (`6.1.0-13-amd64`) or a profile's `4.8`.
    ///
    /// # Errors
    /// When it does not begin with two numbers.
    pub fn parse(release: &str) -> Result<Self> {
        let invalid = || Error::invalid(format!("invalid kernel version: {release:?}"));
        let mut numbers = release.split('.');
        let mut number = |whole: bool| {
            let text = numbers.next()?;
            let digits: &str =
                text.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
            if whole && digits != text {
                return None;
            }
            digits.parse().ok()
        };
        let major = number(true).ok_or_else(invalid)?;
        let minor = number(false).ok_or_else(invalid)?;
        Ok(Self { major, minor })
    }
}

/// What decides which of a profile's rules apply.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The container's bounding set, with `CAP_`.
    pub capabilities: &'a [String],
    /// The machine's architecture in Go's words: `amd64`, `arm64`, `386`, `arm`.
    pub architecture: &'a str,
    /// The kernel's version.
    pub kernel: KernelVersion,
}

/// The default profile for this situation.
#[must_use]
pub fn default_seccomp(situation: &Situation<'_>) -> Seccomp {
    default::profile(situation)
}

/// The filter of a profile in Docker's JSON (`--security-opt seccomp=FILE`); `None` for one that
/// says nothing, which means no filter.
///
/// # Errors
/// [`Error`] when it is not such a profile.
pub fn seccomp_from_profile(text: &str, situation: &Situation<'_>) -> Result<Option<Seccomp>> {
    profile::parse(text, situation)
}

/// The architecture's name in specifications and in profiles' conditions.
fn architecture_names(architecture: &str) -> (&'static str, &str) {
    match architecture {
        "amd64" => ("SCMP_ARCH_X86_64", "amd64"),
        "386" => ("SCMP_ARCH_X86", "x86"),
        "arm64" => ("SCMP_ARCH_AARCH64", "arm64"),
        "arm" => ("SCMP_ARCH_ARM", "arm"),
        "riscv64" => ("SCMP_ARCH_RISCV64", "riscv64"),
        "s390x" => ("SCMP_ARCH_S390X", "s390x"),
        other => ("", other),
    }
}

/// Conditions on a rule, by reference into a table or a document.
#[derive(Debug, Clone, Copy, Default)]
struct Conditions<'a, S> {
    /// Capabilities.
    capabilities: &'a [S],
    /// Architectures, in profiles' words.
    architectures: &'a [S],
    /// The first kernel version.
    kernel: Option<KernelVersion>,
}

impl<S: AsRef<str>> Conditions<'_, S> {
    /// Whether all that is demanded is there.
    fn include(&self, situation: &Situation<'_>) -> bool {
        let (_, native) = architecture_names(situation.architecture);
        let named = self.architectures.iter().any(|name| name.as_ref() == native);
        (self.architectures.is_empty() || named)
            && self.capabilities.iter().all(|name| has(situation, name.as_ref()))
            && self.kernel.is_none_or(|first| situation.kernel >= first)
    }

    /// Whether anything that is forbidden is there.
    fn exclude(&self, situation: &Situation<'_>) -> bool {
        let (_, native) = architecture_names(situation.architecture);
        self.architectures.iter().any(|name| name.as_ref() == native)
            || self.capabilities.iter().any(|name| has(situation, name.as_ref()))
            || self.kernel.is_some_and(|first| situation.kernel >= first)
    }
}

fn has(situation: &Situation<'_>, capability: &str) -> bool {
    situation.capabilities.iter().any(|held| held == capability)
}

/// A rule of the specification.
fn rule(
    names: Vec<String>,
    action: &str,
    errno_ret: Option<u32>,
    args: Vec<SeccompArgument>,
) -> SeccompRule {
    SeccompRule { names, action: action.to_owned(), errno_ret, args }
}

#[cfg(test)]
mod tests;
