//! Platforms and which of an index's images runs best on one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::shorten;

/// An operating system and a processor (OCI image index specification, "platform"), in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `GOARCH`: `amd64`, `arm64`, `arm`, …
    pub architecture: String,
    /// `GOOS`: `linux`.
    pub os: String,
    /// `v7` of `arm`, `v3` of `amd64`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Windows only.
    #[serde(default, rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Windows only.
    #[serde(
        default,
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::image::null_as_default"
    )]
    pub os_features: Vec<String>,
}

/// A text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform `{text}`: want OS/ARCHITECTURE[/VARIANT]")]
pub struct PlatformError {
    text: String,
}

impl Platform {
    /// A platform without variant, normalized.
    #[must_use]
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: variant.map(str::to_owned),
            os_version: None,
            os_features: Vec::new(),
        }
        .normalized()
    }

    /// What this program runs on. On amd64 the variant is the processor's level (`v2` to `v4`),
    /// absent for the first.
    #[must_use]
    pub fn host() -> Self {
        Self::new("linux", host_architecture(), host_variant())
    }

    /// Parses `linux/arm/v7`, `linux/amd64`, or an architecture alone.
    ///
    /// # Errors
    /// [`PlatformError`] when a part is empty or there are too many.
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let plain = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if !parts.iter().all(plain) {
            return Err(PlatformError { text: shorten(text) });
        }
        match *parts {
            [one] if one.eq_ignore_ascii_case("linux") => {
                Ok(Self { variant: None, ..Self::host() })
            }
            [architecture] => Ok(Self::new("linux", architecture, None)),
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(PlatformError { text: shorten(text) }),
        }
    }

    /// The same platform in one spelling: `x86_64` → `amd64`, `aarch64` → `arm64`, `arm64/v8` →
    /// `arm64`, `arm` → `arm/v7`.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let os = match self.os.to_ascii_lowercase() {
            os if os == "macos" => "darwin".to_owned(),
            os => os,
        };
        let variant = self.variant.as_deref().unwrap_or_default().to_ascii_lowercase();
        let (architecture, variant) =
            normalize(&self.architecture.to_ascii_lowercase(), variant.trim());
        let variant = Some(variant).filter(|variant| !variant.is_empty());
        Self { architecture, os, variant, ..self.clone() }
    }

    /// How well an image for `candidate` runs here: 0 is a perfect match, greater is worse, `None`
    /// means not at all.
    #[must_use]
    pub fn rank(&self, candidate: &Self) -> Option<u32> {
        let (host, candidate) = (self.normalized(), candidate.normalized());
        if host.os != candidate.os {
            return None;
        }
        let wanted = level(host.variant.as_deref());
        let offered = level(candidate.variant.as_deref());
        match (host.architecture.as_str(), candidate.architecture.as_str()) {
            ("amd64", "amd64") => wanted?.max(1).checked_sub(offered?.max(1)),
            ("amd64", "386") => Some(100),
            ("arm64", "arm64") => arm64_level(wanted?).checked_sub(arm64_level(offered?)),
            ("arm64", "arm") => 8_u32.checked_sub(offered?).map(|distance| 100 + distance),
            ("arm", "arm") => wanted?.checked_sub(offered?),
            (host_architecture, architecture) if host_architecture == architecture => {
                (host.variant == candidate.variant || candidate.variant.is_none()).then_some(0)
            }
            _ => None,
        }
    }

    /// Whether an image for `candidate` runs here.
    #[must_use]
    pub fn matches(&self, candidate: &Self) -> bool {
        self.rank(candidate).is_some()
    }

    /// The position of the best of several candidates; the first of equals.
    #[must_use]
    pub fn best<'a>(&self, candidates: impl IntoIterator<Item = &'a Self>) -> Option<usize> {
        candidates
            .into_iter()
            .enumerate()
            .filter_map(|(position, candidate)| Some((self.rank(candidate)?, position)))
            .min()
            .map(|(_, position)| position)
    }
}

fn normalize(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = match (architecture, variant) {
        ("i386" | "i686" | "386", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0") => ("arm64", ""),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("armel", _) | ("arm", "6") => ("arm", "v6"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "8") => ("arm", "v8"),
        other => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

/// `v7` → 7, `v8.1` → 8, absent → 0; `None` for something that is no level.
fn level(variant: Option<&str>) -> Option<u32> {
    let Some(variant) = variant else { return Some(0) };
    let digits = variant.strip_prefix('v')?;
    digits.split_once('.').map_or(digits, |(major, _)| major).parse().ok()
}

const fn arm64_level(level: u32) -> u32 {
    if level == 0 { 8 } else { level }
}

const fn host_architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else if cfg!(target_arch = "x86") {
        "386"
    } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
        "ppc64le"
    } else {
        std::env::consts::ARCH
    }
}

#[cfg(target_arch = "x86_64")]
fn host_variant() -> Option<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    let second = has!("sse3") && has!("ssse3") && has!("sse4.1") && has!("sse4.2");
    let second = second && has!("popcnt") && has!("cmpxchg16b");
    let third = second && has!("avx") && has!("avx2") && has!("bmi1") && has!("bmi2");
    let third = third && has!("f16c") && has!("fma") && has!("lzcnt") && has!("movbe");
    let fourth = third && has!("avx512f") && has!("avx512bw") && has!("avx512cd");
    let fourth = fourth && has!("avx512dq") && has!("avx512vl");
    match (second, third, fourth) {
        (_, _, true) => Some("v4"),
        (_, true, false) => Some("v3"),
        (true, false, false) => Some("v2"),
        (false, false, false) => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
const fn host_variant() -> Option<&'static str> {
    None
}

/// `os/architecture[/variant]`.
impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(formatter, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Platform;

    fn platform(text: &str) -> Platform {
        Platform::parse(text).unwrap()
    }

    #[test]
    fn one_spelling() {
        for (text, normal) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("Linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("arm", "linux/arm/v7"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("riscv64", "linux/riscv64"),
        ] {
            assert_eq!(platform(text).to_string(), normal, "{text}");
        }
        for text in ["", "/", "linux/", "a/b/c/d", "linux/arm v7"] {
            assert!(Platform::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_best_candidate_wins() {
        for (host, candidates, best) in [
            ("linux/amd64", &["linux/arm64", "linux/amd64"][..], Some(1)),
            ("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], Some(1)),
            ("linux/amd64", &["linux/amd64/v2"], None),
            ("linux/amd64", &["windows/amd64"], None),
            ("linux/amd64", &["linux/386"], Some(0)),
            ("linux/arm/v7", &["linux/arm/v5", "linux/arm/v7", "linux/arm/v6"], Some(1)),
            ("linux/arm/v6", &["linux/arm/v7", "linux/arm/v5"], Some(1)),
            ("linux/arm64", &["linux/arm/v7", "linux/arm64/v8"], Some(1)),
            ("linux/arm64", &["linux/arm/v6", "linux/arm/v7"], Some(1)),
            ("linux/s390x", &["linux/ppc64le"], None),
        ] {
            let candidates: Vec<Platform> = candidates.iter().map(|text| platform(text)).collect();
            assert_eq!(platform(host).best(&candidates), best, "{host}");
        }
    }

    #[test]
    fn the_host_runs_its_own() {
        let host = Platform::host();
        assert_eq!(host.rank(&host), Some(0));
        assert!(host.matches(&Platform { variant: None, ..host.clone() }));
    }
}
