//! Standard streams, signals and terminals between the caller and the container.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use testkit::Brig;
use testkit::process::eventually;

use crate::BRIG;

fn busybox() -> Brig {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    brig
}

fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn input_comes_back_whole() {
    let brig = busybox();
    let mut pattern = Vec::new();
    for number in 0..400_000_u32 {
        pattern.extend(number.to_le_bytes());
    }
    let mut child = piped(&mut brig.command(&["run", "--rm", "-i", "busybox", "cat"]));
    let mut stdin = child.stdin.take().unwrap();
    let sent = pattern.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut received = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(received == pattern, "{} of {} bytes", received.len(), pattern.len());
}

#[test]
fn a_file_is_input_and_its_end_is_not_the_end_of_output() {
    let brig = busybox();
    let script =
        ["run", "--rm", "-i", "busybox", "sh", "-c", "cat; sleep 0.1; echo end; echo err >&2"];
    let input = brig.root().join("input");
    std::fs::write(&input, "text\n").unwrap();
    let child = brig
        .command(&script)
        .stdin(File::open(&input).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "text\nend\n");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "err\n");
}

#[test]
fn signals_reach_the_container() {
    let brig = busybox();
    let script = "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.02; done";
    let mut child = piped(&mut brig.command(&["run", "--rm", "busybox", "sh", "-c", script]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(lines.next().as_deref(), Some("told"));
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn start_and_attach_show_output_and_exit_code() {
    let brig = busybox();
    let create =
        ["create", "-i", "--name", "one", "busybox", "sh", "-c", "read x; echo got $x; exit 4"];
    drop(brig.ok(&create));
    let mut child = piped(&mut brig.command(&["start", "-a", "-i", "one"]));
    child.stdin.take().unwrap().write_all(b"this\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "got this\n");
    assert_eq!(output.status.code(), Some(4));

    let text = brig.fails(1, &["attach", "one"]);
    assert!(text.contains("cannot attach to a stopped container"), "{text}");

    drop(brig.ok(&[
        "run",
        "-d",
        "-i",
        "--name",
        "two",
        "busybox",
        "sh",
        "-c",
        "read x; echo got $x; exit 6",
    ]));
    let mut child = piped(&mut brig.command(&["attach", "two"]));
    child.stdin.take().unwrap().write_all(b"that\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "got that\n");
    assert_eq!(output.status.code(), Some(6));
}

#[test]
fn a_reader_that_leaves_is_no_failure_worth_a_word() {
    let brig = busybox();
    let mut child = piped(&mut brig.command(&["run", "--rm", "busybox", "yes"]));
    let mut line = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut line).unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(141), ""));
}

/// script(1) makes a terminal of 80 × 24 or whatever it is told.
pub(crate) fn on_terminal(command: &Command) -> Child {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let line = format!("stty rows 24 cols 80; {}; echo \"status $?\"; stty -a", words.join(" "));
    let home = command.get_envs().find(|(name, _)| *name == "HOME").and_then(|(_, home)| home);
    let mut script = stdx::process::command("script");
    script.args(["-qec", &line, "/dev/null"]).env("HOME", home.unwrap());
    piped(&mut script)
}

/// Reads until the text appears.
pub(crate) fn read_until(reader: &mut impl Read, wanted: &str) -> String {
    let mut screen = String::new();
    let mut byte = [0; 1];
    while !screen.contains(wanted) {
        match reader.read(&mut byte) {
            Ok(1) => screen.push(char::from(byte[0])),
            _ => panic!("no {wanted:?} on the screen: {screen}"),
        }
    }
    screen
}

#[test]
fn the_keys_detach_and_the_terminal_is_put_back() {
    let brig = busybox();
    let mut child = on_terminal(&brig.command(&[
        "run",
        "-it",
        "--name",
        "shell",
        "busybox",
        "sh",
        "-c",
        "stty size; cat",
    ]));
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    drop(read_until(&mut stdout, "24 80"));
    // The first key of the sequence alone goes to the container.
    stdin.write_all(b"a\x10b\r").unwrap();
    drop(read_until(&mut stdout, "b"));
    stdin.write_all(b"\x10\x11").unwrap();
    let screen = read_until(&mut stdout, "status 0");
    assert!(screen.contains("read escape sequence"), "{screen}");
    let settings = read_until(&mut stdout, "echoke");
    let has = |name: &str| settings.split([' ', ';', '\n', '\r']).any(|word| word == name);
    assert!(has("icanon") && has("echo") && has("isig"), "{settings}");
    drop(stdin);
    _ = child.wait().unwrap();
    assert_eq!(brig.ok(&["inspect", "-f", "{{.State.Running}}", "shell"]), "true");
}

/// The keys that are given detach in place of the usual ones, which go to the container; the
/// container and whoever watches it are told.
#[test]
fn other_keys_detach() {
    let brig = busybox();
    let run = ["run", "-it", "--name", "shell", "--detach-keys", "ctrl-x,y", "busybox", "cat"];
    let exec = ["exec", "-it", "--detach-keys", "a,a,b", "shell", "cat"];
    for (words, keys) in [(&run[..], &b"\x10\x11ok\r\x18y"[..]), (&exec, b"ok\raab")] {
        let mut child = on_terminal(&brig.command(words));
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdin.write_all(keys).unwrap();
        let screen = read_until(&mut stdout, "status 0");
        assert!(screen.contains("ok") && screen.contains("read escape sequence"), "{screen}");
        drop(stdin);
        _ = child.wait().unwrap();
    }
    assert_eq!(brig.ok(&["inspect", "-f", "{{.State.Running}}", "shell"]), "true");
    eventually("both are told", Duration::from_secs(30), || {
        let filters = ["--filter", "event=detach", "--filter", "event=exec_detach"];
        let format = ["--format", "{{.Action}}"];
        let events = ["events", "--since", "0", "--until", "0s"];
        let seen = brig.ok(&[&events[..], &filters, &format].concat());
        (seen == "detach\nexec_detach").then_some(())
    });
    drop(brig.ok(&["rm", "-f", "shell"]));
}

#[test]
fn signals_stay_with_the_command_when_asked() {
    let brig = busybox();
    let script = "trap 'echo told' TERM; echo ready; while :; do sleep 0.02; done";
    let words = ["run", "--name", "one", "--sig-proxy=false", "busybox", "sh", "-c", script];
    let mut child = piped(&mut brig.command(&words));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
    assert_eq!(brig.ok(&["inspect", "-f", "{{.State.Running}}", "one"]), "true");
    assert_eq!(brig.ok(&["logs", "one"]), "ready");
    drop(brig.ok(&["rm", "-f", "one"]));
}

#[test]
fn input_is_not_taken_when_asked() {
    let brig = busybox();
    drop(brig.ok(&["run", "-d", "-i", "--name", "one", "busybox", "cat"]));
    let mut deaf = piped(&mut brig.command(&["attach", "--no-stdin", "one"]));
    deaf.stdin.take().unwrap().write_all(b"lost\n").unwrap();
    let mut child = piped(&mut brig.command(&["attach", "one"]));
    let mut heard = BufReader::new(deaf.stdout.take().unwrap()).lines().map(Result::unwrap);
    let (sender, first) = std::sync::mpsc::channel();
    let listener = std::thread::spawn(move || sender.send(heard.next()));
    // Again until both are attached: neither hears what came before.
    let mut stdin = child.stdin.take().unwrap();
    let line = loop {
        stdin.write_all(b"kept\n").unwrap();
        if let Ok(line) = first.recv_timeout(Duration::from_millis(50)) {
            break line;
        }
    };
    assert_eq!(line.as_deref(), Some("kept"));
    drop(listener.join().unwrap());
    drop(brig.ok(&["rm", "-f", "one"]));
    for mut child in [deaf, child] {
        _ = child.wait().unwrap();
    }
}

#[test]
fn a_terminal_is_needed_where_one_is_asked_for() {
    let brig = busybox();
    let text = brig.fails(1, &["run", "-it", "--rm", "busybox", "true"]);
    assert_eq!(text, "the input device is not a TTY\n");
    assert_eq!(brig.ok(&["ps", "-aq"]), "");
}
