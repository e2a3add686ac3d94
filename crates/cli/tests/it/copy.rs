//! Files into containers and out of them, by the stock docker CLI and docker-py; and that nobody gets
//! at the host's by it.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use testkit::{Brig, process};

use crate::BRIG;
use crate::damage::incompressible;
use crate::escapes::{SECRET, Victim, exchanging};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn copy(brig: &Brig, words: &[&str]) -> Output {
    brig.docker(&[&["cp", "-q"], words].concat())
}

fn copied(brig: &Brig, words: &[&str]) {
    let output = copy(brig, words);
    assert!(output.status.success(), "docker cp {words:?}: {}", text(&output));
}

/// One of each kind that a tree of a user's has.
fn tree(at: &Path) {
    fs::create_dir_all(at.join("deep/er")).unwrap();
    fs::create_dir(at.join("empty")).unwrap();
    fs::write(at.join("file"), "content").unwrap();
    fs::write(at.join("deep/er/large"), incompressible(3 << 20)).unwrap();
    fs::write(at.join("deep/nothing"), "").unwrap();
    fs::hard_link(at.join("file"), at.join("deep/same")).unwrap();
    symlink("../file", at.join("deep/link")).unwrap();
    symlink("/nowhere", at.join("dangling")).unwrap();
    let long = "n".repeat(150);
    fs::write(at.join("deep").join(long), "long").unwrap();
    fs::set_permissions(at.join("file"), PermissionsExt::from_mode(0o640)).unwrap();
    fs::set_permissions(at.join("empty"), PermissionsExt::from_mode(0o1777)).unwrap();
}

/// Names, kinds, modes, sizes, link targets, times and contents.
fn listing(at: &Path) -> String {
    let mut find = stdx::process::command("sh");
    find.current_dir(at).args([
        "-c",
        "find . -printf '%P %y %m %l %Ts\\n' | sort; \
        find . -type f -exec sha256sum {} + | sort -k 2",
    ]);
    text(&process::run(&mut find, Duration::from_secs(30)))
}

#[test]
fn trees_go_in_and_out_whatever_the_container_does() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    tree(&source);
    let wanted = listing(&source);
    drop(brig.ok(&["create", "--name", "made", "busybox", "sleep", "1000"]));
    drop(brig.ok(&["run", "-d", "--name", "runs", "busybox", "sleep", "1000"]));
    drop(brig.ok(&["run", "-d", "--name", "paused", "busybox", "sleep", "1000"]));
    drop(brig.ok(&["run", "--name", "ended", "busybox", "true"]));
    drop(brig.ok(&["pause", "paused"]));
    for name in ["made", "runs", "paused", "ended"] {
        copied(&brig, &[source.to_str().unwrap(), &format!("{name}:/opt")]);
        let out = directory.path().join(name);
        copied(&brig, &[&format!("{name}:/opt"), out.to_str().unwrap()]);
        assert_eq!(listing(&out), wanted, "{name}");
        // Once more, over what is there.
        copied(&brig, &[&format!("{}/.", source.display()), &format!("{name}:/opt")]);
        let one = directory.path().join("one");
        copied(&brig, &[&format!("{name}:/opt/file"), one.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(&one).unwrap(), "content");
    }
    drop(brig.ok(&["unpause", "paused"]));
    for name in ["made", "ended"] {
        drop(brig.ok(&["start", name]));
    }
    let look = "cat /opt/file; ls -ld /opt/file | cut -c 1-10; readlink /opt/deep/link";
    for name in ["made", "runs", "paused"] {
        let seen = brig.ok(&["exec", name, "sh", "-c", look]);
        assert_eq!(seen, "content-rw-r-----\n../file", "{name}");
    }
    drop(brig.ok(&["rm", "-f", "made", "runs", "paused", "ended"]));
}

#[test]
fn volumes_and_what_is_read_only() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "content").unwrap();
    let file = file.to_str().unwrap();
    let run = ["create", "--read-only", "-v", "open:/open", "-v", "closed:/closed:ro"];
    for (name, command) in [("ended", "true"), ("runs", "sleep")] {
        let create = [&run, &["--name", name, "busybox", command, "1000"][..]].concat();
        drop(brig.ok(&create));
        if name == "runs" {
            drop(brig.ok(&["start", name]));
        }
        copied(&brig, &[file, &format!("{name}:/open/{name}")]);
        for place in ["/tmp", "/closed"] {
            let refused = copy(&brig, &[file, &format!("{name}:{place}")]);
            let said = text(&refused);
            assert!(!refused.status.success() && said.contains("read-only"), "{place}: {said}");
        }
    }
    let seen = brig.ok(&[
        "run",
        "--rm",
        "-v",
        "open:/open",
        "busybox",
        "cat",
        "/open/ended",
        "/open/runs",
    ]);
    assert_eq!(seen, "contentcontent");
    drop(brig.ok(&["rm", "-f", "ended", "runs"]));
}

