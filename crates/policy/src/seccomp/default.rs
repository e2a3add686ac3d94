//! The default profile: what Docker's allows, no more and no less.
//!
//! Follows moby/profiles `seccomp/default.json` at commit 02e898b137ae (2026): 426 names in all.
//! A table of our own: names in lists, conditions beside them. A test keeps its meaning equal to
//! that file's, and another shows what differs when a newer one is to be followed. What no rule
//! names fails with EPERM; an allow-list means that a call nobody thought of is refused.

use oci::runtime::{Seccomp, SeccompArgument};

use super::{Conditions, KernelVersion, Situation, architecture_names, rule};

const ALLOW: &str = "SCMP_ACT_ALLOW";
const ERRNO: &str = "SCMP_ACT_ERRNO";
const EQUAL: &str = "SCMP_CMP_EQ";
const LESS: &str = "SCMP_CMP_LT";
const MASKED: &str = "SCMP_CMP_MASKED_EQ";
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// One line of the profile.
struct Line {
    /// Separated by white space.
    names: &'static str,
    /// On the first argument, or the one stated: (which, how, value).
    condition: Option<(u32, &'static str, u64)>,
    /// Fails with this number instead of being allowed.
    errno: Option<u32>,
    only: Conditions<'static, &'static str>,
    not: Conditions<'static, &'static str>,
}

const NEVER: Conditions<'static, &'static str> =
    Conditions { capabilities: &[], architectures: &[], kernel: None };

const fn allow(names: &'static str) -> Line {
    Line { names, condition: None, errno: None, only: NEVER, not: NEVER }
}

const fn with_capability(capability: &'static [&'static str], names: &'static str) -> Line {
    let only = Conditions { capabilities: capability, architectures: &[], kernel: None };
    Line { only, ..allow(names) }
}

const fn on(architectures: &'static [&'static str], names: &'static str) -> Line {
    let only = Conditions { capabilities: &[], architectures, kernel: None };
    Line { only, ..allow(names) }
}

const fn first_argument(how: &'static str, value: u64, name: &'static str) -> Line {
    Line { condition: Some((0, how, value)), ..allow(name) }
}

/// Flags of clone(2) that make namespaces: new mount, UTS, IPC, user, PID, network and cgroup.
const NAMESPACES: u64 = 0x7E02_0000;
const ADMIN: &[&str] = &["CAP_SYS_ADMIN"];
const S390: &[&str] = &["s390", "s390x"];
const NOT_FOR_ADMIN: Conditions<'static, &'static str> =
    Conditions { capabilities: ADMIN, architectures: &[], kernel: None };

/// Address families that may be opened besides those below 12. Not among them: families that the
/// kernel has lost (12, 19, 20, 23, 25, 34, 37), the kernel's cryptography
/// (38), which is attack surface without use, and VM sockets (40), which know no namespaces.
const FAMILIES: [u64; 25] = [
    13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44,
    45,
];

/// Execution domains that may be chosen (personality(2)): Linux, uname26 and 32-bit, and asking.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

/// What every container may call.
const ALWAYS: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2
    dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
    fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64
    futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp
    getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit
    get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday
    getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64
    ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
    listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock
    mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget
    msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect
    open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease
    pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv
    recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename
    renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
    sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select
    semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto
    setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
    setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
    setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32
    setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask
    sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink
    symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
    truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64
    utimes vfork vmsplice wait4 waitid waitpid write writev";

