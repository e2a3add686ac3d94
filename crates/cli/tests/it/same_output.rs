//! The stock docker CLI and brig's own say the same of the same engine, to the byte.

use testkit::Brig;

use crate::BRIG;

/// Runs a command by both CLIs. What differs on purpose is the program's name.
#[track_caller]
fn check(brig: &Brig, words: &[&str]) {
    let docker = brig.docker(words);
    let own = brig.output(words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let named = |bytes: &[u8]| {
        // Docker's own log tells a failed start once more.
        let whole = text(bytes);
        let told: String =
            whole.split_inclusive('\n').filter(|line| !line.starts_with("time=")).collect();
        told.replace("docker: ", "brig: ").replace("docker ", "brig ").replace("See '", "Run '")
    };
    assert_eq!(text(&own.stdout), text(&docker.stdout), "{words:?}");
    assert_eq!(text(&own.stderr), named(&docker.stderr), "{words:?}");
    assert_eq!(own.status.code(), docker.status.code(), "{words:?}");
}

fn split(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[test]
fn lists_and_documents() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let run =
        ["run", "-d", "--name", "web", "-p", "127.0.0.1:0:80", "-l", "a=b", "-v", "data:/data"];
    drop(brig.ok(
        &[&run[..], &["busybox", "sh", "-c", "echo one; echo two >&2; exec sleep 600"]].concat(),
    ));
    drop(brig.ok(&["create", "--name", "idle", "busybox", "true"]));
    for line in [
        "ps --no-trunc -q",
        "ps -a --filter name=idle --format {{.Names}}:{{.Status}}",
        "images",
        "images -q --no-trunc",
        "images --digests",
        "images --format json",
        "images nosuch",
        "inspect web",
        "inspect --type image busybox",
        "inspect -f {{.Config.Env}}{{.HostConfig.Binds}}{{.HostConfig.CapAdd}}{{.Config.Labels}} web",
        "inspect -f {{json .NetworkSettings}} web",
        "container inspect nosuch",
        "image inspect nosuch",
        "history --format json busybox",
        "history --no-trunc busybox",
        "network ls",
        "network inspect bridge",
        "network inspect nosuch",
        "volume ls",
        "volume ls --format json",
        "volume inspect data",
        "volume inspect nosuch",
        "port web",
        "port web 81",
        "port web 80/tcp",
        "logs web",
        "logs -t -n 1 web",
        "top web -o pid,comm",
        "stats --no-stream --format {{.Name}}:{{.ID}}",
        "system df --format {{.Type}}:{{.TotalCount}}:{{.Active}}",
        "info --format {{.ID}}{{.Driver}}{{.NCPU}}",
        "version --format {{.Server.Version}}",
    ] {
        check(&brig, &split(line));
    }
    check(
        &brig,
        &["ps", "--format", "table {{.Names}}\\t{{.Image}}\\t{{.Label \"a\"}}\\t{{.Mounts}}"],
    );
    check(
        &brig,
        &["inspect", "-f", "{{range $k, $v := .Config.Labels}}{{$k}}={{upper $v}}{{end}}", "web"],
    );
}

#[test]
fn complaints_and_exit_codes() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    drop(brig.ok(&["run", "-d", "--name", "web", "busybox", "sleep", "600"]));
    for line in [
        "rm web",
        "rm nosuch",
        "rm -f nosuch",
        "start nosuch",
        "stop nosuch other",
        "kill nosuch",
        "kill -s NOSUCH web",
        "wait nosuch",
        "logs nosuch",
        "top nosuch",
        "exec nosuch true",
        "attach nosuch",
        "unpause web",
        "rmi nosuch",
        "rmi busybox",
        "tag nosuch x",
        "volume rm nosuch",
        "run",
        "run --nosuch busybox",
        "run -m x busybox",
        "run -it busybox",
        "run --rm --restart always busybox",
        "run --rm --name web busybox true",
        "run --rm busybox nosuch-command",
        "run --pull never nosuch",
        "ps extra",
        "logs",
        "exec web",
        "network inspect",
    ] {
        check(&brig, &split(line));
    }
    for (line, code) in
        [("run --rm busybox sh -c exit\u{a0}3", 3), ("exec web sh -c exit\u{a0}4", 4)]
    {
        let words: Vec<String> = line.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        check(&brig, &words);
        assert_eq!(brig.output(&words).status.code(), Some(code));
    }
}
