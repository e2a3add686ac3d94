//! Images that come and go: repeated layers, passwords, pulls that are cut off, what is left.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use testkit::process::{Background, eventually};
use testkit::{Brig, Registry, image};

use crate::BRIG;
use crate::damage::{incompressible, stored};
use crate::faults::{gone, kill};

/// How long what happens in the background may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// An image of busybox and a layer of noise, as `NAME:latest` in a registry.
fn push(registry: &Registry, name: &str, noise: usize) {
    let directory = tempfile::tempdir().unwrap();
    let roots = ["low", "high"].map(|name| directory.path().join(name));
    image::busybox_root(&roots[0]);
    fs::create_dir(&roots[1]).unwrap();
    fs::write(roots[1].join("noise"), incompressible(noise)).unwrap();
    let settings = image::Settings::default();
    let layout = directory.path().join("layout");
    let layout = image::Layout::write(&layout, &[&roots[0], &roots[1]], &settings);
    registry.push(&layout, &format!("{name}:latest"));
}

#[test]
fn an_image_that_repeats_a_layer() {
    let directory = tempfile::tempdir().unwrap();
    let roots = ["low", "high"].map(|name| directory.path().join(name));
    image::busybox_root(&roots[0]);
    fs::create_dir(&roots[1]).unwrap();
    fs::write(roots[1].join("top"), "high").unwrap();
    let [low, high] = &roots;
    let settings = image::Settings::default();
    let layout = directory.path().join("layout");
    let layout = image::Layout::write(&layout, &[low, high, low, high, high], &settings);
    let registry = Registry::start();
    registry.push(&layout, "repeated:latest");
    let brig = Brig::new(BRIG);
    let pulled = format!("{}/repeated", registry.address());
    assert_eq!(brig.ok(&["run", "--rm", &pulled, "cat", "/top"]), "high");
    let other = Brig::new(BRIG);
    other.load(layout.path(), "repeated:latest");
    assert_eq!(other.ok(&["run", "--rm", "repeated", "cat", "/top"]), "high");
}

#[test]
fn a_password_from_dockers_configuration() {
    let credentials = ("anna", "s:ecret");
    let registry = Registry::with_authentication(Some(credentials));
    let directory = tempfile::tempdir().unwrap();
    let layout = image::busybox(directory.path());
    registry.push_from(layout.path(), "private:latest", Some(credentials));
    let brig = Brig::new(BRIG);
    let name = format!("{}/private", registry.address());
    let text = brig.fails(1, &["pull", &name]);
    assert!(text.contains("no basic auth credentials"), "{text}");

    let home = brig.config_path().parent().unwrap().join(".docker");
    fs::create_dir(&home).unwrap();
    let secret = base64::engine::general_purpose::STANDARD.encode("anna:s:ecret");
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"{secret}"}}}}}}"#, registry.address());
    fs::write(home.join("config.json"), config).unwrap();
    drop(brig.ok(&["pull", &name]));
    assert_eq!(brig.ok(&["run", "--rm", &name, "echo", "in"]), "in");
}

#[test]
fn names_resolve_in_a_container() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    drop(brig.ok(&["run", "-d", "--name", "web", "busybox", "sleep", "600"]));
    let address = brig.ok(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web"]);
    let answer = brig.ok(&["run", "--rm", "busybox", "nslookup", "web"]);
    assert!(answer.contains(&address), "{address}: {answer}");
}

#[test]
fn layers_go_with_the_last_container_of_an_image_that_is_gone() {
    let brig = Brig::new(BRIG);
    drop(brig.ok(&["version"]));
    let before = stored(&brig);
    brig.load_busybox();
    drop(brig.ok(&["create", "--name", "last", "busybox", "true"]));
    drop(brig.ok(&["rmi", "-f", "busybox"]));
    drop(brig.ok(&["start", "-a", "last"]));
    drop(brig.ok(&["rm", "last"]));
    eventually("the layers are gone", PATIENCE, || (stored(&brig) == before).then_some(()));
}

/// What of an image's files is there besides those that a pull goes on with.
fn finished(brig: &Brig) -> Vec<PathBuf> {
    let mut paths = stored(brig);
    let partial = brig.root().join("data/content/partial");
    paths.retain(|path| !path.starts_with(&partial));
    paths
}

#[test]
fn a_daemon_killed_in_the_middle_of_a_pull() {
    let registry = Registry::start();
    push(&registry, "big", 8 << 20);
    let gate = Gate::start(registry.address(), 4 << 20);
    let brig = Brig::new(BRIG);
    drop(brig.ok(&["version"]));
    let before = stored(&brig);
    let name = format!("{}/big", gate.address);
    let pulling = start(&mut brig.command(&["pull", &name]));
    gate.wait_until_held();
    let begun = || {
        let partial = fs::read_dir(brig.root().join("data/content/partial")).unwrap();
        partial.flatten().any(|blob| blob.metadata().is_ok_and(|blob| blob.len() > 1 << 20))
    };
    eventually("what has come is written", PATIENCE, || begun().then_some(()));
    let daemon = brig.daemon_id().unwrap();
    kill(daemon);
    gone(daemon);
    drop(pulling);
    gate.open();

    // What is whole has no image: it goes. What is not can be gone on with.
    assert_eq!(brig.ok(&["images", "-q"]), "");
    eventually("nothing else is left", PATIENCE, || (finished(&brig) == before).then_some(()));
    assert!(begun(), "nothing is left to go on with");

    drop(brig.ok(&["pull", &name]));
    let size = brig.ok(&["run", "--rm", &name, "stat", "-c", "%s", "/noise"]);
    assert_eq!(size, (8 << 20).to_string());
    drop(brig.ok(&["rmi", &name]));
    eventually("the image is gone", PATIENCE, || (stored(&brig) == before).then_some(()));
}