#[test]
fn dockers_words() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    drop(brig.ok(&[
        "run",
        "-d",
        "--name",
        "one",
        "busybox",
        "sh",
        "-c",
        "mkdir /d; ln -s /d/file /link; ln -s d /dir; echo content > /d/file; exec sleep 1000",
    ]));
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("full")).unwrap();
    for (words, why) in [
        (["one:/none", "x"], "Could not find the file /none in container one"),
        (["one:/d/file/x", "x"], "Could not find the file /d/file/x in container one"),
        (["none:/d", "x"], "No such container: none"),
        (["/etc/passwd", "one:/none/x/y"], "Could not find the file /none/x in container one"),
        (["/etc", "one:/d/file"], "cannot copy directory"),
    ] {
        let output = copy(&brig, &words);
        assert!(
            !output.status.success() && text(&output).contains(why),
            "{words:?}: {}",
            text(&output)
        );
    }
    copied(&brig, &["one:/link", &at("link")]);
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("/d/file"));
    copied(&brig, &["-L", "one:/link", &at("followed")]);
    assert_eq!(fs::read_to_string(at("followed")).unwrap(), "content\n");
    copied(&brig, &["one:/dir/", &at("dir")]);
    assert_eq!(fs::read_to_string(Path::new(&at("dir")).join("file")).unwrap(), "content\n");
    copied(&brig, &["/etc/hostname", "one:/dir/hostname"]);
    assert!(brig.ok(&["exec", "one", "ls", "/d"]).contains("hostname"));
    copied(&brig, &["-a", "/etc/hostname", "one:/d/archived"]);
    drop(brig.ok(&["rm", "-f", "one"]));
}

/// Docker's Python library, with a compressed archive and one that belongs to the container's user.
#[test]
fn dockers_python_library() {
    const SCRIPT: &str = r#"
import docker, io, sys, tarfile
client = docker.DockerClient(base_url=sys.argv[1])
one = client.containers.run('busybox', ['sleep', '1000'], detach=True, user='app')
def archive(mode):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as tar:
        info = tarfile.TarInfo('put')
        info.size = 5
        tar.addfile(info, io.BytesIO(b'hello'))
    return data.getvalue()
assert one.put_archive('/tmp', archive('w:gz'))
chunks, stat = one.get_archive('/tmp/put')
assert (stat['name'], stat['size'], stat['linkTarget']) == ('put', 5, ''), stat
with tarfile.open(fileobj=io.BytesIO(b''.join(chunks))) as tar:
    assert tar.extractfile('put').read() == b'hello'
chunks, stat = one.get_archive('/etc')
assert stat['mode'] >> 31 == 1, stat
with tarfile.open(fileobj=io.BytesIO(b''.join(chunks))) as tar:
    assert 'etc/passwd' in tar.getnames()
response = client.api._put(client.api._url('/containers/{0}/archive', one.id),
    params={'path': '/tmp', 'copyUIDGID': 'true'}, data=archive('w'))
assert response.status_code == 200, response.text
assert one.exec_run(['stat', '-c', '%U', '/tmp/put']).output == b'app\n'
for params, status in [({'path': '/tmp/put'}, 400), ({'path': '/none'}, 404), ({}, 400),
                       ({'path': '/', 'noOverwriteDirNonDir': '1'}, 400)]:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w') as tar:
        tar.addfile(tarfile.TarInfo('tmp'))
    response = client.api._put(client.api._url('/containers/{0}/archive', one.id), params=params, data=data.getvalue())
    assert response.status_code == status, (params, response.status_code, response.text)
for wrong in [archive('w')[:600], b'x' * 2000, archive('w:bz2')]:
    response = client.api._put(client.api._url('/containers/{0}/archive', one.id), params={'path': '/tmp'}, data=wrong)
    assert response.status_code == 400, (response.status_code, response.text)
one.remove(force=True)
"#;
    let Some(python) = std::env::var_os("BRIG_TEST_PYTHON") else {
        testkit::skip("docker_py");
        return;
    };
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let mut script = stdx::process::command(python);
    script.args(["-c", SCRIPT, &format!("unix://{}", brig.socket().display())]);
    let output = process::run(script.stdin(Stdio::null()), Duration::from_secs(60));
    assert!(output.status.success(), "{}", text(&output));
}

/// Entries that would be somewhere else, by their names or by links before them.
/// More clients than the engine has places for work that blocks, and none of them reads.
#[test]
fn who_does_not_read_holds_nobody_up() {
    const CLIENTS: usize = 80;
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    drop(brig.ok(&["run", "-d", "--name", "one", "busybox", "sleep", "1000"]));
    let directory = tempfile::tempdir().unwrap();
    let large = directory.path().join("large");
    fs::write(&large, incompressible(4 << 20)).unwrap();
    copied(&brig, &[large.to_str().unwrap(), "one:/"]);
    let clients: Vec<UnixStream> = (0..CLIENTS)
        .map(|_| {
            let mut client = UnixStream::connect(brig.socket()).unwrap();
            let request = b"GET /containers/one/archive?path=/large HTTP/1.1\r\nHost: x\r\n\r\n";
            client.write_all(request).unwrap();
            // The answer has begun.
            client.read_exact(&mut [0; 12]).unwrap();
            client
        })
        .collect();
    assert_eq!(brig.ok(&["exec", "one", "echo", "here"]), "here");
    drop(brig.ok(&["run", "--rm", "busybox", "true"]));
    drop(brig.ok(&["stop", "-t", "0", "one"]));
    drop(clients);
    drop(brig.ok(&["rm", "one"]));
}

