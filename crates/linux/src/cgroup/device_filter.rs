//! Device rules on cgroup v2: a small eBPF program attached to the group
//! (Documentation/admin-guide/cgroup-v2.rst, "Device controller"; bpf(2)).
//!
//! The program is planned as plain instructions, which the tests run in an interpreter; loading and
//! attaching are two system calls.

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::io::Errno;

use super::limits::{DeviceAccess, DeviceKind, DeviceRule};
use crate::Error;

/// One eBPF instruction (`struct bpf_insn`): registers are the low (destination) and the high
/// (source) half of a byte.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// `BPF_LDX | BPF_MEM | BPF_W`.
const LOAD_WORD: u8 = 0x61;
/// `BPF_ALU64 | BPF_MOV` with a register or with an immediate, and three more with an immediate.
const MOVE_REGISTER: u8 = 0xbf;
const MOVE: u8 = 0xb7;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
/// `BPF_JMP | BPF_JEQ`, `BPF_JMP | BPF_JNE`, with an immediate; `BPF_JMP | BPF_EXIT`.
const JUMP_EQUAL: u8 = 0x15;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// What the registers hold once the prologue has run.
const RESULT: u8 = 0;
const SCRATCH: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

const fn set(register: u8, value: i32) -> Instruction {
    instruction(MOVE, register, 0, value)
}

const fn copy(to: u8, from: u8) -> Instruction {
    instruction(MOVE_REGISTER, to | from << 4, 0, 0)
}

/// Reads the `struct bpf_cgroup_dev_ctx` that register 1 points to: kind and access share a word.
const PROLOGUE: [Instruction; 6] = [
    instruction(LOAD_WORD, KIND | SCRATCH << 4, 0, 0),
    copy(ACCESS, KIND),
    instruction(SHIFT_RIGHT, ACCESS, 0, 16),
    instruction(AND, KIND, 0, 0xffff),
    instruction(LOAD_WORD, MAJOR | SCRATCH << 4, 4, 0),
    instruction(LOAD_WORD, MINOR | SCRATCH << 4, 8, 0),
];

/// The program for the rules, of which the last that matches decides, as with v1's files; a device
/// that no rule matches is allowed, as v1 inherits it.
fn plan(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = PROLOGUE.to_vec();
    for rule in rules.iter().rev() {
        append(&mut program, rule);
        if decides_everything(rule) {
            // What followed could not be reached, and the kernel refuses such a program.
            return program;
        }
    }
    program.extend([set(RESULT, 1), instruction(EXIT, 0, 0, 0)]);
    program
}

fn decides_everything(rule: &DeviceRule) -> bool {
    let any_number = rule.major.is_none() && rule.minor.is_none();
    rule.kind == DeviceKind::All && any_number && rule.access == DeviceAccess::ALL
}

fn append(program: &mut Vec<Instruction>, rule: &DeviceRule) {
    let mut tests = Vec::new();
    match rule.kind {
        DeviceKind::All => {}
        DeviceKind::Block => tests.push((JUMP_NOT_EQUAL, KIND, 1)),
        DeviceKind::Character => tests.push((JUMP_NOT_EQUAL, KIND, 2)),
    }
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        tests.extend(number.map(|number| (JUMP_NOT_EQUAL, register, number.cast_signed())));
    }
    let access = bits(rule.access);
    // Allowing takes a request whole; denying takes it for any part.
    let (mask, jump) =
        if rule.allow { (!access & 7, JUMP_NOT_EQUAL) } else { (access, JUMP_EQUAL) };
    let masked = (access != bits(DeviceAccess::ALL)).then_some((jump, SCRATCH, 0));
    let verdict = [set(RESULT, i32::from(rule.allow)), instruction(EXIT, 0, 0, 0)];
    let mut left = tests.len() + if masked.is_some() { 3 } else { 0 };
    let mut skip = move || {
        left -= 1;
        i16::try_from(left + 2).unwrap_or(i16::MAX)
    };
    for (jump, register, value) in tests {
        program.push(instruction(jump, register, skip(), value));
    }
    if let Some((jump, register, value)) = masked {
        skip();
        program.push(copy(SCRATCH, ACCESS));
        skip();
        program.push(instruction(AND, SCRATCH, 0, mask));
        program.push(instruction(jump, register, skip(), value));
    }
    program.extend(verdict);
}

/// `BPF_DEVCG_ACC_MKNOD`, `_READ`, `_WRITE`.
fn bits(access: DeviceAccess) -> i32 {
    i32::from(access.mknod) | i32::from(access.read) << 1 | i32::from(access.write) << 2
}

