//! What this machine's kernel cannot show: cgroup v2, a reboot, a power cut.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use testkit::vm::{Boot, Kernel, Machine, make_disk};
use testkit::{Registry, image};

use crate::BRIG;

fn machine(script: &str, disk: Option<&Path>) -> Machine {
    let kernel = Kernel::prepare();
    let boot =
        Boot { files: vec![(Path::new(BRIG), "/bin/brig")], script, disk, ..Boot::default() };
    Machine::boot(&kernel, &boot)
}

/// Limits are set and read back on cgroup v2; freezing and killing work there.
#[test]
fn limits_on_cgroup_v2() {
    let script = r#"
        brig run --rm hello | grep -i hello
        brig run -d --name limited --memory 64m --cpus 0.5 --pids-limit 20 hello serve
        group=$(find /sys/fs/cgroup -path '*brig-*' -name pids.max | grep "$(brig inspect -f '{{.Id}}' limited)")
        test "$(cat $group)" = 20
        test "$(cat ${group%pids.max}memory.max)" = 67108864
        test "$(cat ${group%pids.max}cpu.max)" = "50000 100000"
        brig stats --no-stream --format '{{.MemUsage}}' limited | grep 64MiB
        brig pause limited
        grep -q 1 ${group%pids.max}cgroup.freeze
        brig unpause limited
        brig rm -f limited
        test ! -e $group
        brig system shutdown --all
    "#;
    drop(machine(script, None).finish());
}

/// A fresh boot finds what was durable, discards what was not, and applies restart policies.
#[test]
fn a_reboot_in_the_middle() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.img");
    make_disk(&disk, 512, None);
    let first = r#"
        brig --root /disk/brig run -d --name kept hello serve
        brig --root /disk/brig run -d --name again --restart always hello serve
        brig --root /disk/brig run -d --rm --name passing hello serve
        echo ready for the cut
        sleep 100
    "#;
    let mut machine_one = machine(first, Some(&disk));
    machine_one.wait_for("ready for the cut");
    machine_one.cut_power();
    let second = r#"
        brig --root /disk/brig ps -a --format '{{.Names}} {{.State}}'
        test "$(brig --root /disk/brig inspect -f '{{.State.Status}}' kept)" = exited
        test "$(brig --root /disk/brig inspect -f '{{.State.Status}}' again)" = running
        if brig --root /disk/brig inspect passing; then false; fi
        brig --root /disk/brig start kept
        brig --root /disk/brig rm -f kept again
        brig --root /disk/brig run --rm hello
        brig --root /disk/brig system shutdown --all
    "#;
    drop(machine(second, Some(&disk)).finish());
}

/// The clock is set forwards and backwards by years while containers run, are stopped and started
/// again, and while there is no daemon.
#[test]
fn jumps_of_the_clock() {
    let script = r#"
        year=31536000
        jump() { date -s @$(($(date +%s) + $1)) >/dev/null; }
        uptime() { cut -d. -f1 /proc/uptime; }
        state() { brig inspect -f '{{.State.Status}}' $1; }
        restarts() { brig inspect -f '{{.RestartCount}}' again; }
        brig run -d --name web hello serve
        brig run -d --name again --restart always hello
        for by in $year -$((2 * year)); do
            brig stop -t 4 web & stop=$!
            brig events --until $(($(date +%s) + 4)) >/dev/null & events=$!
            began=$(uptime)
            sleep 1
            jump $by
            count=$(restarts)
            wait $stop; wait $events
            echo "stop and events took $(($(uptime) - began)) s"
            test $(($(uptime) - began)) -lt 30
            test $(state web) = exited
            brig start web
            until test $(restarts) -gt $count; do sleep 0.5; done
            test $(state web) = running
            brig run --rm hello | grep -q Hello
            brig ps -a --format '{{.Names}} {{.Status}}'
        done
        brig rm -f again
        brig system shutdown
        jump $year
        test $(state web) = running
        began=$(date +%s)
        brig kill web
        ran=$(brig events --since $began --until $(($(date +%s) + 5)) --filter event=die --format '{{.Actor.Attributes.execDuration}}')
        echo "web ran for $ran s"
        test $ran -lt 300
        brig rm web
        brig system shutdown --all
    "#;
    drop(machine(script, None).finish());
}

const IMAGES: usize = 4;

