//! The first instructions of the program, before the C library has prepared anything.
//!
//! `brig runtime run`, `create` and `exec` start the program again from a read-only mount of its
//! own file ([`super::exec_read_only`] says why). Whatever has been prepared by then is thrown away:
//! the relocation of the whole program, the C library's look at the processor (each `cpuid` traps
//! into a hypervisor), Rust's runtime; together more than half a millisecond of three. So the same
//! is done here first, by the program's entry point, with four system calls and nothing else.
//!
//! This is a short cut and no more: it decides from the words only, and when it passes somebody by,
//! or anything fails, the program begins as ever and seals itself later, with messages.
//!
//! A program that wants it names the symbol to its linker, `-e brig_entry` or, where every word is
//! the runtime's, `-e brig_runtime_entry`; everywhere else it is dead code. Nothing here may need a relocation, a stack protector or a function of the C library.

// SAFETY: reached only as the first instructions of a process (System V ABI, "Process
// Initialization"): the stack holds argc, argv, null, envp, null; `rdx` holds a function for
// `atexit`. Both are as they were when `_start` is reached. Strings are compared by loads of up to 8
// bytes: the kernel ends the strings with the program's name and 8 zero bytes, so the loads never
// leave the stack. What is written lies below the stack pointer, where nobody is yet.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
core::arch::global_asm!(
    r#"
    .pushsection .rodata.brig_entry, "a", @progbits
2:  .asciz "/proc/self/exe"
3:  .asciz ""
    .popsection
    .pushsection .text.brig_entry, "ax", @progbits
    # Of the executable that is nothing but the runtime: `PROGRAM ...`.
    .globl brig_runtime_entry
    .hidden brig_runtime_entry
    .type brig_runtime_entry, @function
brig_runtime_entry:
    endbr64
    mov r8, [rsp]                       # argc
    lea r9, [rsp + 8]                   # argv
    cmp r8, 2
    jb 90f
    mov ecx, 1
    jmp 30f
    .size brig_runtime_entry, . - brig_runtime_entry
    .globl brig_entry
    .hidden brig_entry
    .type brig_entry, @function
brig_entry:
    endbr64
    mov r8, [rsp]                       # argc
    lea r9, [rsp + 8]                   # argv
    cmp r8, 3
    jb 90f
    # The face: `PROGRAM runtime ...`
    mov rsi, [r9 + 8]
    movabs rax, 0x00656d69746e7572      # "runtime\0"
    cmp [rsi], rax
    jne 90f
    # The command: any word that is run, exec or create.
    mov ecx, 2
30: mov rsi, [r9 + 8*rcx]
    mov eax, [rsi]
    cmp eax, 0x006e7572                 # "run\0"
    je 20f
    cmp eax, 0x63657865                 # "exec"
    jne 31f
    cmp byte ptr [rsi + 4], 0
    je 20f
31: cmp eax, 0x61657263                 # "crea"
    jne 32f
    cmp word ptr [rsi + 4], 0x6574      # "te"
    jne 32f
    cmp byte ptr [rsi + 6], 0
    je 20f
32: inc rcx
    cmp rcx, r8
    jb 30b
    jmp 90f

20: mov r15, rdx                        # system calls change rax, rcx and r11 only
    lea r13, [r9 + 8*r8 + 8]            # envp
    sub rsp, 128                        # struct statfs, 120 bytes; later struct mount_attr, 32
    mov eax, 137                        # statfs("/proc/self/exe", buffer)
    lea rdi, [rip + 2b]
    mov rsi, rsp
    syscall
    test eax, eax
    jnz 80f
    test byte ptr [rsp + 80], 1         # f_flags & ST_RDONLY: sealed already
    jnz 80f
    mov eax, 428                        # open_tree(AT_FDCWD, "/proc/self/exe",
    mov rdi, -100
    lea rsi, [rip + 2b]
    mov edx, 0x80001                    #           OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    syscall
    test eax, eax
    js 80f
    mov r14d, eax
    mov qword ptr [rsp], 1              # attr_set = MOUNT_ATTR_RDONLY
    mov qword ptr [rsp + 8], 0
    mov qword ptr [rsp + 16], 0
    mov qword ptr [rsp + 24], 0
    mov eax, 442                        # mount_setattr(tree, "", AT_EMPTY_PATH, attributes, 32)
    mov edi, r14d
    lea rsi, [rip + 3b]
    mov edx, 0x1000
    mov r10, rsp
    mov r8d, 32
    syscall
    test eax, eax
    jnz 70f
    mov eax, 322                        # execveat(tree, "", argv, envp, AT_EMPTY_PATH)
    mov edi, r14d
    lea rsi, [rip + 3b]
    mov rdx, r9
    mov r10, r13
    mov r8d, 0x1000
    syscall
70: mov eax, 3                          # close(tree)
    mov edi, r14d
    syscall
80: add rsp, 128
    mov rdx, r15
90: xor eax, eax
    jmp _start
    .size brig_entry, . - brig_entry
    .popsection
"#
);
