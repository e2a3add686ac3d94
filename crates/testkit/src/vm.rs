//! A virtual machine with Debian's cloud kernel: cgroup v2, a fresh boot, a power cut.
//!
//! The machine boots in a few seconds under emulation: an initramfs of busybox, the kernel's modules
//! that containers need, the test's files and its script. What the script prints is read from the
//! serial console. A disk, where one is given, survives the machine.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use crate::image::busybox_root;

/// The Debian package that depends on the newest kernel of the series brig supports best.
const NEW_KERNEL: &str = "linux-image-6.12-cloud-amd64";

/// The same series for real machines: drivers that no cloud has, of a hundred megabytes.
const FULL_KERNEL: &str = "linux-image-6.12-amd64";

/// And of the oldest that it runs on: that of Debian 12.
const OLD_KERNEL: &str = "linux-image-cloud-amd64";

/// Modules that containers, the disk and CRIU need; their dependencies are found.
const MODULES: &[&str] = &[
    "overlay",
    "veth",
    "bridge",
    "br_netfilter",
    "nf_tables",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_ct",
    "nft_fib_inet",
    "nft_reject_inet",
    "nft_limit",
    "nft_redir",
    "virtio_blk",
    "virtio_pci",
    "ext4",
    "xt_conntrack",
    "tun",
    "virtio_rng",
    "nf_conntrack_netlink",
    "unix_diag",
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "netlink_diag",
    "af_packet_diag",
];

/// Printed by the script's wrapper when it ends; the exit status follows.
const END: &str = "the script ended with ";

/// A kernel with its modules, unpacked once and kept in the cache.
#[derive(Debug)]
pub struct Kernel {
    directory: PathBuf,
    release: String,
}

impl Kernel {
    /// Fetches and unpacks Debian's newest kernel if it is not in the cache.
    #[must_use]
    pub fn prepare() -> Self {
        Self::of(NEW_KERNEL)
    }

    /// The oldest kernel that brig runs on.
    #[must_use]
    pub fn prepare_old() -> Self {
        Self::of(OLD_KERNEL)
    }

    /// A kernel with all drivers.
    #[must_use]
    pub fn prepare_full() -> Self {
        Self::of(FULL_KERNEL)
    }

    fn of(package: &str) -> Self {
        let cache = crate::cache_directory();
        let lock = File::create(cache.join("kernel.lock")).unwrap();
        lock.lock().unwrap();
        let directory = cache.join(package);
        if !directory.join(".complete").exists() {
            drop(fs::remove_dir_all(&directory));
            fs::create_dir_all(&directory).unwrap();
            fetch(package, &directory);
            fs::write(directory.join(".complete"), "").unwrap();
        }
        let modules = directory.join("root/lib/modules");
        let release = fs::read_dir(modules).unwrap().next().unwrap().unwrap().file_name();
        Self { directory, release: release.into_string().unwrap() }
    }

    fn image(&self) -> PathBuf {
        self.directory.join("root/boot").join(format!("vmlinuz-{}", self.release))
    }

    /// The modules to load, in order, each as a path below the unpacked package.
    fn modules(&self, more: &[&str]) -> Vec<PathBuf> {
        let root = self.directory.join("root");
        let mut ordered = Vec::new();
        for module in MODULES.iter().chain(more) {
            let Ok(output) = stdx::process::output(
                stdx::process::command("modprobe")
                    .args(["--show-depends", "--set-version", &self.release, "--dirname"])
                    .arg(&root)
                    .arg(module),
            ) else {
                continue; // built into the kernel, or not in this series
            };
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                if let Some(path) = line.strip_prefix("insmod ") {
                    let path = PathBuf::from(path.trim());
                    if !ordered.contains(&path) {
                        ordered.push(path);
                    }
                }
            }
        }
        ordered
    }
}