#[test]
fn hostile_archives() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let victim = Victim::new();
    let victim_path = victim.path().to_str().unwrap().to_owned();
    drop(brig.ok(&["run", "-d", "--name", "one", "busybox", "sleep", "1000"]));
    let directory = tempfile::tempdir().unwrap();
    let upwards = format!("../../../../../../../..{victim_path}");
    let link = |name: &str, target: &str, kind| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o777);
        (header, name.to_owned(), target.to_owned())
    };
    let archives = [
        vec![
            link("out", &victim_path, tar::EntryType::Symlink),
            link("out/made", "", tar::EntryType::Regular),
        ],
        vec![
            link("out", &upwards, tar::EntryType::Symlink),
            link("out/made", "", tar::EntryType::Directory),
        ],
        vec![link("hard", &format!("{victim_path}/secret"), tar::EntryType::Link)],
        vec![link("hard", &format!("{upwards}/secret"), tar::EntryType::Link)],
        vec![link("null", "", tar::EntryType::Char)],
    ];
    for (number, entries) in archives.iter().enumerate() {
        let path = directory.path().join(format!("{number}.tar"));
        let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
        for (header, name, target) in entries {
            let mut header = header.clone();
            match header.entry_type() {
                tar::EntryType::Symlink | tar::EntryType::Link => {
                    tar.append_link(&mut header, name, target).unwrap();
                }
                _ => tar.append_data(&mut header, name, std::io::empty()).unwrap(),
            }
        }
        // A name that climbs, written by hand as the library refuses to.
        let mut climbing = tar::Header::new_gnu();
        let name = format!("{upwards}/climbed");
        climbing.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        climbing.set_size(0);
        climbing.set_mode(0o644);
        climbing.set_cksum();
        tar.append(&climbing, std::io::empty()).unwrap();
        tar.finish().unwrap();
        let mut command = stdx::process::command("docker");
        command.env("DOCKER_HOST", format!("unix://{}", brig.socket().display()));
        command.args(["cp", "-", "one:/tmp"]).stdin(fs::File::open(&path).unwrap());
        let output = process::run(&mut command, Duration::from_secs(30));
        assert!(!output.status.success(), "{number}: {}", text(&output));
        victim.assert_untouched();
    }
    assert_eq!(brig.ok(&["exec", "one", "sh", "-c", "cat /tmp/hard 2>/dev/null; true"]), "");
    drop(brig.ok(&["rm", "-f", "one"]));
}

/// CVE-2018-15664, CVE-2026-41567, CVE-2026-41568: somebody in the container exchanges a directory for a
/// link that leads to the host, while files are copied in and out.
#[test]
fn what_is_exchanged_while_it_is_copied() {
    let brig = Brig::new(BRIG);
    brig.load_busybox();
    let victim = Victim::new();
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("made"), "made").unwrap();
    drop(brig.ok(&["volume", "create", "shared"]));
    let volume = brig.ok(&["volume", "inspect", "-f", "{{.Mountpoint}}", "shared"]);
    let volume = Path::new(&volume);
    fs::create_dir(volume.join("d")).unwrap();
    fs::write(volume.join("d/secret"), "the container's").unwrap();
    symlink(victim.path(), volume.join("l")).unwrap();
    drop(brig.ok(&["run", "-d", "--name", "runs", "-v", "shared:/v", "busybox", "sleep", "1000"]));
    drop(brig.ok(&["create", "--name", "made", "-v", "shared:/v", "busybox", "true"]));
    exchanging(&volume.join("d"), &volume.join("l"), || {
        let mut whole = 0;
        for turn in 0..40 {
            let name = if turn % 4 == 0 { "made" } else { "runs" };
            let out = directory.path().join("out");
            drop(copy(&brig, &[source.to_str().unwrap(), &format!("{name}:/v/d")]));
            drop(copy(&brig, &[&format!("{name}:/v/d/."), out.to_str().unwrap()]));
            drop(copy(&brig, &["-L", &format!("{name}:/v/d/secret"), out.to_str().unwrap()]));
            let seen = listing_of_contents(directory.path());
            assert!(!seen.contains(SECRET), "{seen}");
            whole += usize::from(seen.contains("the container's"));
            drop(fs::remove_dir_all(&out));
            drop(fs::remove_file(&out));
        }
        assert!(whole > 0, "nothing was ever copied");
    });
    victim.assert_untouched();
    drop(brig.ok(&["rm", "-f", "runs", "made"]));
}

fn listing_of_contents(at: &Path) -> String {
    let mut cat = stdx::process::command("sh");
    cat.current_dir(at).args(["-c", "find . -type f -exec cat {} +"]);
    text(&process::run(&mut cat, Duration::from_secs(30)))
}