#[test]
fn a_pull_that_is_interrupted() {
    let registry = Registry::start();
    push(&registry, "big", 8 << 20);
    let gate = Gate::start(registry.address(), 4 << 20);
    let brig = Brig::new(BRIG);
    drop(brig.ok(&["version"]));
    let before = stored(&brig);
    let name = format!("{}/big", gate.address);
    let mut pulling = start(&mut interruptible(&brig.command(&["pull", &name])));
    gate.wait_until_held();
    let id = i32::try_from(pulling.id()).unwrap();
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    gone(pulling.id());
    assert!(!pulling.kill().success());
    // What is whole shortens the next pull; until then it can be had back.
    eventually("the pull is given up", PATIENCE, || {
        drop(brig.ok(&["image", "prune", "-f"]));
        (finished(&brig) == before).then_some(())
    });
    assert_eq!(brig.ok(&["images", "-q"]), "");
    gate.open();
    assert_eq!(brig.ok(&["run", "--rm", &name, "echo", "whole"]), "whole");
}

#[test]
fn a_load_that_falls_silent_does_not_keep_the_daemon() {
    let brig = Brig::new(BRIG);
    drop(brig.ok(&["version"]));
    let daemon = brig.daemon_id().unwrap();
    let mut client = UnixStream::connect(brig.socket()).unwrap();
    let head =
        "POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc";
    client.write_all(head.as_bytes()).unwrap();
    drop(brig.ok(&["system", "shutdown", "--all"]));
    gone(daemon);
}

fn start(command: &mut Command) -> Background {
    Background::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// The command with SIGINT as it is at a terminal: children of a script have it ignored.
fn interruptible(command: &Command) -> Command {
    let mut interruptible = stdx::process::command("env");
    interruptible.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => interruptible.env(name, value),
            None => interruptible.env_remove(name),
        };
    }
    interruptible
}

/// A way to a registry that lets some bytes through and then none until it is opened.
struct Gate {
    address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    passage: Mutex<Passage>,
    changed: Condvar,
}

#[derive(Default)]
struct Passage {
    passed: usize,
    limit: usize,
    held: bool,
}

impl Gate {
    fn start(upstream: &str, limit: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::<State>::default();
        state.passage.lock().unwrap().limit = limit;
        let (upstream, shared) = (upstream.to_owned(), Arc::clone(&state));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, Ok(server)) = (client.unwrap(), TcpStream::connect(&upstream)) else {
                    return;
                };
                let (back, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || copy(client, to, None));
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || copy(server, back, Some(&shared)));
            }
        });
        Self { address, state }
    }

    fn wait_until_held(&self) {
        let passage = self.state.passage.lock().unwrap();
        let held = |passage: &mut Passage| !passage.held;
        let (_passage, waited) =
            self.state.changed.wait_timeout_while(passage, PATIENCE, held).unwrap();
        assert!(!waited.timed_out(), "nothing was held back");
    }

    fn open(&self) {
        self.state.passage.lock().unwrap().limit = usize::MAX;
        self.state.changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, gate: Option<&State>) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if let Some(gate) = gate {
            let mut passage = gate.passage.lock().unwrap();
            while passage.passed + count > passage.limit {
                passage.held = true;
                gate.changed.notify_all();
                passage = gate.changed.wait(passage).unwrap();
            }
            passage.passed += count;
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}

/// A configuration that was cut off in the registry's storage.
#[test]
fn a_truncated_configuration() {
    let registry = Registry::start();
    push(&registry, "cut", 1000);
    let config = configuration(&registry.storage()).unwrap();
    let good = fs::read(&config).unwrap();
    fs::write(&config, &good[..good.len() / 2]).unwrap();
    let brig = Brig::new(BRIG);
    drop(brig.ok(&["version"]));
    let before = stored(&brig);
    let name = format!("{}/cut", registry.address());
    let text = brig.fails(1, &["pull", &name]);
    assert!(text.contains(&format!("which has {}", good.len())), "{text}");
    assert_eq!(stored(&brig), before, "nothing of it is kept");
    fs::write(&config, &good).unwrap();
    assert_eq!(brig.ok(&["run", "--rm", &name, "echo", "whole"]), "whole");
}

/// The blob below a directory that is an image's configuration.
fn configuration(directory: &Path) -> Option<PathBuf> {
    fs::read_dir(directory).unwrap().flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return configuration(&path);
        }
        let small = entry.metadata().unwrap().len() < 1 << 16;
        (small && fs::read_to_string(&path).is_ok_and(|text| text.contains("rootfs")))
            .then_some(path)
    })
}
