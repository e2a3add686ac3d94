//! A world of its own for a target that makes containers: namespaces, and a root in memory in which
//! there is nothing but busybox, so that no configuration reaches the machine's files.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use linux::mount::{Attributes, FileSystem, Propagation};
use linux::process::{Namespaces, SingleThreaded};

/// Set in the process that runs inside.
const INSIDE: &str = "FUZZ_INSIDE";

/// Where the containers' bundle is.
pub const BUNDLE: &str = "/bundle";

/// Runs this program again inside, as process 1, and ends with it; returns when it is inside.
///
/// # Panics
/// Without root, or when something of it cannot be had.
pub fn enter() {
    if std::env::var_os(INSIDE).is_some() {
        furnish();
        return;
    }
    let token = SingleThreaded::claim().expect("one thread");
    let apart =
        [Namespaces::MOUNT, Namespaces::PID, Namespaces::NETWORK, Namespaces::UTS, Namespaces::IPC];
    for kind in apart {
        linux::process::unshare(&token, kind).expect("namespaces are made: needs root");
    }
    // The thread that watches over memory would be a second one.
    let arguments = std::env::args_os()
        .skip(1)
        .filter(|argument| !argument.to_string_lossy().starts_with("-rss_limit_mb"));
    let status = stdx::process::command("/proc/self/exe")
        .args(arguments)
        .arg("-rss_limit_mb=0")
        .env(INSIDE, "1")
        .status()
        .expect("the program starts again");
    std::process::exit(status.code().unwrap_or(1));
}

fn furnish() {
    linux::mount::change_propagation("/", Propagation::Private, true).expect("private mounts");
    let root = PathBuf::from("/tmp");
    mount("tmpfs", &root);
    // What libFuzzer reads and writes stays where it was.
    let here = std::env::current_dir().expect("a directory");
    let corpus = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    for path in corpus.map(|path| here.join(path)).chain([here.clone()]) {
        bind(&path, &path, &root);
    }
    bind(Path::new("/sys"), Path::new("/sys"), &root);
    for name in ["null", "zero", "full", "random", "urandom", "tty", "ptmx"] {
        let device = Path::new("/dev").join(name);
        bind(&device, &device, &root);
    }
    bind(Path::new("/dev/null"), Path::new("/dev/other"), &root);
    fs::create_dir(root.join("proc")).expect("a directory");
    mount("proc", &root.join("proc"));
    let busybox = fs::read("/bin/busybox").expect("busybox");
    for directory in ["bin", "victim", "shared/deep", "bundle/rootfs"] {
        fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    write_program(&root.join("bin/busybox"), &busybox);
    fs::write(root.join("victim/secret"), "untouched").expect("a file");
    fs::write(root.join("shared/file"), "").expect("a file");
    symlink("/victim", root.join("shared/link")).expect("a link");
    furnish_container(&root.join("bundle/rootfs"), &busybox);
    linux::mount::pivot_root(File::open(&root).expect("the root")).expect("a root in memory");
    std::env::set_current_dir(here).expect("the directory");
}

/// A root file system as a hostile image has it.
fn furnish_container(root: &Path, busybox: &[u8]) {
    for directory in ["bin", "proc", "sys", "dev", "tmp", "etc", "copied/deep"] {
        fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    write_program(&root.join("bin/busybox"), busybox);
    symlink("busybox", root.join("bin/true")).expect("a link");
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").expect("a file");
    symlink("/victim", root.join("link")).expect("a link");
    symlink("loop", root.join("loop")).expect("a link");
}

fn write_program(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a program");
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
}

fn mount(kind: &str, target: &Path) {
    let tree = FileSystem::open(kind).and_then(|system| system.mount(&Attributes::default()));
    attach(&tree.expect("a file system"), target);
}

/// Puts what is at a path at another below the root.
fn bind(path: &Path, target: &Path, root: &Path) {
    let tree = linux::mount::bind(path, true).expect("what is bound is there");
    let target = root.join(target.strip_prefix("/").unwrap_or(target));
    if path.is_dir() {
        fs::create_dir_all(&target).expect("a directory");
    } else {
        fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
        File::create(&target).expect("a file");
    }
    attach(&tree, &target);
}

fn attach(tree: &std::os::fd::OwnedFd, target: &Path) {
    linux::mount::attach(tree, File::open(target).expect("a target")).expect("it is mounted");
}
