//! Compiles the program of the built-in image `hello` for the target: a static executable of a
//! few hundred kilobytes, from source, by the same compiler.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=hello/main.rs");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| env::var_os(name).expect("cargo sets its variables");
    let output = PathBuf::from(variable("OUT_DIR")).join("hello");
    #[expect(clippy::disallowed_methods, reason = "stdx would have to be built for the host too")]
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args(["--edition=2024", "--crate-name=hello", "--crate-type=bin"]);
    compiler.arg("--target").arg(variable("TARGET"));
    for option in [
        "target-feature=+crt-static",
        "opt-level=z",
        "panic=abort",
        "strip=symbols",
        "lto=fat",
        "codegen-units=1",
        "relocation-model=static",
        "link-arg=-Wl,--gc-sections",
        "link-arg=-Wl,--build-id=none",
    ] {
        compiler.arg("-C").arg(option);
    }
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = std::ffi::OsString::from("linker=");
        option.push(linker);
        compiler.arg("-C").arg(option);
    }
    compiler.arg("-o").arg(&output).arg("hello/main.rs");
    let status = compiler.status().expect("the compiler can be started");
    assert!(status.success(), "{compiler:?} ended with {status}");
}
