//! Attached clients: streams, input, half-closes, terminals, slow readers.

use std::io::Read;

use linux::process::SingleThreaded;
use monitor::protocol::{AttachStreams, Command, Event, Size, WhenSlow};
use testkit::forked::Test;

use crate::world::{ALL, Attached, World, exited, next, release, started, wait_until};

pub(crate) const TESTS: &[Test] = &[
    ("attach::a_client_from_the_start_gets_every_byte_by_stream", streams),
    ("attach::input_goes_in_and_its_end_is_passed_on", input),
    ("attach::input_that_stays_open_serves_several_clients", several_inputs),
    ("attach::a_client_that_goes_ends_the_input_once", client_goes),
    ("attach::much_input_is_neither_lost_nor_kept_in_memory", much_input),
    ("attach::a_terminal_echoes_resizes_and_ends", terminal),
    ("attach::a_slow_client_holds_the_container_up_and_loses_nothing", slow_waits),
    ("attach::a_slow_client_may_be_dropped_instead", slow_drops),
    ("attach::late_clients_get_what_comes_from_then_on", late),
];

fn streams(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("echo first; echo error >&2; printf end");
    let (control, attached) = world.launch_attached(&container);
    assert_eq!(attached.frames(), ["first\nend", "error\n"]);
    exited(&control);
    release(&control);
}

fn input(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("cat; echo over").stdin(true);
    let (control, mut attached) = world.launch_attached(&container);
    attached.write("one\ntwo\n");
    attached.end_input();
    assert_eq!(attached.frames()[0], "one\ntwo\nover\n");
    assert_eq!(exited(&control).code, 0);
    release(&control);
}

fn several_inputs(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("read a; echo $a; read b; echo $b").stdin(false);
    let control = world.launch(&container);
    started(&control);
    let mut first = Attached::to(&control, None, ALL);
    first.write("first\n");
    first.end_input();
    wait_until(|| container.log() == "first\n");
    drop(first);
    let mut second = Attached::to(&control, None, ALL);
    second.write("second\n");
    assert_eq!(second.frames()[0], "second\n");
    assert_eq!(exited(&control).code, 0);
    release(&control);
}

fn client_goes(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("cat >/dev/null; echo over").stdin(true);
    let (control, mut attached) = world.launch_attached(&container);
    started(&control);
    attached.write("something");
    drop(attached);
    assert_eq!(exited(&control).code, 0);
    assert_eq!(container.log(), "over\n");
    release(&control);
}

fn much_input(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("sleep 0.2; wc -c").stdin(true);
    let (control, mut attached) = world.launch_attached(&container);
    attached.write(&"0123456789".repeat(300_000));
    attached.end_input();
    assert_eq!(attached.frames()[0].trim(), "3000000");
    exited(&control);
    release(&control);
}

fn terminal(token: &SingleThreaded) {
    let world = World::new(token);
    let script = "stty size; read line; stty size; echo got $line; tty";
    let mut container = world.container(script).terminal().stdin(true);
    container.launch.size = Some(Size { height: 33, width: 77 });
    let (control, mut attached) = world.launch_attached(&container);
    started(&control);
    attached.read_until("33 77\r\n");
    let size = Size { height: 40, width: 100 };
    control.send(&Command::Resize { exec: None, size }, None).unwrap();
    attached.write("hello\n");
    let rest = attached.raw();
    assert_eq!(rest, "hello\r\n40 100\r\ngot hello\r\n/dev/pts/0\r\n");
    assert_eq!(exited(&control).code, 0);
    assert!(container.log().ends_with("got hello\r\n/dev/pts/0\r\n"));
    release(&control);
}

fn slow_waits(token: &SingleThreaded) {
    let world = World::new(token);
    let script = "i=0; while [ $i -lt 400 ]; do head -c 10000 /dev/zero; i=$((i+1)); done";
    let mut container = world.container(script);
    container.launch.log = None;
    let (control, mut attached) = world.launch_attached(&container);
    let pid = started(&control).pid;
    // Four megabytes do not fit: the writer waits in a full pipe.
    wait_until(|| {
        crate::world::children_of(pid).iter().any(|child| {
            let path = format!("/proc/{child}/wchan");
            std::fs::read_to_string(path).unwrap_or_default().contains("pipe_write")
        })
    });
    let mut bytes = Vec::new();
    attached.stream.read_to_end(&mut bytes).unwrap();
    let zeros = bytes.len() - 8 * count_frames(&bytes);
    assert_eq!(zeros, 4_000_000);
    exited(&control);
    release(&control);
}

fn count_frames(bytes: &[u8]) -> usize {
    let (mut rest, mut count) = (bytes, 0);
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let [_, _, _, _, length @ ..] = header;
        rest = &after[u32::from_be_bytes(*length) as usize..];
        count += 1;
    }
    count
}

fn slow_drops(token: &SingleThreaded) {
    let world = World::new(token);
    let script = "i=0; while [ $i -lt 400 ]; do head -c 9999 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done; echo end";
    let container = world.container(script);
    let control = world.launch(&container);
    let streams = AttachStreams { when_slow: WhenSlow::Drop, ..ALL };
    started(&control);
    let _client = Attached::to(&control, None, streams);
    assert_eq!(exited(&control).code, 0);
    let log = container.log();
    assert_eq!(log.len(), 4_000_004);
    assert!(log.ends_with("x\nend\n"));
    release(&control);
}

fn late(token: &SingleThreaded) {
    let world = World::new(token);
    let container = world.container("echo early; read line; echo late; echo x >&2").stdin(false);
    let control = world.launch(&container);
    started(&control);
    wait_until(|| container.log() == "early\n");
    let only_errors = AttachStreams { stdin: false, stdout: false, stderr: true, ..ALL };
    let errors = Attached::to(&control, None, only_errors);
    let mut all = Attached::to(&control, None, ALL);
    all.write("go\n");
    assert_eq!(all.frames(), ["late\n", "x\n"]);
    assert_eq!(errors.frames(), ["", "x\n"]);
    exited(&control);
    // Nobody is there any more to attach to.
    let too_late = Attached::to(&control, None, ALL);
    assert!(matches!(next(&control), Event::Refused { .. }));
    assert_eq!(too_late.raw(), "");
    release(&control);
}
