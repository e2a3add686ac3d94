//! Command lines and the request that each means.

use std::io;
use std::path::Path;

use clap::Parser;
use docker_api::container::CreateRequest;
use expect_test::{Expect, expect};

use super::{Mode, meant};
use crate::options::{ContainerOptions, Surroundings};

#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
struct Line {
    #[command(flatten)]
    options: ContainerOptions,
    #[arg(trailing_var_arg = true, required = true)]
    words: Vec<String>,
}

fn read(line: &[&str], mode: Mode) -> Result<CreateRequest, String> {
    let words = std::iter::once("run").chain(line.iter().copied());
    let command = crate::command::switches(<Line as clap::CommandFactory>::command());
    let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
    let line = <Line as clap::FromArgMatches>::from_arg_matches(&matches)
        .map_err(|error| error.to_string())?;
    let file = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let around = Surroundings {
        variable: &|name| (name == "HOME").then(|| "/root".to_owned()),
        read: &file,
        directory: Path::new("/here"),
    };
    let meant = meant(&line.options, &line.words, mode, &around)?;
    match meant.refused.first() {
        Some(option) => Err(format!("refused {option}")),
        None => Ok(meant.request),
    }
}

/// Compares what differs from the request that a bare `x` makes.
#[track_caller]
fn check(line: &[&str], expected: &Expect) {
    let plain = serde_json::to_value(read(&["x"], Mode::Attached).unwrap()).unwrap();
    let words: Vec<&str> = line.iter().copied().chain(["x"]).collect();
    let request = serde_json::to_value(read(&words, Mode::Attached).unwrap()).unwrap();
    let mut lines = Vec::new();
    differences("", &plain, &request, &mut lines);
    expected.assert_eq(&lines.join("\n"));
}

fn differences(
    path: &str,
    before: &serde_json::Value,
    after: &serde_json::Value,
    lines: &mut Vec<String>,
) {
    if let (Some(before), Some(after)) = (before.as_object(), after.as_object())
        && path.matches('.').count() < 2
    {
        for (key, value) in after {
            let known = before.get(key).unwrap_or(&serde_json::Value::Null);
            differences(&format!("{path}.{key}"), known, value, lines);
        }
    } else if before != after {
        lines.push(format!("{path} {after}"));
    }
}

#[track_caller]
fn fails(line: &[&str], expected: &str) {
    let words: Vec<&str> = line.iter().copied().chain(["x"]).collect();
    let error = read(&words, Mode::Attached).unwrap_err();
    assert!(error.contains(expected), "{line:?}: {error}");
}

#[test]
fn words_after_the_image_belong_to_the_container() {
    let request =
        read(&["-it", "--rm", "x", "--rm", "-e", "A=1", "--", "b"], Mode::Attached).unwrap();
    assert_eq!(request.config.image, "x");
    assert_eq!(request.config.cmd.unwrap().0, ["--rm", "-e", "A=1", "--", "b"]);
    assert!(request.config.tty && request.config.open_stdin && request.config.stdin_once);
    assert!(request.host_config.auto_remove);
    assert!(request.config.env.is_empty());
}

#[test]
fn streams() {
    let attached = |line: &[&str], mode| {
        let config = read(line, mode).unwrap().config;
        (config.attach_stdin, config.attach_stdout, config.attach_stderr, config.stdin_once)
    };
    assert_eq!(attached(&["x"], Mode::Attached), (false, true, true, false));
    assert_eq!(attached(&["-i", "x"], Mode::Attached), (true, true, true, true));
    assert_eq!(attached(&["-i", "x"], Mode::Detached), (false, false, false, false));
    assert_eq!(attached(&["-a", "stdout", "x"], Mode::Attached), (false, true, false, false));
    assert_eq!(attached(&["-a", "stdin", "-i", "x"], Mode::Attached), (true, false, false, true));
}

