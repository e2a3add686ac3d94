//! The architectures that a kernel may serve, and their numbers for calls.

use super::numbers::NUMBERS;

/// The bit that tells x32's calls from `x86_64`'s.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// A calling convention that a program may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 64-bit x86 with 32-bit pointers.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI).
    Arm,
}

impl Architecture {
    /// What this program runs as, if seccomp is supported on it.
    #[must_use]
    pub const fn native() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "x86") {
            Some(Self::X86)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else if cfg!(target_arch = "arm") {
            Some(Self::Arm)
        } else {
            None
        }
    }

    /// The architecture that specifications call so (`SCMP_ARCH_X86_64`); `None` for one whose
    /// programs no kernel of ours runs.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, found)| *found)
    }

    /// All of them, with the names that the OCI specification has for them.
    pub const NAMED: [(&str, Self); 5] = [
        ("SCMP_ARCH_AARCH64", Self::Aarch64),
        ("SCMP_ARCH_ARM", Self::Arm),
        ("SCMP_ARCH_X32", Self::X32),
        ("SCMP_ARCH_X86", Self::X86),
        ("SCMP_ARCH_X86_64", Self::X86_64),
    ];

    /// The number of a call, as the filter sees it; `None` when there is no such call.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        Call::named(name)?.number(self)
    }

    /// Every call this architecture has, by name.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NUMBERS.iter().map(|(name, _)| *name).filter(move |name| self.number(name).is_some())
    }

    /// The kernel's value in `seccomp_data.arch` (`linux/audit.h`): ELF machine, 64-bit and
    /// little-endian bits. `x86_64` and x32 share theirs.
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xC000_003E,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xC000_00B7,
            Self::Arm => 0x4000_0028,
        }
    }

    const fn column(self) -> usize {
        match self {
            Self::X86_64 => 0,
            Self::X86 => 1,
            Self::X32 => 2,
            Self::Aarch64 => 3,
            Self::Arm => 4,
        }
    }
}

/// A call that some architecture has.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    numbers: &'static [i32; 5],
}

impl Call {
    /// The call of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let first = usize::from(*name.as_bytes().first()?);
        let range = usize::from(*BEGINNINGS.get(first)?)..usize::from(*BEGINNINGS.get(first + 1)?);
        let same = NUMBERS.get(range)?;
        let position = same.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        same.get(position).map(|(_, numbers)| Self { numbers })
    }

    /// Its number, as the filter sees it; `None` where there is no such call.
    #[must_use]
    pub fn number(self, architecture: Architecture) -> Option<u32> {
        let number = u32::try_from(*self.numbers.get(architecture.column())?).ok()?;
        Some(if architecture == Architecture::X32 { number | X32_BIT } else { number })
    }
}

/// Where the names that begin with each byte begin in the table.
static BEGINNINGS: [u16; 129] = beginnings();

const fn beginnings() -> [u16; 129] {
    let mut beginnings = [0; 129];
    let (mut byte, mut position) = (0, 0);
    while byte < beginnings.len() {
        while (position as usize) < NUMBERS.len()
            && (NUMBERS[position as usize].0.as_bytes()[0] as usize) < byte
        {
            position += 1;
        }
        beginnings[byte] = position;
        byte += 1;
    }
    beginnings
}

/// How `x86`'s multiplexed calls know a call: (multiplexer, first argument). The arguments proper
/// lie behind a pointer, where no filter looks.
#[must_use]
pub fn multiplexed(name: &str) -> Option<(&'static str, u32)> {
    const SOCKET_CALLS: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const IPC_CALLS: [(&str, u32); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    if let Some((_, call)) =
        (1..).zip(SOCKET_CALLS).map(|(call, known)| (known, call)).find(|(known, _)| *known == name)
    {
        return Some(("socketcall", call));
    }
    IPC_CALLS.iter().find(|(known, _)| *known == name).map(|(_, call)| ("ipc", *call))
}

#[cfg(test)]
mod tests {
    use super::{Architecture, NUMBERS};

    #[test]
    fn the_table_is_sorted() {
        assert!(NUMBERS.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn numbers_are_the_c_librarys() {
        let known: [(&str, libc::c_long); 6] = [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("seccomp", libc::SYS_seccomp),
            ("openat2", libc::SYS_openat2),
            ("mseal", libc::SYS_mseal),
            ("socket", libc::SYS_socket),
        ];
        let native = Architecture::native().unwrap();
        for (name, number) in known {
            assert_eq!(native.number(name).map(libc::c_long::from), Some(number), "{name}");
        }
        assert_eq!(Architecture::X86.number("umount"), Some(22));
        assert_eq!(Architecture::X32.number("execve"), Some(0x4000_0000 | 520));
        assert_eq!(Architecture::Arm.number("set_tls"), Some(0x000f_0005));
        assert_eq!(native.number("nonsense"), None);
    }
}