fn fetch(package: &str, directory: &Path) {
    let depends =
        stdx::process::output(stdx::process::command("apt-cache").args(["depends", package]))
            .unwrap();
    let depends = String::from_utf8(depends.stdout).unwrap();
    let image = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .unwrap_or_else(|| panic!("{package} depends on no kernel: run apt-get update"));
    stdx::process::output(
        stdx::process::command("apt-get").current_dir(directory).args(["-qq", "download", image]),
    )
    .unwrap();
    let archive = fs::read_dir(directory)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .unwrap();
    let root = directory.join("root");
    stdx::process::output(stdx::process::command("dpkg").arg("-x").args([&archive, &root]))
        .unwrap();
    fs::remove_file(archive).unwrap();
    let release = fs::read_dir(root.join("lib/modules")).unwrap().next().unwrap().unwrap();
    stdx::process::output(
        stdx::process::command("depmod").arg("-b").arg(&root).arg(release.file_name()),
    )
    .unwrap();
}

/// What a machine boots: files put into its root, and the script it runs.
#[derive(Debug, Default)]
pub struct Boot<'a> {
    /// Files of the host and where they go.
    pub files: Vec<(&'a Path, &'a str)>,
    /// Run by busybox's shell with `set -e`; cgroup v2 is mounted, the disk is at `/disk`.
    pub script: &'a str,
    /// A disk image with an ext4 file system.
    pub disk: Option<&'a Path>,
    /// Added to the kernel's command line.
    pub append: &'a str,
    /// A disk image with a root file system whose own first process is started, and runs the script;
    /// [`debian_with_systemd`] makes one. There is no `disk` then.
    pub system: Option<&'a Path>,
    /// Modules besides those that are always loaded.
    pub modules: &'a [&'a str],
}

/// A running machine, ended on drop as by a power cut.
#[derive(Debug)]
pub struct Machine {
    qemu: Child,
    console: BufReader<ChildStdout>,
    seen: String,
    _directory: tempfile::TempDir,
}

impl Machine {
    /// Starts the machine.
    #[must_use]
    pub fn boot(kernel: &Kernel, boot: &Boot<'_>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let initramfs = initramfs(kernel, boot, directory.path());
        let mut command = stdx::process::command("qemu-system-x86_64");
        command
            .args(["-accel", "tcg", "-cpu", "max", "-m", "1536", "-smp", "2"])
            .args(["-nographic", "-no-reboot", "-nic", "none", "-device", "virtio-rng-pci"])
            // A busy host delays the emulated timer's ticks beyond what the kernel's check allows.
            .arg("-append")
            .arg(format!("console=ttyS0 quiet panic=-1 no_timer_check {}", boot.append))
            .arg("-kernel")
            .arg(kernel.image())
            .arg("-initrd")
            .arg(initramfs);
        if let Some(system) = boot.system {
            let options = "if=virtio,format=raw,readonly=on";
            command.arg("-drive").arg(format!("file={},{options}", system.display()));
        }
        if let Some(disk) = boot.disk {
            // What the guest has written is kept by the host, as by a disk; what it has not is lost.
            command
                .arg("-drive")
                .arg(format!("file={},if=virtio,format=raw,cache=writeback", disk.display()));
        }
        let mut qemu = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let console = BufReader::new(qemu.stdout.take().unwrap());
        Self { qemu, console, seen: String::new(), _directory: directory }
    }

    /// Reads the console up to a line that contains the text; everything printed so far.
    ///
    /// The machine's own watchdog ends it after five minutes, so this ends too.
    pub fn wait_for(&mut self, text: &str) -> &str {
        loop {
            let mut line = Vec::new();
            if self.console.read_until(b'\n', &mut line).unwrap() == 0 {
                panic!("the machine ended without saying {text:?}:\n{}", self.seen);
            }
            let line = String::from_utf8_lossy(&line).replace('\r', "");
            self.seen.push_str(&line);
            if line.contains(text) {
                return &self.seen;
            }
        }
    }

