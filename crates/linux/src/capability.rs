//! Capabilities (capabilities(7)): names, sets, and setting them on the calling process.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

use crate::Error;

/// The kernel's names without `CAP_`, by number.
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(u64);

/// The five sets of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What exec can ever give.
    pub bounding: Set,
    /// What is in force.
    pub effective: Set,
    /// What may be in force.
    pub permitted: Set,
    /// What files may hand on.
    pub inheritable: Set,
    /// What exec of an ordinary file keeps; each must also be permitted and inheritable.
    pub ambient: Set,
}

impl Set {
    /// None.
    pub const EMPTY: Self = Self(0);

    /// All that this process is permitted: what it could give to others.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn permitted_here() -> Result<Self, Error> {
        let sets = capabilities(None).map_err(|errno| Error::new("read", "capabilities", errno))?;
        Ok(Self(sets.permitted.bits()))
    }

    /// The set of these names; each may begin with `CAP_`, in any case of letters.
    ///
    /// # Errors
    /// `EINVAL` with the first name that is unknown.
    pub fn of_names<S: AsRef<str>>(names: &[S]) -> Result<Self, Error> {
        let mut bits = 0;
        for name in names {
            let number = number_of(name.as_ref())
                .ok_or_else(|| Error::new("use capability", name.as_ref(), Errno::INVAL))?;
            bits |= 1_u64 << number;
        }
        Ok(Self(bits))
    }

    /// The names of the members, without `CAP_`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES
            .iter()
            .enumerate()
            .filter(move |(number, _)| self.0 >> number & 1 == 1)
            .map(|(_, name)| *name)
    }

    /// Members of both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// One bit for each member, by number.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    fn each(self) -> impl Iterator<Item = CapabilitySet> {
        (0..64)
            .map(|number| 1_u64 << number)
            .filter(move |bit| self.0 & bit != 0)
            .map(CapabilitySet::from_bits_retain)
    }
}

fn number_of(name: &str) -> Option<usize> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == bare)
}

/// Takes everything but `keep` out of the bounding set.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn drop_bounding(keep: Set) -> Result<(), Error> {
    for number in 0..64 {
        let bit = 1_u64 << number;
        if keep.0 & bit != 0 {
            continue;
        }
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            Ok(()) => {}
            // Past the last capability of this kernel.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(Error::new("drop", "bounding capabilities", errno)),
        }
    }
    Ok(())
}

/// Sets the four sets other than the bounding one. Ambient capabilities that are not also permitted
/// and inheritable are left out, as the kernel would refuse them.
///
/// # Errors
/// What the kernel says.
pub fn set(sets: &Sets) -> Result<(), Error> {
    let wanted = CapabilitySets {
        effective: CapabilitySet::from_bits_retain(sets.effective.0),
        permitted: CapabilitySet::from_bits_retain(sets.permitted.0),
        inheritable: CapabilitySet::from_bits_retain(sets.inheritable.0),
    };
    set_capabilities(None, wanted).map_err(|errno| Error::new("set", "capabilities", errno))?;
    let fail = |errno| Error::new("set", "ambient capabilities", errno);
    clear_ambient_capability_set().map_err(fail)?;
    let possible = sets.ambient.intersection(sets.permitted).intersection(sets.inheritable);
    for capability in possible.each() {
        configure_capability_in_ambient_set(capability, true).map_err(fail)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Set;

    #[test]
    fn names_are_read_and_written() {
        let set = Set::of_names(&["CAP_CHOWN", "net_admin", "CHECKPOINT_RESTORE"]).unwrap();
        assert_eq!(set.bits(), 1 | 1 << 12 | 1 << 40);
        assert_eq!(set.names().collect::<Vec<_>>(), ["CHOWN", "NET_ADMIN", "CHECKPOINT_RESTORE"]);
        assert!(Set::of_names(&["CAP_NOTHING"]).is_err());
        assert!(Set::of_names(&["CAP_CAP_CHOWN"]).is_err());
    }
}
