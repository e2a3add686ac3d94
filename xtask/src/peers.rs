//! The real programs that tests and benches run against, from Debian and the Python index.

use std::path::{Path, PathBuf};

use crate::Result;

/// A program that must be there, and the Debian package that brings it.
const PACKAGES: &[(&str, &str)] = &[
    ("/bin/busybox", "busybox-static"),
    ("/usr/bin/docker-registry", "docker-registry"),
    ("/usr/bin/skopeo", "skopeo"),
    ("/usr/sbin/nft", "nftables"),
    ("/sbin/ip", "iproute2"),
    ("/usr/sbin/debootstrap", "debootstrap"),
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/htpasswd", "apache2-utils"),
    ("/usr/bin/docker", "docker.io"),
    ("/usr/sbin/dockerd", "docker.io"),
    ("/usr/bin/containerd", "containerd"),
    ("/usr/bin/podman", "podman"),
    ("/usr/bin/buildah", "buildah"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/bin/python3", "python3"),
    ("/usr/bin/strace", "strace"),
    ("/bin/ps", "procps"),
    ("/usr/bin/systemd-socket-activate", "systemd"),
    ("/usr/bin/script", "bsdutils"),
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/bin/cpio", "cpio"),
    ("/usr/bin/systemd-analyze", "systemd"),
    ("/sbin/modprobe", "kmod"),
    ("/usr/bin/xz", "xz-utils"),
    ("/sbin/mkfs.ext4", "e2fsprogs"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/share/doc/python3-seccomp", "python3-seccomp"),
    ("/sbin/apparmor_parser", "apparmor"),
    ("/usr/bin/secilc", "secilc"),
    ("/usr/sbin/criu", "criu"),
];

/// What only the bench needs besides.
pub(crate) const BENCH_PACKAGES: &[(&str, &str)] =
    &[("/usr/bin/hyperfine", "hyperfine"), ("/usr/bin/crun", "crun"), ("/usr/bin/time", "time")];

/// The Python client library, in a virtual environment of our own.
const DOCKER_PY: &str = "docker==7.1.0";

/// Installs every test peer that is missing.
pub(crate) fn install() -> Result<()> {
    install_packages(PACKAGES)?;
    python_environment()?;
    Ok(())
}

/// Installs those Debian packages whose program is not there.
pub(crate) fn install_packages(packages: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(program, _)| !Path::new(program).exists())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing {}", missing.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = stdx::process::command("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
        stdx::process::output(&mut command)
    };
    apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)?;
    Ok(())
}

/// The Python interpreter of a virtual environment that has the Docker client library.
pub(crate) fn python_environment() -> Result<PathBuf> {
    let directory = target_directory().join("peers/python");
    let python = directory.join("bin/python");
    let marker = directory.join(".complete");
    if marker.exists() {
        return Ok(python);
    }
    println!("installing {DOCKER_PY}");
    let interpreter =
        if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" };
    let made = stdx::process::output(
        stdx::process::command(interpreter).args(["-m", "venv"]).arg(&directory),
    );
    if made.is_err() {
        install_packages(&[("/nonexistent", "python3-venv")])?;
        stdx::process::output(
            stdx::process::command(interpreter).args(["-m", "venv"]).arg(&directory),
        )?;
    }
    stdx::process::output(
        stdx::process::command(&python).args(["-m", "pip", "install", "--quiet", DOCKER_PY]),
    )?;
    std::fs::write(marker, DOCKER_PY)?;
    Ok(python)
}

/// Cargo's target directory.
pub(crate) fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace_root().join("target"), PathBuf::from)
}

/// The repository's root.
pub(crate) fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}