/// The lines between the address families and execution domains and the end.
static LINES: [Line; 23] = [
    on(&["ppc64le"], "sync_file_range2 swapcontext"),
    on(
        &["arm", "arm64"],
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    on(&["amd64", "x32"], "arch_prctl"),
    on(&["amd64", "x32", "x86"], "modify_ldt"),
    on(S390, "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"),
    on(&["riscv64"], "riscv_flush_icache"),
    with_capability(&["CAP_DAC_READ_SEARCH"], "open_by_handle_at"),
    with_capability(
        ADMIN,
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
         umount umount2 unshare",
    ),
    Line {
        condition: Some((0, MASKED, NAMESPACES)),
        not: Conditions { capabilities: ADMIN, architectures: S390, kernel: None },
        ..allow("clone")
    },
    // There the flags are the second argument.
    Line {
        condition: Some((1, MASKED, NAMESPACES)),
        only: Conditions { capabilities: &[], architectures: S390, kernel: None },
        not: NOT_FOR_ADMIN,
        ..allow("clone")
    },
    // Its flags lie in memory, where no filter sees them: callers fall back to clone.
    Line { errno: Some(ENOSYS), not: NOT_FOR_ADMIN, ..allow("clone3") },
    with_capability(&["CAP_SYS_BOOT"], "reboot"),
    with_capability(&["CAP_SYS_CHROOT"], "chroot"),
    with_capability(&["CAP_SYS_MODULE"], "delete_module init_module finit_module"),
    with_capability(&["CAP_SYS_PACCT"], "acct"),
    with_capability(
        &["CAP_SYS_PTRACE"],
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    with_capability(&["CAP_SYS_RAWIO"], "iopl ioperm"),
    with_capability(&["CAP_SYS_TIME"], "settimeofday stime clock_settime clock_settime64"),
    with_capability(&["CAP_SYS_TTY_CONFIG"], "vhangup"),
    with_capability(&["CAP_SYS_NICE"], "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    with_capability(&["CAP_SYSLOG"], "syslog"),
    with_capability(&["CAP_BPF"], "bpf"),
    with_capability(&["CAP_PERFMON"], "perf_event_open"),
];

/// From this version on ptrace cannot be used to slip past a filter.
const SAFE_PTRACE: KernelVersion = KernelVersion { major: 4, minor: 8 };

/// Every line, in the profile's order.
fn lines() -> impl Iterator<Item = Line> {
    let ptrace = Line {
        only: Conditions { kernel: Some(SAFE_PTRACE), ..NEVER },
        ..allow("process_vm_readv process_vm_writev ptrace")
    };
    let families = FAMILIES.map(|family| first_argument(EQUAL, family, "socket"));
    let personalities = PERSONALITIES.map(|domain| first_argument(EQUAL, domain, "personality"));
    [allow(ALWAYS), ptrace, first_argument(LESS, 12, "socket")]
        .into_iter()
        .chain(families)
        .chain(personalities)
}

/// The profile, with all conditions decided.
pub(super) fn profile(situation: &Situation<'_>) -> Seccomp {
    let general = lines();
    let syscalls = general
        .filter_map(|line| line.rule(situation))
        .chain(LINES.iter().filter_map(|line| line.rule(situation)))
        .collect();
    Seccomp {
        default_action: ERRNO.to_owned(),
        default_errno_ret: Some(EPERM),
        architectures: architectures(situation.architecture),
        syscalls,
        ..Seccomp::default()
    }
}

/// The machine's architecture and those whose programs it also runs.
fn architectures(architecture: &str) -> Vec<String> {
    let (native, _) = architecture_names(architecture);
    let also: &[&str] = match native {
        "SCMP_ARCH_X86_64" => &["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "SCMP_ARCH_AARCH64" => &["SCMP_ARCH_ARM"],
        "SCMP_ARCH_RISCV64" => &[],
        "SCMP_ARCH_S390X" => &["SCMP_ARCH_S390"],
        // The others are unknown to the profile, or to brig: the runtime then takes its own.
        _ => return Vec::new(),
    };
    std::iter::once(native).chain(also.iter().copied()).map(str::to_owned).collect()
}

impl Line {
    fn rule(&self, situation: &Situation<'_>) -> Option<oci::runtime::SeccompRule> {
        if self.not.exclude(situation) || !self.only.include(situation) {
            return None;
        }
        let names = self.names.split_ascii_whitespace().map(str::to_owned).collect();
        let argument = self.condition.map(|(index, op, value)| SeccompArgument {
            index,
            value,
            value_two: 0,
            op: op.to_owned(),
        });
        let action = if self.errno.is_some() { ERRNO } else { ALLOW };
        Some(rule(names, action, self.errno, argument.into_iter().collect()))
    }
}
