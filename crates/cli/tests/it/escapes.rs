//! Ways out of a container by way of the engine: images and volumes whose links lead to the host, and
//! texts that are more than texts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::{Brig, image};

use crate::BRIG;

/// What nobody in a container may see.
pub(crate) const SECRET: &str = "the host's own";

/// A directory of the host's that stays as it is.
pub(crate) struct Victim {
    directory: tempfile::TempDir,
}

impl Victim {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("secret"), SECRET).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where a link leads, from the root and by many steps upwards.
    fn links(&self) -> [PathBuf; 2] {
        let upwards = format!("../../../../../../../../../..{}", self.path().display());
        [self.path().to_owned(), upwards.into()]
    }

    pub(crate) fn assert_untouched(&self) {
        let entries = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        assert_eq!(entries.collect::<Vec<_>>(), [self.path().join("secret")]);
        assert_eq!(fs::read_to_string(self.path().join("secret")).unwrap(), SECRET);
    }
}

/// An image of busybox that is changed before it is packed.
fn load(brig: &Brig, settings: &image::Settings, change: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    image::busybox_root(&root);
    change(&root);
    let layout = image::Layout::write(&directory.path().join("layout"), &[&root], settings);
    brig.load(layout.path(), "hostile:latest");
}

/// Ends what goes on beside a test, also when that fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something while two names are exchanged all the time.
pub(crate) fn exchanging(one: &Path, other: &Path, body: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let here = rustix::fs::CWD;
            while !is_over.load(Ordering::Relaxed) {
                _ = rustix::fs::renameat_with(here, one, here, other, flags);
            }
        });
        let _over = Over(&is_over);
        body();
    });
}

/// Whether it runs or not, it has not seen the secret.
fn attempt(brig: &Brig, words: &[&str]) -> bool {
    let output = brig.output(words);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!said.contains(SECRET), "{words:?}: {said}");
    output.status.success()
}

/// CVE-2026-55686, CVE-2024-21626.
#[test]
fn working_directories_that_are_links() {
    let brig = Brig::new(BRIG);
    let victim = Victim::new();
    for link in victim.links() {
        let settings =
            image::Settings { working_directory: "/w/made".to_owned(), ..<_>::default() };
        load(&brig, &settings, |root| symlink(&link, root.join("w")).unwrap());
        let look = "cat secret ../secret; pwd; echo x > written";
        attempt(&brig, &["run", "--rm", "hostile", "sh", "-c", look]);
        for directory in ["/w", "/w/other", "/proc/self/fd/3", "/proc/1/cwd", "/proc/self/root"] {
            attempt(&brig, &["run", "--rm", "-w", directory, "hostile", "sh", "-c", look]);
        }
        let running = ["run", "-d", "-w", "/", "hostile", "sh", "-c", "sleep 1000"];
        let id = brig.ok(&running);
        for directory in ["/w", "/w/made", "/proc/self/fd/5", "/proc/1/cwd"] {
            attempt(&brig, &["exec", "-w", directory, &id, "sh", "-c", look]);
        }
        drop(brig.ok(&["rm", "-f", &id]));
        victim.assert_untouched();
    }
}

/// Users are looked up in the image's files; a link there leads nowhere else.
#[test]
fn accounts_that_are_links() {
    let brig = Brig::new(BRIG);
    let outside = tempfile::tempdir().unwrap();
    let line = "stolen:x:0:0::/:/bin/sh\n";
    for name in ["passwd", "group"] {
        fs::write(outside.path().join(name), line).unwrap();
    }
    load(&brig, &image::Settings::default(), |root| {
        for name in ["passwd", "group"] {
            fs::remove_file(root.join("etc").join(name)).unwrap();
            symlink(outside.path().join(name), root.join("etc").join(name)).unwrap();
        }
    });
    for arguments in [["--user", "stolen"], ["--user", "0:stolen"], ["--group-add", "stolen"]] {
        let run = [&["run", "--rm"][..], &arguments, &["hostile", "id"]].concat();
        assert!(!attempt(&brig, &run), "{arguments:?}");
    }
    let id = brig.ok(&["run", "-d", "hostile", "sleep", "1000"]);
    assert!(!attempt(&brig, &["exec", "--user", "stolen", &id, "id"]));
    drop(brig.ok(&["rm", "-f", &id]));
    // CVE-2024-40635: what is no number of a user never is number 0.
    load(&brig, &image::Settings::default(), |root| {
        fs::write(root.join("etc/passwd"), "root:x:0:0::/:\n").unwrap();
    });
    for user in ["4294967296", "-1", "+0", "0x0", "4294967295", "1:4294967296"] {
        let said = brig.output(&["run", "--rm", "--user", user, "hostile", "id", "-u"]).stdout;
        assert_ne!(said, b"0\n", "{user}");
    }
}