#[test]
fn processes() {
    check(
        &[
            "-e",
            "A=1",
            "-eHOME",
            "-e",
            "NOT",
            "-w",
            "/w",
            "-u",
            "1:2",
            "--entrypoint",
            "/e",
            "-l",
            "a=b",
            "--label=c",
        ],
        &expect![[r#"
            .Entrypoint ["/e"]
            .Env ["A=1","HOME=/root","NOT"]
            .Labels.a "b"
            .Labels.c ""
            .User "1:2"
            .WorkingDir "/w""#]],
    );
    check(&["--entrypoint", ""], &expect![[r#".Entrypoint [""]"#]]);
    check(
        &["--stop-signal", "INT", "--stop-timeout", "-1", "--init", "--restart", "on-failure:3"],
        &expect![[r#"
            .HostConfig.Init true
            .HostConfig.RestartPolicy {"MaximumRetryCount":3,"Name":"on-failure"}
            .StopSignal "INT"
            .StopTimeout -1"#]],
    );
    check(
        &["--health-cmd", "true", "--health-interval", "5s", "--health-retries=2"],
        &expect![[
            r#".Healthcheck {"Interval":5000000000,"Retries":2,"Test":["CMD-SHELL","true"]}"#
        ]],
    );
    check(&["--no-healthcheck"], &expect![[r#".Healthcheck {"Test":["NONE"]}"#]]);
}

#[test]
fn files_and_devices() {
    check(
        &[
            "-v",
            "/anon",
            "-v",
            "name:/n:ro",
            "-v",
            ".:/app",
            "--tmpfs",
            "/t:size=1m",
            "--read-only",
            "--shm-size",
            "1m",
        ],
        &expect![[r#"
            .HostConfig.Binds ["name:/n:ro","/here:/app"]
            .HostConfig.ReadonlyRootfs true
            .HostConfig.ShmSize 1048576
            .HostConfig.Tmpfs {"/t":"size=1m"}
            .Volumes {"/anon":{}}"#]],
    );
    check(
        &[
            "--device",
            "/dev/fuse",
            "--device",
            "v.com/c=d",
            "--device-cgroup-rule",
            "c 1:3 rwm",
            "--mount",
            "type=bind,src=/a,dst=/b",
        ],
        &expect![[r#"
            .HostConfig.DeviceCgroupRules ["c 1:3 rwm"]
            .HostConfig.DeviceRequests [{"Capabilities":[],"Count":0,"DeviceIDs":["v.com/c=d"],"Driver":"cdi","Options":{}}]
            .HostConfig.Devices [{"CgroupPermissions":"rwm","PathInContainer":"/dev/fuse","PathOnHost":"/dev/fuse"}]
            .HostConfig.Mounts [{"Source":"/a","Target":"/b","Type":"bind"}]"#]],
    );
}

#[test]
fn networks() {
    check(
        &[
            "-p",
            "8080:80",
            "-p",
            "127.0.0.1::53/udp",
            "--expose",
            "99",
            "-P",
            "--dns",
            "1.1.1.1",
            "--dns-search",
            ".",
            "--add-host",
            "a:1.2.3.4",
            "-h",
            "name",
        ],
        &expect![[r#"
            .ExposedPorts {"53/udp":{},"80/tcp":{},"99/tcp":{}}
            .HostConfig.Dns ["1.1.1.1"]
            .HostConfig.DnsSearch ["."]
            .HostConfig.ExtraHosts ["a:1.2.3.4"]
            .HostConfig.PortBindings {"53/udp":[{"HostIp":"127.0.0.1","HostPort":""}],"80/tcp":[{"HostIp":"","HostPort":"8080"}]}
            .HostConfig.PublishAllPorts true
            .Hostname "name""#]],
    );
    check(&["--net", "container:x"], &expect![[r#".HostConfig.NetworkMode "container:x""#]]);
    let request =
        read(&["--network", "n", "--network-alias", "a", "--ip", "10.0.0.2", "x"], Mode::Attached)
            .unwrap();
    let endpoint = request.networking_config.endpoints_config["n"].clone().unwrap();
    assert_eq!(endpoint.aliases, ["a"]);
    assert_eq!(endpoint.ipam_config.unwrap().ipv4_address, "10.0.0.2");
}

#[test]
fn limits() {
    check(
        &[
            "-m",
            "512m",
            "--memory-swap",
            "-1",
            "--memory-reservation=1g",
            "--cpus",
            "1.5",
            "-c",
            "512",
            "--pids-limit",
            "-1",
            "--ulimit",
            "nofile=1:2",
            "--oom-score-adj",
            "-500",
            "--oom-kill-disable",
            "--blkio-weight",
            "100",
            "--cpuset-cpus",
            "0,1",
            "--cpu-quota",
            "-1",
        ],
        &expect![[r#"
            .HostConfig.BlkioWeight 100
            .HostConfig.CpuQuota -1
            .HostConfig.CpuShares 512
            .HostConfig.CpusetCpus "0,1"
            .HostConfig.Memory 536870912
            .HostConfig.MemoryReservation 1073741824
            .HostConfig.MemorySwap -1
            .HostConfig.NanoCpus 1500000000
            .HostConfig.OomKillDisable true
            .HostConfig.OomScoreAdj -500
            .HostConfig.PidsLimit -1
            .HostConfig.Ulimits [{"Hard":2,"Name":"nofile","Soft":1}]"#]],
    );
}

#[test]
fn isolation() {
    check(
        &[
            "--cap-add",
            "NET_ADMIN",
            "--cap-drop=ALL",
            "--privileged",
            "--security-opt",
            "systempaths=unconfined",
            "--pid",
            "host",
            "--uts=host",
            "--ipc",
            "container:y",
            "--cgroupns",
            "private",
            "--userns",
            "host",
            "--sysctl",
            "net.core.somaxconn=1",
            "--annotation",
            "a=b",
            "--group-add",
            "9",
        ],
        &expect![[r#"
            .HostConfig.Annotations {"a":"b"}
            .HostConfig.CapAdd ["NET_ADMIN"]
            .HostConfig.CapDrop ["ALL"]
            .HostConfig.CgroupnsMode "private"
            .HostConfig.GroupAdd ["9"]
            .HostConfig.IpcMode "container:y"
            .HostConfig.MaskedPaths []
            .HostConfig.PidMode "host"
            .HostConfig.Privileged true
            .HostConfig.ReadonlyPaths []
            .HostConfig.Sysctls {"net.core.somaxconn":"1"}
            .HostConfig.UTSMode "host"
            .HostConfig.UsernsMode "host""#]],
    );
}

#[test]
fn switches_take_values() {
    check(&["--privileged=false", "-t=false", "--rm=true", "--rm=false"], &expect![""]);
    check(&["--init=true"], &expect![[".HostConfig.Init true"]]);
    check(&["--init"], &expect![[".HostConfig.Init true"]]);
    check(&["--init=false"], &expect![[".HostConfig.Init false"]]);
    check(&["--cpus", "1", "--cpus", "2"], &expect![[".HostConfig.NanoCpus 2000000000"]]);
}

#[test]
fn contradictions_are_refused() {
    fails(&["--rm", "--restart", "always"], "cannot specify both --restart and --rm");
    fails(&["--pid", "x"], "--pid: invalid PID mode");
    fails(&["--cgroupns", "x"], "--cgroupns: invalid CGROUP mode");
    fails(&["--log-driver", "none", "--log-opt", "a=b"], "invalid logging opts for driver none");
    fails(&["--no-healthcheck", "--health-cmd", "x"], "conflicts");
    fails(&["--sysctl", "x"], "must be name=value");
    fails(&["--link", "a:b"], "refused --link");
    fails(&["--isolation", "hyperv"], "refused --isolation");
    fails(&["-m", "lots"], "invalid size: 'lots'");
    fails(&["--health-interval", "1us"], "cannot be less than 1ms");
    fails(&["--security-opt", "seccomp=/none"], "opening seccomp profile");
    fails(&["--env-file", "none"], "open none: no such file or directory");
}
