//! Which system calls may be made.

use serde::{Deserialize, Serialize};

use super::nullable;

/// A filter of system calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seccomp {
    /// What happens to calls without rule (`SCMP_ACT_ERRNO`, …).
    pub default_action: String,
    /// The error number for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// `SCMP_ARCH_X86_64`, …; the machine's own when empty.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// `SECCOMP_FILTER_FLAG_LOG`, ….
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Socket that gets the notification descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_path: Option<String>,
    /// Text for that socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener_metadata: Option<String>,
    /// The rules.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<SeccompRule>,
}

/// One rule for some system calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SeccompRule {
    /// The calls' names.
    pub names: Vec<String>,
    /// What happens (`SCMP_ACT_ALLOW`, …).
    pub action: String,
    /// The error number, or the tracer's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// All must hold.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<SeccompArgument>,
}

/// A condition on one argument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SeccompArgument {
    /// Which, from 0 to 5.
    pub index: u32,
    /// Compared with.
    pub value: u64,
    /// Second operand of `SCMP_CMP_MASKED_EQ`.
    pub value_two: u64,
    /// `SCMP_CMP_EQ`, ….
    pub op: String,
}