/// CVE-2022-23648: what an image says of its volumes.
#[test]
fn volumes_of_images_that_lead_out() {
    let brig = Brig::new(BRIG);
    let victim = Victim::new();
    for link in victim.links() {
        let volumes = ["/data", "/../../../../../../../../data2", "data3/../../../.."];
        let volumes = volumes.map(str::to_owned).to_vec();
        let settings = image::Settings { volumes, ..<_>::default() };
        load(&brig, &settings, |root| symlink(&link, root.join("data")).unwrap());
        let look = "cat /data/* /data2/* /data3/*; echo x > /data/new; true";
        attempt(&brig, &["run", "--rm", "hostile", "sh", "-c", look]);
        for mount in ["named:/data", "named:/data/below", "named:/other"] {
            attempt(&brig, &["run", "--rm", "-v", mount, "hostile", "sh", "-c", look]);
        }
        attempt(&brig, &["run", "--rm", "--tmpfs", "/data", "hostile", "sh", "-c", look]);
        victim.assert_untouched();
        drop(brig.ok(&["volume", "rm", "-f", "named"]));
    }
    assert!(!Path::new("/data2").exists() && !Path::new("/data3").exists());
}

/// CVE-2021-30465: whoever shares a volume exchanges a directory for a link while others begin, whose
/// mounts and working directories are below.
#[test]
fn directories_of_a_volume_that_are_exchanged() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let victim = Victim::new();
    drop(brig.ok(&["volume", "create", "shared"]));
    let volume = brig.ok(&["volume", "inspect", "-f", "{{.Mountpoint}}", "shared"]);
    let volume = Path::new(&volume);
    fs::create_dir(volume.join("d")).unwrap();
    symlink(victim.path(), volume.join("l")).unwrap();
    exchanging(&volume.join("d"), &volume.join("l"), || {
        let shared = ["run", "--rm", "-v", "shared:/v"];
        let mut begun = 0;
        for _ in 0..12 {
            for more in [
                &["-v", "other:/v/d/made"][..],
                &["--tmpfs", "/v/d/tmp"],
                &["-w", "/v/d/deep/er"],
                &["--mount", "type=volume,src=shared,dst=/s,volume-subpath=d"],
            ] {
                let look = ["busybox", "sh", "-c", "cat /v/d/secret /s/secret; true"];
                begun += usize::from(attempt(&brig, &[&shared, more, &look].concat()));
            }
        }
        assert!(begun > 0, "none was even begun");
    });
    victim.assert_untouched();
}

/// Labels, names, hosts and variables are data wherever they come to stand.
#[test]
fn texts_that_are_more_than_texts() {
    let brig = Brig::new(BRIG);
    let forged =
        "\"},\"State\":{\"Status\":\"forged\"}\n1.2.3.4 forged\n\r\u{1b}[2J{{.ID}}$(touch /forged)";
    let labels = vec![("a".to_owned(), forged.to_owned()), (forged.to_owned(), "b".to_owned())];
    load(&brig, &image::Settings { labels, ..<_>::default() }, |_| {});
    let label = format!("mine={forged}");
    let variable = format!("VARIABLE={forged}");
    let id =
        brig.ok(&["run", "-d", "--label", &label, "-e", &variable, "hostile", "sleep", "1000"]);
    let inspected: serde_json::Value = serde_json::from_str(&brig.ok(&["inspect", &id])).unwrap();
    assert_eq!(inspected[0]["State"]["Status"], "running");
    let labels = &inspected[0]["Config"]["Labels"];
    assert_eq!((labels["a"].as_str(), labels["mine"].as_str()), (Some(forged), Some(forged)));
    assert_eq!(brig.ok(&["ps", "-q"]).lines().count(), 1);
    let hosts = brig.ok(&["exec", &id, "cat", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]);
    assert!(!hosts.contains("forged"), "{hosts}");
    assert!(brig.ok(&["exec", &id, "sh", "-c", "echo \"$VARIABLE\""]).contains("1.2.3.4 forged"));
    drop(brig.ok(&["rm", "-f", &id]));
    for arguments in [
        &["--name", "a\nb"][..],
        &["--name", "../a"],
        &["--name", "a/b"],
        &["--hostname", "a\n1.2.3.4 forged"],
        &["--domainname", "a\n1.2.3.4 forged"],
        &["--add-host", "a\n1.2.3.4 forged:5.6.7.8"],
        &["--add-host", "a:5.6.7.8\n1.2.3.4 forged"],
        &["--dns", "1.1.1.1\nnameserver 6.6.6.6"],
        &["--dns-search", "a\nnameserver 6.6.6.6"],
        &["--dns-option", "a\nnameserver 6.6.6.6"],
        &["--cgroup-parent", "../../forged"],
        &["--sysctl", "net.ipv4.ip_forward/../../../kernel/core_pattern=|/forged"],
        &["--ulimit", "nofile=1\n2"],
    ] {
        let show = "cat /etc/hosts /etc/resolv.conf /etc/hostname";
        let run = [&["run", "--rm"][..], arguments, &["hostile", "sh", "-c", show]].concat();
        let output = brig.output(&run);
        let shown = String::from_utf8_lossy(&output.stdout);
        let is_line = |line: &str| line.starts_with("1.2.3.4") || line.contains("6.6.6.6");
        assert!(!shown.lines().any(is_line), "{arguments:?}: {shown}");
        assert!(!output.status.success(), "{arguments:?} is refused: {shown}");
    }
    assert!(!Path::new("/forged").exists());
}
