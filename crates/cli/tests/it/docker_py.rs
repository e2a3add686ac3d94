//! docker-py against brig's socket: it hijacks connections without asking for an upgrade.

use std::time::Duration;

use testkit::{Brig, process};

use crate::BRIG;

const PROGRAM: &str = r#"
import docker, sys
client = docker.DockerClient(base_url=sys.argv[1])
assert client.ping()
assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"
container = client.containers.run("busybox", "sleep 60", detach=True, name="py", labels={"a": "b"})
container.reload()
assert container.status == "running", container.status
code, output = container.exec_run("sh -c 'echo out; exit 3'")
assert (code, output) == (3, b"out\n"), (code, output)
code, output = container.exec_run("sh -c 'echo out; echo err >&2'", demux=True)
assert output == (b"out\n", b"err\n"), output
assert [c.name for c in client.containers.list(filters={"label": "a=b"})] == ["py"]
stats = container.stats(stream=False)
assert stats["pids_stats"]["current"] >= 1, stats
assert container.top()["Processes"]
container.stop(timeout=0)
assert container.wait()["StatusCode"] == 137
container.remove()
try:
    client.containers.get("py")
    raise SystemExit("still there")
except docker.errors.NotFound:
    pass
try:
    client.images.get("nosuchimage")
    raise SystemExit("found")
except docker.errors.ImageNotFound:
    pass
failed = None
try:
    client.containers.run("busybox", "sh -c 'exit 5'", remove=True)
except docker.errors.ContainerError as error:
    failed = error.exit_status
assert failed == 5
print("all well")
"#;

#[test]
fn docker_py_runs_execs_and_inspects() {
    let Some(python) = std::env::var_os("BRIG_TEST_PYTHON") else {
        testkit::skip("docker_py");
        return;
    };
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let mut command = stdx::process::command(python);
    command.args(["-c", PROGRAM]).arg(format!("unix://{}", brig.socket().display()));
    let output = process::run(&mut command, Duration::from_secs(60));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "all well\n");
}
