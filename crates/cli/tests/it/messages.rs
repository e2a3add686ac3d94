//! What goes wrong every day, and what a user is told: exit codes and texts as Docker's.

use testkit::process::free_port;
use testkit::{Brig, Registry};

use crate::BRIG;

#[test]
fn unknown_images_tags_commands_and_users() {
    let registry = Registry::start();
    let brig = Brig::new(BRIG);
    brig.mirror_docker_io(registry.address());
    brig.load_busybox();

    let text = brig.fails(125, &["run", "--rm", "nosuchimage"]);
    assert!(text.contains("Unable to find image 'nosuchimage:latest' locally"), "{text}");
    let directory = tempfile::tempdir().unwrap();
    registry.push(&testkit::image::busybox(directory.path()), "library/busybox:latest");
    let unknown = format!("{}/library/busybox:nosuchtag", registry.address());
    let text = brig.fails(1, &["pull", &unknown]);
    assert!(text.contains("manifest unknown"), "{text}");
    let text = brig.fails(127, &["run", "--rm", "busybox", "nosuchcommand"]);
    assert!(text.contains("nosuchcommand") && text.contains("not found"), "{text}");
    let text = brig.fails(126, &["run", "--rm", "busybox", "/etc/passwd"]);
    assert!(text.contains("permission denied"), "{text}");
    let text = brig.fails(125, &["run", "--rm", "-u", "nosuchuser", "busybox", "true"]);
    assert!(text.contains("nosuchuser"), "{text}");
    drop(brig.fails(1, &["logs", "nosuchcontainer"]));
    assert_eq!(brig.ok(&["ps", "-aq"]), "", "failures leave nothing behind");
}

#[test]
fn exit_codes_pass_through() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    drop(brig.fails(3, &["run", "--rm", "busybox", "sh", "-c", "exit 3"]));
    drop(brig.fails(137, &["run", "--rm", "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]));
    let id = brig.ok(&["run", "-d", "busybox", "sh", "-c", "sleep 0.1; exit 5"]);
    assert_eq!(brig.ok(&["wait", &id]), "5");
    drop(brig.fails(
        9,
        &["exec", &brig.ok(&["run", "-d", "busybox", "sleep", "60"]), "sh", "-c", "exit 9"],
    ));
}

#[test]
fn names_and_ports_that_are_taken() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let id = brig.ok(&["run", "-d", "--name", "taken", "busybox", "sleep", "60"]);
    let text = brig.fails(125, &["run", "-d", "--name", "taken", "busybox", "true"]);
    assert!(text.contains("Conflict") && text.contains(&id), "{text}");

    let port = free_port();
    let publish = format!("{port}:80");
    drop(brig.ok(&["run", "-d", "--name", "first", "-p", &publish, "busybox", "sleep", "60"]));
    let text = brig.fails(125, &["run", "-d", "-p", &publish, "busybox", "true"]);
    assert!(
        text.contains("port is already allocated") && text.contains("first"),
        "says by whom: {text}"
    );

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let publish = format!("127.0.0.1:{}:80", listener.local_addr().unwrap().port());
    let text = brig.fails(125, &["run", "-d", "-p", &publish, "busybox", "true"]);
    assert!(text.contains(&std::process::id().to_string()), "says which process: {text}");
}