    /// Reads until the script ends, which it must do well; everything printed.
    #[must_use]
    pub fn finish(mut self) -> String {
        let seen = self.wait_for(END).to_owned();
        assert!(seen.contains(&format!("{END}0")), "{seen}");
        seen
    }

    /// Cuts the power: nothing more reaches the disk.
    pub fn cut_power(self) {
        drop(self);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.qemu.kill());
        drop(self.qemu.wait());
        drop(self.console.read_to_end(&mut Vec::new()));
    }
}

fn initramfs(kernel: &Kernel, boot: &Boot<'_>, directory: &Path) -> PathBuf {
    let root = directory.join("root");
    busybox_root(&root);
    let mut load = String::new();
    for (number, module) in kernel.modules(boot.modules).iter().enumerate() {
        let name = format!("{number}.ko");
        unpack_module(module, &root.join(&name));
        load += &format!("insmod /{name} 2>/dev/null\n");
    }
    for (source, target) in &boot.files {
        let target = root.join(target.trim_start_matches('/'));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        copy_without_symbols(source, &target);
    }
    fs::write(root.join("script"), format!("set -e\n{}", boot.script)).unwrap();
    if boot.system.is_some() {
        executable(&root.join("init"), &start_system(&load, &boot.files));
    } else {
        executable(&root.join("init"), MOVE_TO_TMPFS);
        executable(&root.join("init2"), &init_script(&load, boot.disk.is_some()));
    }
    let archive = directory.join("initramfs");
    let list = stdx::process::command("sh")
        .current_dir(&root)
        .args(["-c", "find . | cpio --quiet -o -H newc"])
        .output()
        .unwrap();
    File::create(&archive).unwrap().write_all(&list.stdout).unwrap();
    archive
}

/// An initramfs cannot be pivoted away from (`pivot_root(2)`), so a tmpfs becomes the root first.
const MOVE_TO_TMPFS: &str = "#!/bin/sh\n\
    export PATH=/bin\n\
    mkdir /new; mount -t tmpfs -o size=90% root /new\n\
    for entry in /*; do test $entry = /new || cp -a $entry /new/; done\n\
    exec switch_root /new /init2\n";

fn init_script(load: &str, disk: bool) -> String {
    let mount_disk = if disk { "mkdir /disk; mount -t ext4 /dev/vda /disk\n" } else { "" };
    format!(
        "#!/bin/sh\n\
         export PATH=/bin HOME=/root\n\
         mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n\
         mkdir -p /dev/pts /dev/shm; mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm\n\
         mount -t tmpfs tmp /tmp; mkdir -p /run /var/lib; mount -t tmpfs run /run\n\
         mount -t cgroup2 cgroup2 /sys/fs/cgroup\n\
         (sleep 300; echo 'the watchdog ends the machine'; poweroff -f) &\n\
         {load}\
         ip link set lo up\n\
         {mount_disk}\
         sh /script 2>&1\n\
         echo \"{END}$?\"\n\
         poweroff -f\n"
    )
}

/// Puts the files into the system on the disk and starts that, with a unit for the script. What it
/// writes is lost with the machine: the disk is the lower layer of an overlay.
fn start_system(load: &str, files: &[(&Path, &str)]) -> String {
    let copies: String = files
        .iter()
        .map(|(_, target)| format!("mkdir -p /new$(dirname {target}); cp {target} /new{target}\n"))
        .collect();
    format!(
        "#!/bin/sh\n\
         export PATH=/bin\n\
         mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n\
         {load}\
         mkdir /lower /upper /new; mount -t ext4 -o ro /dev/vda /lower; mount -t tmpfs -o size=80% upper /upper\n\
         mkdir /upper/u /upper/w\n\
         mount -t overlay -o lowerdir=/lower,upperdir=/upper/u,workdir=/upper/w root /new\n\
         {copies}\
         cp /script /new/script\n\
         mkdir -p /new/etc/systemd/system\n\
         cat > /new/etc/systemd/system/script.service <<'UNIT'\n{SCRIPT_UNIT}UNIT\n\
         umount /proc /sys; mount --move /dev /new/dev\n\
         exec switch_root /new /lib/systemd/systemd --unit=script.service --show-status=0\n"
    )
}

