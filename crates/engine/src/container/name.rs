//! Names of containers: the rule, and names made up.

use crate::error::{Error, Result};

/// Checks a wanted name and gives it without its leading slash.
///
/// # Errors
/// `Invalid` unless it is `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(crate) fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = bare.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if first && rest && bare.len() > 1 {
        return Ok(bare);
    }
    Err(Error::Invalid(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

/// A made-up name: `adjective_noun`, with a digit from the third attempt on.
#[must_use]
pub(crate) fn generate(attempt: u32) -> String {
    let [a, b, digit, ..] = stdx::random::bytes::<4>();
    let adjective = ADJECTIVES[usize::from(a) % ADJECTIVES.len()];
    let noun = NOUNS[usize::from(b) % NOUNS.len()];
    if attempt < 2 {
        return format!("{adjective}_{noun}");
    }
    format!("{adjective}_{noun}{}", u32::from(digit) + attempt)
}

const ADJECTIVES: &[&str] = &[
    "airy", "amber", "ample", "apt", "balmy", "bold", "brave", "breezy", "bright", "brisk", "calm",
    "candid", "careful", "cheery", "clear", "clever", "cordial", "cosy", "crisp", "dapper",
    "daring", "deft", "dry", "eager", "earnest", "easy", "even", "fair", "fine", "firm", "fleet",
    "fluent", "fond", "frank", "free", "fresh", "gentle", "glad", "golden", "grand", "hale",
    "handy", "happy", "hardy", "hearty", "honest", "humble", "jaunty", "jolly", "just", "keen",
    "kind", "lasting", "light", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild",
    "neat", "nimble", "noble", "patient", "placid", "plucky", "polite", "prime", "proud",
    "prudent", "quick", "quiet", "rapid", "ready", "robust", "rosy", "salty", "serene", "sharp",
    "silent", "sincere", "smart", "smooth", "snug", "solid", "sound", "spry", "stable", "staunch",
    "steady", "stout", "sunny", "swift", "tidy", "trim", "true", "trusty", "upright", "valiant",
    "vivid", "warm", "wise", "witty", "zesty",
];

const NOUNS: &[&str] = &[
    "albatross",
    "anchor",
    "ballast",
    "barge",
    "bay",
    "beacon",
    "berth",
    "binnacle",
    "boat",
    "bollard",
    "boom",
    "bow",
    "brig",
    "buoy",
    "cabin",
    "canoe",
    "capstan",
    "chart",
    "clipper",
    "compass",
    "coral",
    "cove",
    "crew",
    "current",
    "cutter",
    "deck",
    "dinghy",
    "dock",
    "dolphin",
    "dory",
    "estuary",
    "ferry",
    "flag",
    "fleet",
    "frigate",
    "galley",
    "gull",
    "halyard",
    "harbor",
    "hatch",
    "haven",
    "hawser",
    "helm",
    "heron",
    "hull",
    "inlet",
    "island",
    "jetty",
    "jib",
    "kayak",
    "keel",
    "ketch",
    "knot",
    "lagoon",
    "lantern",
    "launch",
    "ledger",
    "lighthouse",
    "lugger",
    "mainsail",
    "marina",
    "mast",
    "mooring",
    "narwhal",
    "oar",
    "osprey",
    "packet",
    "pelican",
    "pennant",
    "petrel",
    "pier",
    "pilot",
    "plover",
    "port",
    "porthole",
    "puffin",
    "quay",
    "raft",
    "reef",
    "rigging",
    "rudder",
    "sail",
    "schooner",
    "scow",
    "seal",
    "sextant",
    "shoal",
    "skiff",
    "sloop",
    "spar",
    "spinnaker",
    "stern",
    "strait",
    "tern",
    "tide",
    "tiller",
    "topsail",
    "trawler",
    "tug",
    "walrus",
    "wharf",
    "whale",
    "winch",
    "yacht",
    "yawl",
];

#[cfg(test)]
mod tests {
    use super::{check, generate};

    #[test]
    fn the_rule() {
        for good in ["web", "/web", "a1", "0_", "x.y-z_0"] {
            assert_eq!(check(good).unwrap(), good.trim_start_matches('/'));
        }
        for bad in ["", "/", "a", "-a", "_a", ".a", "a b", "a/b", "//ab", "ä1", "a\n"] {
            let message = check(bad).unwrap_err().to_string();
            assert!(message.starts_with(&format!("Invalid container name ({bad})")), "{message}");
        }
    }

    #[test]
    fn made_up_names_follow_the_rule() {
        for attempt in 0..300 {
            let name = generate(attempt);
            assert_eq!(check(&name).unwrap(), name);
            assert_eq!(name.ends_with(|last: char| last.is_ascii_digit()), attempt >= 2);
        }
    }
}