/// Attaches the rules to a group of cgroup v2; they hold for it and all below it, together with
/// what is attached already.
///
/// # Errors
/// `Unsupported` when the kernel has no such programs, otherwise what it says.
pub(super) fn attach(group: BorrowedFd<'_>, rules: &[DeviceRule]) -> Result<(), Error> {
    let failed = |errno| Error::new("attach", "device rules to cgroup v2", errno);
    let program = load(&plan(rules)).map_err(failed)?;
    let attribute = AttachAttribute {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: 6,  // BPF_CGROUP_DEVICE
        flags: 2, // BPF_F_ALLOW_MULTI
    };
    bpf(8, &attribute).map(drop).map_err(failed)
}

/// `union bpf_attr` for `BPF_PROG_LOAD`, as far as it is needed; the kernel takes the rest as zero.
#[repr(C)]
struct LoadAttribute {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
}

/// `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct AttachAttribute {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

fn load(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let attribute = LoadAttribute {
        kind: 15, // BPF_PROG_TYPE_CGROUP_DEVICE
        count: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
    };
    let fd = bpf(5, &attribute)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<T>(command: libc::c_long, attribute: &T) -> Result<i32, Errno> {
    let (attribute, size) = (std::ptr::from_ref(attribute), size_of::<T>());
    // SAFETY: `attribute` is a live `repr(C)` prefix of `union bpf_attr` of the size given, and what
    // it points to outlives the call, which only reads.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attribute, size) };
    i32::try_from(result).ok().filter(|fd| *fd >= 0).ok_or_else(|| {
        Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
    })
}

#[cfg(test)]
mod tests {
    use super::{
        AND, DeviceAccess, DeviceKind, DeviceRule, EXIT, Instruction, JUMP_EQUAL, JUMP_NOT_EQUAL,
        LOAD_WORD, MOVE, MOVE_REGISTER, SHIFT_RIGHT, load, plan,
    };

    /// Runs a program as the kernel would; the context is three words.
    fn run(program: &[Instruction], context: [u32; 3]) -> i64 {
        let mut registers = [0_i64; 6];
        let mut next = 0;
        loop {
            let Instruction { code, registers: names, offset, immediate } = program[next];
            let (to, from) = (usize::from(names & 15), usize::from(names >> 4));
            let value = i64::from(immediate);
            next += 1;
            match code {
                LOAD_WORD => {
                    registers[to] = i64::from(context[usize::try_from(offset).unwrap() / 4]);
                }
                MOVE_REGISTER => registers[to] = registers[from],
                MOVE => registers[to] = value,
                AND => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                JUMP_EQUAL if registers[to] == value => next += usize::try_from(offset).unwrap(),
                JUMP_NOT_EQUAL if registers[to] != value => {
                    next += usize::try_from(offset).unwrap();
                }
                JUMP_EQUAL | JUMP_NOT_EQUAL => {}
                EXIT => return registers[0],
                other => panic!("no such instruction: {other:#x}"),
            }
        }
    }

    fn rule(
        allow: bool,
        kind: DeviceKind,
        numbers: (Option<u32>, Option<u32>),
        access: &str,
    ) -> DeviceRule {
        let has = |letter| access.contains(letter);
        DeviceRule {
            allow,
            kind,
            major: numbers.0,
            minor: numbers.1,
            access: DeviceAccess { read: has('r'), write: has('w'), mknod: has('m') },
        }
    }

    fn rules() -> Vec<DeviceRule> {
        vec![
            rule(false, DeviceKind::All, (None, None), "rwm"),
            rule(true, DeviceKind::Character, (Some(1), Some(3)), "rwm"),
            rule(true, DeviceKind::Character, (None, None), "m"),
            rule(true, DeviceKind::Block, (Some(8), None), "r"),
            rule(false, DeviceKind::Character, (Some(1), Some(3)), "w"),
        ]
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        const BLOCK: u32 = 1;
        const CHARACTER: u32 = 2;
        const MKNOD: u32 = 1 << 16;
        const READ: u32 = 2 << 16;
        const WRITE: u32 = 4 << 16;
        let program = plan(&rules());
        for (context, allowed) in [
            ([CHARACTER | READ, 1, 3], true),
            ([CHARACTER | READ | WRITE, 1, 3], false),
            ([CHARACTER | MKNOD, 9, 9], true),
            ([CHARACTER | READ, 9, 9], false),
            ([BLOCK | READ, 8, 17], true),
            ([BLOCK | READ | WRITE, 8, 17], false),
            ([BLOCK | MKNOD, 9, 9], false),
        ] {
            assert_eq!(run(&program, context) == 1, allowed, "{context:?}");
        }
        assert_eq!(run(&plan(&[]), [CHARACTER | READ, 1, 3]), 1);
    }

    #[test]
    fn the_kernel_takes_the_program() {
        load(&plan(&rules())).unwrap();
    }
}