/// Nothing else is started but what is needed for it.
const SCRIPT_UNIT: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n\
    ExecStart=/bin/sh -c 'export HOME=/root; exec >/dev/ttyS0 2>&1; \
    (sleep 300; echo the watchdog ends the machine; poweroff -ff) & \
    sh /script; echo the script ended with $?; poweroff -ff'\n";

/// Debian with systemd as its first process, as an image for [`Boot::system`]; made once and kept in the
/// cache.
#[must_use]
pub fn debian_with_systemd() -> PathBuf {
    debian("systemd", "systemd-sysv,busybox-static,procps", 600)
}

/// As [`debian_with_systemd`], with Docker, podman and what they need.
#[must_use]
pub fn debian_with_engines() -> PathBuf {
    // Debian's bootstrap does not know which package provides the network stack that podman wants.
    debian(
        "engines",
        "systemd-sysv,busybox-static,procps,apparmor,dbus,docker.io,podman,netavark,criu",
        900,
    )
}

/// An image of a Debian with these packages, in a file system of so many megabytes.
fn debian(name: &str, packages: &str, megabytes: u64) -> PathBuf {
    let cache = crate::cache_directory();
    let lock = File::create(cache.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let image = cache.join(format!("{name}.img"));
    if !image.exists() {
        let directory = tempfile::tempdir_in(&cache).unwrap();
        let root = directory.path().join("root");
        let include = format!("--include={packages}");
        let mut bootstrap = stdx::process::command("debootstrap");
        bootstrap.args(["--variant=minbase", &include, "bookworm"]).arg(&root);
        stdx::process::output(&mut bootstrap).unwrap();
        for emptied in ["var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"] {
            drop(fs::remove_dir_all(root.join(emptied)));
        }
        let unfinished = directory.path().join("image");
        make_disk(&unfinished, megabytes, Some(&root));
        fs::rename(unfinished, &image).unwrap();
    }
    image
}

/// A debug build is ten times its stripped size, and the emulated machine copies it twice.
fn copy_without_symbols(source: &Path, target: &Path) {
    let mut strip = stdx::process::command("strip");
    if stdx::process::output(strip.arg("-o").arg(target).arg(source)).is_err() {
        fs::copy(source, target).unwrap();
    }
}

fn unpack_module(module: &Path, target: &Path) {
    if module.extension().is_some_and(|extension| extension == "xz") {
        let output =
            stdx::process::output(stdx::process::command("xz").arg("-dc").arg(module)).unwrap();
        fs::write(target, output.stdout).unwrap();
    } else {
        fs::copy(module, target).unwrap();
    }
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// A disk image with an ext4 file system, sparse; in it what the directory `contents` has.
pub fn make_disk(path: &Path, megabytes: u64, contents: Option<&Path>) {
    File::create(path).unwrap().set_len(megabytes << 20).unwrap();
    let mut command = stdx::process::command("mkfs.ext4");
    command.args(["-q", "-F"]);
    if let Some(contents) = contents {
        command.arg("-d").arg(contents);
    }
    stdx::process::output(command.arg(path)).unwrap();
}

/// How long a whole boot and script may take; the machine ends itself after that.
pub const LIMIT: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::{Boot, Kernel, Machine};

    #[test]
    fn a_machine_boots_with_cgroup_v2() {
        let kernel = Kernel::prepare();
        let script = "cat /sys/fs/cgroup/cgroup.controllers; uname -r";
        let boot = Boot { script, ..Boot::default() };
        let console = Machine::boot(&kernel, &boot).finish();
        assert!(console.contains("memory"), "{console}");
    }
}
