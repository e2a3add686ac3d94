//! The annotation `dev.brig.landlock` at work.

use std::fs;
use std::os::unix::fs::symlink;

use linux::process::SingleThreaded;
use runtime::{Confinement, LANDLOCK};
use testkit::forked::Test;

use crate::exec::{process, run_confined};
use crate::world::{World, text};

pub(crate) const TESTS: &[Test] = &[
    ("landlock::files_are_what_the_rules_say", files),
    ("landlock::paths_stay_inside", paths),
    ("landlock::ports_are_what_the_rules_say", ports),
    ("landlock::others_are_out_of_reach", scopes),
    ("landlock::rules_that_are_wrong_are_refused", wrong),
];

/// Whether the kernel has what the tests want.
fn is_there() -> bool {
    let there = linux::landlock::version() >= 6;
    if !there {
        testkit::skip("landlock");
    }
    there
}

fn restrict(world: &mut World, rules: &str) {
    world.spec.annotations.insert(LANDLOCK.to_owned(), rules.to_owned());
}

const FILES: &str = r#"{
    "ruleset": {"handledAccessFS": ["execute", "write_file", "read_file", "read_dir", "make_reg"]},
    "rules": {"pathBeneath": [
        {"allowedAccess": ["execute", "read_file"], "paths": ["/bin"]},
        {"allowedAccess": ["read_file", "read_dir"], "paths": ["/etc"]},
        {"allowedAccess": ["write_file", "read_file", "read_dir", "make_reg"], "paths": ["/tmp"]},
        {"allowedAccess": ["write_file", "read_dir"], "paths": ["/dev/null"]}]}}"#;

/// Says what it can do, to the pipe it was born with.
const TRY: &str = "exec 2>/dev/null; cat /etc/passwd > /dev/null && echo read; \
    ls /etc > /dev/null && echo list; echo x > /tmp/file && echo write; \
    cat /secret > /dev/null && echo read /secret; ls / > /dev/null && echo list /; \
    echo x > /etc/new && echo write /etc; echo x >> /etc/passwd && echo write passwd; \
    /tools/busybox true && echo execute; /bin/sh -c 'cat /secret' && echo child; true";

