//! Commands that watch: `events`, `stats`, `system check`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use testkit::Brig;

use crate::BRIG;

#[test]
fn events_by_filter() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let label = ["--label", "team=a"];
    let volume = ["-v", "kept:/v"];
    for name in ["one", "two"] {
        let run = [&["run", "--name", name][..], &label, &volume, &["busybox", "true"]].concat();
        drop(brig.ok(&run));
    }
    drop(brig.ok(&["container", "prune", "-f"]));
    let seen = |filters: &[&str]| {
        let filters = filters.iter().flat_map(|filter| ["--filter", *filter]);
        let format = ["--format", "{{.Type}} {{.Action}} {{index .Actor.Attributes \"name\"}}"];
        let words: Vec<&str> = ["events", "--since", "0", "--until", "0s"]
            .into_iter()
            .chain(filters)
            .chain(format)
            .collect();
        brig.ok(&words).lines().map(|line| line.replace(" <no value>", "")).collect::<Vec<_>>()
    };
    assert_eq!(seen(&["container=one", "event=start"]), ["container start one"]);
    assert_eq!(
        seen(&["label=team=a", "event=start", "event=die", "container=two"]),
        ["container start two", "container die two"]
    );
    assert_eq!(
        seen(&["type=volume", "volume=kept", "event=mount", "event=unmount"]),
        ["volume mount", "volume unmount", "volume mount", "volume unmount"]
    );
    assert_eq!(seen(&["event=prune"]), ["container prune"]);
    assert!(seen(&["image=nothing"]).is_empty());
}

#[test]
fn stats_go_on() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    drop(brig.ok(&["run", "-d", "--name", "one", "busybox", "sleep", "600"]));
    let mut command = brig.command(&["stats", "--format", "{{.Name}} {{.PIDs}}", "one"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let readings = lines.by_ref().filter(|line| line.contains("one 1")).take(3).count();
    child.kill().unwrap();
    _ = child.wait().unwrap();
    assert_eq!(readings, 3);
    drop(brig.ok(&["rm", "-f", "one"]));
}

#[test]
fn the_check_looks_at_everything() {
    let brig = Brig::new(BRIG);
    let output = brig.output(&["system", "check"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for name in ["kernel", "cgroups", "overlay", "seccomp", "nftables"] {
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        assert!(line.is_some(), "{name}: {text}");
    }
    let bad = text.lines().any(|line| line.starts_with("bad "));
    assert_eq!(output.status.code(), Some(i32::from(bad)), "{text}");
}
