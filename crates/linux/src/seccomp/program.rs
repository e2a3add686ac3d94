//! Instructions of the kernel's classic BPF (`linux/filter.h`), and programs of them.

use super::Action;

/// Operations of a branch.
pub(super) mod op {
    /// `BPF_JMP | BPF_JEQ | BPF_K`.
    pub(crate) const EQUAL: u16 = 0x15;
    /// `BPF_JMP | BPF_JGT | BPF_K`.
    pub(crate) const GREATER: u16 = 0x25;
    /// `BPF_JMP | BPF_JGE | BPF_K`.
    pub(crate) const AT_LEAST: u16 = 0x35;
    /// `BPF_JMP | BPF_JA`.
    pub(crate) const JUMP: u16 = 0x05;
    /// `BPF_LD | BPF_W | BPF_ABS`.
    pub(crate) const LOAD: u16 = 0x20;
    /// `BPF_ALU | BPF_AND | BPF_K`.
    pub(crate) const AND: u16 = 0x54;
    /// `BPF_RET | BPF_K`.
    pub(crate) const RETURN: u16 = 0x06;
}

/// Offsets in `struct seccomp_data`, in bytes.
pub(super) mod field {
    /// The call's number.
    pub(crate) const NUMBER: u32 = 0;
    /// The calling convention.
    pub(crate) const ARCHITECTURE: u32 = 4;
    const ARGUMENTS: u32 = 16;
    const LITTLE: u32 = if cfg!(target_endian = "little") { 0 } else { 4 };

    /// The low half of an argument.
    pub(crate) fn low(argument: u8) -> u32 {
        ARGUMENTS + 8 * u32::from(argument) + LITTLE
    }

    /// The high half of an argument.
    pub(crate) fn high(argument: u8) -> u32 {
        ARGUMENTS + 8 * u32::from(argument) + (4 - LITTLE)
    }
}

/// One instruction, laid out as the kernel reads it (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions to skip when a branch's condition holds.
    pub holds: u8,
    /// How many when it does not.
    pub fails: u8,
    /// The operand.
    pub operand: u32,
}

impl Instruction {
    pub(super) const fn load(offset: u32) -> Self {
        Self { code: op::LOAD, holds: 0, fails: 0, operand: offset }
    }

    pub(super) const fn and(mask: u32) -> Self {
        Self { code: op::AND, holds: 0, fails: 0, operand: mask }
    }

    pub(super) const fn branch(code: u16, operand: u32, holds: u8, fails: u8) -> Self {
        Self { code, holds, fails, operand }
    }

    /// An unconditional jump over so many instructions.
    pub(super) fn jump(count: usize) -> Self {
        let operand = u32::try_from(count).unwrap_or(u32::MAX);
        Self { code: op::JUMP, holds: 0, fails: 0, operand }
    }

    pub(super) fn answer(action: Action) -> Self {
        Self { code: op::RETURN, holds: 0, fails: 0, operand: action.value() }
    }
}

impl Action {
    /// The kernel's return value (`linux/seccomp.h`): action above, its argument below.
    #[must_use]
    pub fn value(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(number) => 0x0005_0000 | u32::from(number),
            Self::Notify => 0x7fc0_0000,
            Self::Trace(message) => 0x7ff0_0000 | u32::from(message),
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    instructions: Vec<Instruction>,
}

/// Bytes of one instruction.
const SIZE: usize = 8;
/// The longest program the kernel takes (`BPF_MAXINSNS`).
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

impl Program {
    pub(super) const fn from_instructions(instructions: Vec<Instruction>) -> Self {
        Self { instructions }
    }

    /// Its instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// What the kernel would answer to a call: the same interpretation, for tests and diagnosis.
    /// `None` for a program that the kernel would not take.
    #[must_use]
    pub fn evaluate(&self, audit: u32, number: u32, arguments: [u64; 6]) -> Option<u32> {
        let mut call = Vec::with_capacity(64);
        call.extend(number.to_ne_bytes());
        call.extend(audit.to_ne_bytes());
        call.extend([0; 8]);
        call.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
        let mut accumulator = 0_u32;
        let mut position = 0_usize;
        loop {
            let instruction = self.instructions.get(position)?;
            let operand = instruction.operand;
            let far = usize::try_from(operand).ok()?;
            let branch = |condition: bool| {
                usize::from(if condition { instruction.holds } else { instruction.fails })
            };
            position += 1;
            match instruction.code {
                op::LOAD => {
                    let word = call.get(far..far.checked_add(4)?)?;
                    accumulator = u32::from_ne_bytes(word.try_into().ok()?);
                }
                op::AND => accumulator &= operand,
                op::JUMP => position = position.checked_add(far)?,
                op::EQUAL => position += branch(accumulator == operand),
                op::GREATER => position += branch(accumulator > operand),
                op::AT_LEAST => position += branch(accumulator >= operand),
                op::RETURN => return Some(operand),
                _ => return None,
            }
        }
    }

    /// The program as bytes, as the kernel has it in memory on this machine.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.instructions.iter().flat_map(|instruction| {
            let [a, b] = instruction.code.to_ne_bytes();
            let [e, f, g, h] = instruction.operand.to_ne_bytes();
            [a, b, instruction.holds, instruction.fails, e, f, g, h]
        });
        bytes.collect()
    }

    /// A program from bytes that [`Self::to_bytes`] gave; `None` for any other length than of whole
    /// instructions. Whether it is a program the kernel finds out.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty()
            || !bytes.len().is_multiple_of(SIZE)
            || bytes.len() > MAX_INSTRUCTIONS * SIZE
        {
            return None;
        }
        let instructions = bytes.chunks_exact(SIZE).map(|chunk| {
            let [a, b, holds, fails, e, f, g, h] = *chunk else { return None };
            let code = u16::from_ne_bytes([a, b]);
            Some(Instruction { code, holds, fails, operand: u32::from_ne_bytes([e, f, g, h]) })
        });
        Some(Self { instructions: instructions.collect::<Option<_>>()? })
    }
}