fn files(token: &SingleThreaded) {
    if !is_there() {
        return;
    }
    let mut world = World::new(TRY);
    fs::write(world.root().join("secret"), "").unwrap();
    fs::create_dir(world.root().join("tools")).unwrap();
    fs::copy("/bin/busybox", world.root().join("tools/busybox")).unwrap();
    let all = "read\nlist\nwrite\nread /secret\nlist /\nwrite /etc\nwrite passwd\nexecute\nchild\n";
    assert_eq!(world.output(token), all, "without rules");
    restrict(&mut world, FILES);
    let allowed = "read\nlist\nwrite\n";
    assert_eq!(world.output(token), allowed);
    world.process().no_new_privileges = false;
    assert_eq!(world.output(token), allowed, "by a privilege of ours");
    world.process().user.uid = 1000;
    fs::set_permissions(
        world.root().join("tmp"),
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    fs::remove_file(world.root().join("tmp/file")).unwrap();
    assert_eq!(world.output(token), allowed, "and for a user who has none");
    // What is run later is under rules of its own, and what it runs, too.
    let mut world = World::new("");
    fs::write(world.root().join("secret"), "").unwrap();
    world.while_running(token, |container| {
        let other = process(&World::new(""), TRY);
        let confined = Confinement { landlock: Some(FILES), ..Confinement::default() };
        assert_eq!(run_confined(token, container, &other, confined).unwrap().1, allowed);
    });
    // What cannot be executed has the exit code for that.
    let mut world = World::new("");
    restrict(&mut world, r#"{"ruleset": {"handledAccessFS": ["execute"]}}"#);
    let error = world.run(token).unwrap_err();
    assert_eq!((error.exit_code(), text(&error).contains("permission denied")), (126, true));
}

/// A link of the image's leads nowhere but into the image, and what is not there is told.
fn paths(token: &SingleThreaded) {
    if !is_there() {
        return;
    }
    let victim = tempfile::tempdir().unwrap();
    let rules = |path: &str, more: &str| {
        format!(
            r#"{{"ruleset": {{"handledAccessFS": ["make_dir"]}}, "rules": {{"pathBeneath":
                [{{"allowedAccess": ["make_dir"], "paths": ["{path}"]}}]}}{more}}}"#
        )
    };
    let mut world = World::new("mkdir /made || echo denied");
    symlink(victim.path(), world.root().join("link")).unwrap();
    symlink("tmp", world.root().join("inside")).unwrap();
    for path in ["/link", "/none", "/etc/passwd/x"] {
        restrict(&mut world, &rules(path, ""));
        let error = text(&world.run(token).unwrap_err());
        assert!(error.contains(&format!("allow by Landlock {path}: No such file")), "{error}");
        world.assert_gone();
        restrict(&mut world, &rules(path, r#", "bestEffort": true"#));
        assert!(world.output(token).ends_with("denied\n"), "{path}");
    }
    restrict(&mut world, &rules("/proc/self/root", ""));
    let error = text(&world.run(token).unwrap_err());
    assert!(error.contains("/proc/self/root: Too many levels of symbolic links"), "{error}");
    world.command(&["/bin/sh", "-c", "mkdir /tmp/made && mkdir /made || echo denied"]);
    restrict(&mut world, &rules("/inside", ""));
    assert!(world.output(token).ends_with("denied\n"));
    assert!(world.root().join("tmp/made").exists());
    // A right of directories is none of a file's.
    restrict(&mut world, &rules("/etc/passwd", ""));
    fs::remove_dir(world.root().join("tmp/made")).unwrap();
    assert!(world.output(token).contains("denied\n"));
}

fn ports(token: &SingleThreaded) {
    if !is_there() {
        return;
    }
    let mut world = World::new(
        "nc 127.0.0.1 81; timeout 20 nc -l -p 81; \
         timeout 20 nc -l -p 8080 < /dev/null > /tmp/got & \
         for i in $(seq 1000); do echo hello | timeout 20 nc 127.0.0.1 8080 && break; done 2> /tmp/no; \
         wait; sort -u /tmp/no; cat /tmp/got",
    );
    for applet in ["nc", "seq", "timeout"] {
        symlink("busybox", world.root().join("bin").join(applet)).unwrap();
    }
    restrict(
        &mut world,
        r#"{"ruleset": {"handledAccessNet": ["bind_tcp", "connect_tcp"]}, "rules": {"netPort": [
            {"allowedAccess": ["bind_tcp", "connect_tcp"], "ports": [8080]}]}}"#,
    );
    let output = world.output(token);
    let denied = output.lines().filter(|line| line.ends_with("Permission denied")).count();
    assert_eq!((denied, output.lines().last()), (2, Some("hello")), "{output}");
    world.spec.annotations.clear();
    world.command(&["/bin/nc", "127.0.0.1", "81"]);
    let outcome = world.run(token).unwrap();
    assert!(outcome.output.contains("Connection refused"), "{}", outcome.output);
}

/// What is run later stands beside the first process: no signal passes from one to the other.
fn scopes(token: &SingleThreaded) {
    if !is_there() {
        return;
    }
    const SIGNAL: &str = r#"{"ruleset": {"scoped": ["signal", "abstract_unix_socket"]}}"#;
    let mut world = World::new("sh -c 'kill -0 1' && kill -0 $$ && echo its own");
    restrict(&mut world, SIGNAL);
    assert_eq!(world.output(token), "its own\n");
    world.while_running(token, |container| {
        let script = "kill -0 1 2> /dev/null && echo passed; kill -0 $$ && echo its own";
        let other = process(&World::new(""), script);
        let of = |landlock| {
            let confined = Confinement { landlock, ..Confinement::default() };
            run_confined(token, container, &other, confined).unwrap().1
        };
        assert_eq!(of(None), "passed\nits own\n");
        assert_eq!(of(Some(SIGNAL)), "its own\n");
    });
}

fn wrong(token: &SingleThreaded) {
    let mut world = World::new("echo no");
    for (rules, why) in [
        ("{}", "names nothing that is to be restricted"),
        (r#"{"ruleset": {"handledAccessFS": ["fly"]}}"#, "\"fly\" is unknown"),
        (r#"{"ruleset": {"scoped": ["signal"]}, "effort": "best"}"#, "unknown field"),
    ] {
        restrict(&mut world, rules);
        let error = text(&world.run(token).unwrap_err());
        let place = "invalid configuration: annotations.dev.brig.landlock: ";
        assert!(error.starts_with(place) && error.contains(why), "{error}");
        world.assert_gone();
    }
}
