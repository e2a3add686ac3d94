//! The annotation `dev.brig.landlock`: what the container's processes may do at most, by Landlock.
//!
//! The specification has no member for it yet; the shape is that of its proposal
//! (opencontainers/runtime-spec #1111, #1241), with ports and scopes as the kernel has come to have
//! them since, and strict unless it says otherwise.

use std::path::PathBuf;

use linux::landlock::{FILE_ACCESS, Handled, NETWORK_ACCESS, SCOPES};
use serde::Deserialize;

use crate::Error;

/// The annotation's name.
pub const LANDLOCK: &str = "dev.brig.landlock";

/// Far more than anybody writes by hand.
const MAX_LENGTH: usize = 64 << 10;
const MAX_PLACES: usize = 1024;
const MAX_PATH: usize = 4095;

/// Rules to be made where the paths are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LandlockPlan {
    /// What is forbidden unless a rule allows it; the kernel knows all of it.
    pub handled: Handled,
    /// Absolute paths, and what is allowed beneath.
    pub paths: Vec<(PathBuf, u64)>,
    /// Ports of TCP, and what is allowed there.
    pub ports: Vec<(u16, u64)>,
    /// Whether what is not there, here and in the kernel, is passed over.
    pub best_effort: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Annotation {
    ruleset: Ruleset,
    rules: Rules,
    best_effort: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Ruleset {
    #[serde(rename = "handledAccessFS")]
    files: Vec<String>,
    #[serde(rename = "handledAccessNet")]
    network: Vec<String>,
    scoped: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Rules {
    path_beneath: Vec<PathBeneath>,
    net_port: Vec<NetPort>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PathBeneath {
    allowed_access: Vec<String>,
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NetPort {
    allowed_access: Vec<String>,
    ports: Vec<u16>,
}

/// Reads the annotation for a kernel with this version of the interface; `None` when nothing of it
/// can be done and that is no error.
pub(super) fn plan(text: &str, version: u32) -> Result<Option<LandlockPlan>, Error> {
    if text.len() > MAX_LENGTH {
        return Err(invalid(format!("is longer than {MAX_LENGTH} bytes")));
    }
    let read: Annotation =
        serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    let known = known_to(version);
    let best_effort = read.best_effort;
    let wanted = Handled {
        files: bits("ruleset.handledAccessFS", &read.ruleset.files, &FILE_ACCESS)?,
        network: bits("ruleset.handledAccessNet", &read.ruleset.network, &NETWORK_ACCESS)?,
        scopes: bits("ruleset.scoped", &read.ruleset.scoped, &SCOPES)?,
    };
    if wanted == Handled::default() {
        return Err(invalid("ruleset: names nothing that is to be restricted".to_owned()));
    }
    let paths = paths(&read.rules.path_beneath, wanted.files)?;
    let ports = ports(&read.rules.net_port, wanted.network)?;
    let handled = Handled {
        files: wanted.files & known.files,
        network: wanted.network & known.network,
        scopes: wanted.scopes & known.scopes,
    };
    if handled != wanted && !best_effort {
        return Err(Error::unsupported(format!(
            "{LANDLOCK}: {} (the kernel's Landlock has version {version}; \
             \"bestEffort\": true does without)",
            missing(wanted, handled)
        )));
    }
    let is_something = handled != Handled::default();
    Ok(is_something.then_some(LandlockPlan { handled, paths, ports, best_effort }))
}

fn paths(rules: &[PathBeneath], handled: u64) -> Result<Vec<(PathBuf, u64)>, Error> {
    let mut all = Vec::new();
    for rule in rules {
        let access = allowed("pathBeneath", &rule.allowed_access, &FILE_ACCESS, handled)?;
        for path in &rule.paths {
            if !path.starts_with('/') || path.len() > MAX_PATH || path.contains('\0') {
                let shown: String = path.chars().take(80).collect();
                return Err(invalid(format!("rules.pathBeneath: {shown:?} is no absolute path")));
            }
            all.push((PathBuf::from(path), access));
        }
    }
    few("pathBeneath", all)
}

fn ports(rules: &[NetPort], handled: u64) -> Result<Vec<(u16, u64)>, Error> {
    let mut all = Vec::new();
    for rule in rules {
        let access = allowed("netPort", &rule.allowed_access, &NETWORK_ACCESS, handled)?;
        all.extend(rule.ports.iter().map(|port| (*port, access)));
    }
    few("netPort", all)
}

fn few<T>(member: &str, all: Vec<T>) -> Result<Vec<T>, Error> {
    if all.len() > MAX_PLACES {
        return Err(invalid(format!("rules.{member}: there are more than {MAX_PLACES}")));
    }
    Ok(all)
}

/// What is not handled is allowed anyway: a rule that names it is a mistake.
fn allowed(
    member: &str,
    names: &[String],
    known: &[(&str, u32)],
    handled: u64,
) -> Result<u64, Error> {
    let place = format!("rules.{member}.allowedAccess");
    let access = bits(&place, names, known)?;
    if access == 0 {
        return Err(invalid(format!("{place}: there is none")));
    }
    if access & !handled != 0 {
        return Err(invalid(format!("{place}: has what the ruleset does not handle")));
    }
    Ok(access)
}

fn bits(place: &str, names: &[String], known: &[(&str, u32)]) -> Result<u64, Error> {
    let bit = |name: &String| match known.iter().position(|(known, _)| known == name) {
        Some(position) => Ok(1 << position),
        None => {
            let shown: String = name.chars().take(80).collect();
            Err(invalid(format!("{place}: {shown:?} is unknown")))
        }
    };
    names.iter().try_fold(0, |all, name| Ok(all | bit(name)?))
}

/// What a kernel with this version of the interface can handle.
fn known_to(version: u32) -> Handled {
    let bits = |known: &[(&str, u32)]| {
        let of = |(position, (_, since)): (usize, &(&str, u32))| {
            u64::from(*since <= version) << position
        };
        known.iter().enumerate().map(of).sum()
    };
    Handled { files: bits(&FILE_ACCESS), network: bits(&NETWORK_ACCESS), scopes: bits(&SCOPES) }
}

fn missing(wanted: Handled, handled: Handled) -> String {
    let names = |known: &[(&'static str, u32)], bits: u64| {
        let named = known.iter().enumerate().filter(move |(position, _)| bits >> position & 1 == 1);
        named.map(|(_, (name, _))| *name).collect::<Vec<_>>()
    };
    [
        names(&FILE_ACCESS, wanted.files & !handled.files),
        names(&NETWORK_ACCESS, wanted.network & !handled.network),
        names(&SCOPES, wanted.scopes & !handled.scopes),
    ]
    .concat()
    .join(", ")
}

fn invalid(reason: String) -> Error {
    Error::invalid(format!("annotations.{LANDLOCK}"), reason)
}

#[cfg(test)]
mod tests {
    use super::{LandlockPlan, MAX_LENGTH, MAX_PLACES, plan};
    use linux::landlock::Handled;
    use std::path::PathBuf;

    const ALL: &str = r#"{
        "ruleset": {"handledAccessFS": ["execute", "truncate"],
                    "handledAccessNet": ["connect_tcp"], "scoped": ["signal"]},
        "rules": {"pathBeneath": [{"allowedAccess": ["execute"], "paths": ["/bin", "/lib"]}],
                  "netPort": [{"allowedAccess": ["connect_tcp"], "ports": [443]}]}"#;

    #[test]
    fn names_become_bits() {
        let read = plan(&format!("{ALL}}}"), 7).unwrap().unwrap();
        assert_eq!(
            read,
            LandlockPlan {
                handled: Handled { files: 1 | 1 << 14, network: 2, scopes: 2 },
                paths: vec![(PathBuf::from("/bin"), 1), (PathBuf::from("/lib"), 1)],
                ports: vec![(443, 2)],
                best_effort: false,
            }
        );
    }

    #[test]
    fn what_the_kernel_lacks_is_an_error_or_left_out() {
        for (version, missing) in [
            (5, "signal (the kernel's Landlock has version 5"),
            (2, "truncate, connect_tcp, signal (the"),
            (0, "execute, truncate, connect_tcp, signal (the"),
        ] {
            let error = plan(&format!("{ALL}}}"), version).unwrap_err().to_string();
            assert!(error.contains(missing), "{error}");
        }
        let effort = format!("{ALL}, \"bestEffort\": true}}");
        let handled = |version| plan(&effort, version).unwrap().map(|plan| plan.handled);
        assert_eq!(handled(2), Some(Handled { files: 1, network: 0, scopes: 0 }));
        assert_eq!(handled(0), None);
    }

    #[test]
    fn wrong_ones() {
        let many = vec!["1"; MAX_PLACES + 1].join(",");
        let of_ports = format!(
            r#"{{"ruleset":{{"handledAccessNet":["bind_tcp"]}},
                "rules":{{"netPort":[{{"allowedAccess":["bind_tcp"],"ports":[{many}]}}]}}}}"#
        );
        let rule = |access: &str, path: &str| {
            format!(
                r#"{{"ruleset":{{"handledAccessFS":["execute"]}},
                    "rules":{{"pathBeneath":[{{"allowedAccess":[{access}],"paths":["{path}"]}}]}}}}"#
            )
        };
        assert!(plan(&rule("\"execute\"", "/x"), 7).is_ok());
        for (wrong, why) in [
            (String::new(), "EOF"),
            ("{}".to_owned(), "nothing that is to be restricted"),
            (r#"{"ruleset":{"handledAccessFS":["fly"]}}"#.to_owned(), "\"fly\" is unknown"),
            (r#"{"ruleset":{"handled":["execute"]}}"#.to_owned(), "unknown field"),
            (r#"{"ruleset":{"scoped":["signal"]},"bestEffort":"yes"}"#.to_owned(), "boolean"),
            (rule("\"execute\"", "x"), "no absolute path"),
            (rule("\"execute\"", "/a\\u0000b"), "no absolute path"),
            (rule("\"execute\"", &format!("/{}", "x".repeat(5000))), "no absolute path"),
            (rule("", "/x"), "there is none"),
            (rule("\"read_file\"", "/x"), "does not handle"),
            (of_ports.replace("[1,", "[65536,"), "65536"),
            (of_ports, "more than 1024"),
            (format!("{{}}{}", " ".repeat(MAX_LENGTH)), "longer than"),
            ("[".repeat(60_000), "column"),
        ] {
            let error = plan(&wrong, 7).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
