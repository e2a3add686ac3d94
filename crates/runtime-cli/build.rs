//! How the binary is linked.

use std::env::var;

fn main() {
    let mut arguments = Vec::new();
    let is = |key: &str, value: &str| var(key).is_ok_and(|found| found == value);
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        // The short cut into the sealed program; see `linux::process::entry`.
        arguments.push("-Wl,-e,brig_runtime_entry");
    }
    let lines = arguments.iter().map(|argument| format!("cargo::rustc-link-arg-bins={argument}"));
    let text = lines.collect::<Vec<_>>().join("\n");
    println!("cargo::rerun-if-changed=build.rs\n{text}");
}