/// Before each script: a registry inside the machine, and brig with it as a mirror.
const WITH_REGISTRY: &str = r#"
    docker-registry serve /registry.yml >/dev/null 2>&1 &
    until wget -q -O /dev/null http://127.0.0.1:5000/v2/; do sleep 0.2; done
    brig() { /bin/brig --root /disk/brig --config /config.toml "$@"; }
    check() { brig run --rm $1 sha256sum -c -s /sum; }
"#;

/// The power is cut while images are pulled and containers created: what had been acknowledged is
/// there and whole, and the rest can be done again.
#[test]
fn a_power_cut_in_the_middle_of_pulls_and_creates() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.img");
    let registry = Registry::start();
    push_images(&registry, directory.path());
    make_disk(&disk, 512, Some(&registry.storage()));
    let first = format!(
        r#"{WITH_REGISTRY}
        brig run --rm hello >/dev/null
        (n=0; while brig create --name c$n hello >/dev/null; do echo kept container c$n.; n=$((n+1)); done) &
        for n in 0 1 2 3; do brig pull -q image$n >/dev/null; echo kept image image$n.; done
        sleep 100
    "#
    );
    let mut machine = with_registry(&first, directory.path(), &disk);
    machine.wait_for("kept image image1.");
    let said = machine.wait_for("kept container").to_owned();
    machine.cut_power();

    let kept = |what: &str| {
        let names = said.split(what).skip(1).filter_map(|rest| rest.split_once('.'));
        names.map(|(name, _)| name.trim().to_owned()).collect::<Vec<_>>()
    };
    let (containers, images) = (kept("kept container"), kept("kept image"));
    assert!(!containers.is_empty() && images.len() >= 2, "{said}");
    let mut second = WITH_REGISTRY.to_owned();
    for name in &containers {
        writeln!(second, "brig inspect {name} >/dev/null").unwrap();
    }
    for name in &images {
        writeln!(second, "check {name}").unwrap();
    }
    second += r#"
        brig start -a c0 | grep -q Hello
        for n in 0 1 2 3; do brig pull -q image$n; check image$n; done
        brig rm $(brig ps -aq) >/dev/null
        brig rmi $(brig images -q | sort -u) >/dev/null
        test -z "$(ls /disk/brig/data/snapshots /disk/brig/data/containers | grep -v :)"
        brig run --rm hello >/dev/null
        brig system shutdown --all
    "#;
    drop(with_registry(&second, directory.path(), &disk).finish());
}

/// Images that share a layer, each with one of its own that says whether it is whole.
fn push_images(registry: &Registry, directory: &Path) {
    let base = directory.join("base");
    image::busybox_root(&base);
    for number in 0..IMAGES {
        let root = directory.join(format!("root{number}"));
        fs::create_dir_all(&root).unwrap();
        let mut bytes = vec![0; 4 << 20];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
        fs::write(root.join("data"), bytes).unwrap();
        let sum = stdx::process::command("sha256sum").arg(root.join("data")).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        let sum = sum.split_whitespace().next().unwrap();
        fs::write(root.join("sum"), format!("{sum}  /data\n")).unwrap();
        let layout = directory.join(format!("layout{number}"));
        let settings = image::Settings::default();
        let layout = image::Layout::write(&layout, &[&base, &root], &settings);
        registry.push(&layout, &format!("library/image{number}:latest"));
    }
}

fn with_registry(script: &str, directory: &Path, disk: &Path) -> Machine {
    let configuration = [
        ("config.toml", "[registries.\"docker.io\"]\nmirrors = [\"http://127.0.0.1:5000\"]\n"),
        (
            "registry.yml",
            "version: 0.1\nstorage: {filesystem: {rootdirectory: /disk}}\nhttp: {addr: 127.0.0.1:5000}\n",
        ),
    ];
    let configuration = configuration.map(|(name, text)| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        (path, format!("/{name}"))
    });
    let mut files = vec![(Path::new(BRIG), "/bin/brig")];
    files.extend(configuration.iter().map(|(path, target)| (&**path, &**target)));
    let peer =
        ["/bin/docker-registry", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"];
    let sources = ["/usr/bin/docker-registry", peer[1], peer[2]];
    files.extend(sources.iter().zip(peer).map(|(source, target)| (Path::new(source), target)));
    let boot = Boot { files, script, disk: Some(disk), ..Boot::default() };
    Machine::boot(&Kernel::prepare(), &boot)
}
