//! Docker's JSON for profiles, as users write it.

use oci::runtime::{Seccomp, SeccompArgument, SeccompRule};
use serde::Deserialize;

use super::{Conditions, KernelVersion, Situation, architecture_names, rule};
use crate::error::{Error, Result};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchitectureMap>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    listener_path: Option<String>,
    #[serde(default)]
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchitectureMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    /// The old form, for one call.
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<SeccompArgument>>,
    #[serde(default)]
    includes: Filter,
    #[serde(default)]
    excludes: Filter,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

const ACTIONS: [&str; 9] = [
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Reads a profile and decides its conditions.
pub(super) fn parse(text: &str, situation: &Situation<'_>) -> Result<Option<Seccomp>> {
    let document: Document =
        serde_json::from_str(text).map_err(|source| Error::Malformed { source })?;
    let entries = document.syscalls.unwrap_or_default();
    if document.default_action.is_empty() && entries.is_empty() {
        return Ok(None);
    }
    check_action(&document.default_action)?;
    let mut architectures = document.architectures.unwrap_or_default();
    let map = document.arch_map.unwrap_or_default();
    if !architectures.is_empty() && !map.is_empty() {
        return Err(Error::invalid(
            "both 'architectures' and 'archMap' are specified, use either of them",
        ));
    }
    let (native, _) = architecture_names(situation.architecture);
    if let Some(entry) = map.into_iter().find(|entry| entry.architecture == native) {
        architectures.push(entry.architecture);
        architectures.extend(entry.sub_architectures.unwrap_or_default());
    }
    let mut syscalls = Vec::new();
    for entry in entries {
        syscalls.extend(entry.decide(situation)?);
    }
    Ok(Some(Seccomp {
        default_action: document.default_action,
        default_errno_ret: document.default_errno_ret,
        architectures,
        flags: document.flags.unwrap_or_default(),
        listener_path: document.listener_path.filter(|path| !path.is_empty()),
        listener_metadata: document.listener_metadata.filter(|text| !text.is_empty()),
        syscalls,
    }))
}

impl Entry {
    fn decide(self, situation: &Situation<'_>) -> Result<Option<SeccompRule>> {
        let names = match (self.name.filter(|name| !name.is_empty()), self.names) {
            (Some(_), Some(names)) if !names.is_empty() => {
                return Err(Error::invalid(
                    "both 'name' and 'names' are specified, use either of them",
                ));
            }
            (Some(name), _) => vec![name],
            (None, names) => names.unwrap_or_default(),
        };
        check_action(&self.action)?;
        let args = self.args.unwrap_or_default();
        for argument in &args {
            if argument.index > 5 || !OPERATORS.contains(&argument.op.as_str()) {
                return Err(Error::invalid(format!(
                    "argument {} with operator {:?} of {names:?}",
                    argument.index, argument.op
                )));
            }
        }
        let applies = !self.excludes.excluded(situation)? && self.includes.included(situation)?;
        Ok(applies.then(|| rule(names, &self.action, self.errno_ret, args)))
    }
}

impl Filter {
    fn included(&self, situation: &Situation<'_>) -> Result<bool> {
        self.conditions().map(|conditions| conditions.include(situation))
    }

    fn excluded(&self, situation: &Situation<'_>) -> Result<bool> {
        self.conditions().map(|conditions| conditions.exclude(situation))
    }

    fn conditions(&self) -> Result<Conditions<'_, String>> {
        let kernel = self.min_kernel.as_deref().filter(|text| !text.is_empty());
        Ok(Conditions {
            capabilities: self.caps.as_deref().unwrap_or_default(),
            architectures: self.arches.as_deref().unwrap_or_default(),
            kernel: kernel.map(KernelVersion::parse).transpose()?,
        })
    }
}

fn check_action(action: &str) -> Result<()> {
    if ACTIONS.contains(&action) {
        return Ok(());
    }
    Err(Error::invalid(format!("unknown action {action:?}")))
}
