//! The wire types as JSON: what Go writes is what we write, and what Go reads we read.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use docker_api::container::{
    Config, CreateRequest, HostConfig, Inspect, PortBinding, State, Stats, Summary, WaitResponse,
};
use docker_api::image::{Progress, ProgressDetail};
use docker_api::{ApiVersion, StringOrList, Time};
use expect_test::{Expect, expect};

fn check(value: &impl serde::Serialize, expected: &Expect) {
    expected.assert_eq(&serde_json::to_string(value).unwrap());
}

#[test]
fn nil_lists_are_null_and_others_empty() {
    check(
        &Summary::default(),
        &expect![[
            r#"{"Id":"","Names":[],"Image":"","ImageID":"","Command":"","Created":0,"Ports":[],"Labels":{},"State":"","Status":"","HostConfig":{},"NetworkSettings":{"Networks":{}},"Mounts":[]}"#
        ]],
    );
    check(
        &Config::default(),
        &expect![[
            r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{}}"#
        ]],
    );
    check(
        &HostConfig::default(),
        &expect![[
            r#"{"Binds":null,"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},"NetworkMode":"","PortBindings":{},"RestartPolicy":{"Name":"","MaximumRetryCount":0},"AutoRemove":false,"VolumeDriver":"","VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,"BlkioWeightDevice":[],"BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],"BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,"CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":[],"DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,"MemorySwappiness":null,"OomKillDisable":null,"PidsLimit":null,"Ulimits":[],"CpuCount":0,"CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,"ReadonlyPaths":null}"#
        ]],
    );
}

#[test]
fn times_have_goes_zero() {
    let started = "2024-02-03T04:05:06.070809Z".parse::<jiff::Timestamp>().unwrap();
    let state = State { started_at: started.into(), ..State::default() };
    check(
        &state,
        &expect![[
            r#"{"Status":"","Running":false,"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":0,"ExitCode":0,"Error":"","StartedAt":"2024-02-03T04:05:06.070809Z","FinishedAt":"0001-01-01T00:00:00Z"}"#
        ]],
    );
    for (text, zero) in [
        ("\"0001-01-01T00:00:00Z\"", true),
        ("\"\"", true),
        ("\"2024-02-03T05:05:06.1+01:00\"", false),
    ] {
        assert_eq!(serde_json::from_str::<Time>(text).unwrap().is_zero(), zero, "{text}");
    }
}

#[test]
fn null_absent_and_unknown_fields_are_read() {
    let text = r#"{"Cmd":"sh","Entrypoint":["/e","x"],"Env":null,"ExposedPorts":null,"Future":{"a":[1]},
        "HostConfig":{"Binds":null,"PortBindings":{"80/tcp":null,"53/udp":[{"HostPort":"53"}]},
        "Memory":null,"MaskedPaths":[],"Whatever":1},"NetworkingConfig":null}"#;
    let request: CreateRequest = serde_json::from_str(text).unwrap();
    assert_eq!(request.config.cmd, Some(StringOrList(vec!["sh".to_owned()])));
    assert_eq!(request.config.entrypoint.unwrap().0, ["/e", "x"]);
    let host = request.host_config;
    assert_eq!(host.masked_paths, Some(Vec::new()));
    assert_eq!(host.readonly_paths, None);
    assert_eq!(host.port_bindings["80/tcp"], None);
    let binding = PortBinding { host_ip: String::new(), host_port: "53".to_owned() };
    assert_eq!(host.port_bindings["53/udp"], Some(vec![binding]));
}

#[test]
fn everything_written_is_read_back() {
    fn back<T>(value: &T)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    }
    let config = Config { env: vec!["a=b".to_owned()], ..Config::default() };
    back(&CreateRequest { config, ..CreateRequest::default() });
    back(&Inspect::default());
    back(&Stats::default());
    back(&docker_api::system::Info::default());
    back(&docker_api::image::Inspect::default());
    back(&docker_api::network::Network::default());
    back(&docker_api::volume::ListResponse::default());
}

#[test]
fn streams_of_json() {
    let line = Progress {
        status: "Downloading".to_owned(),
        progress_detail: Some(ProgressDetail { current: 1, total: 2, ..ProgressDetail::default() }),
        id: "abc".to_owned(),
        ..Progress::default()
    };
    check(
        &line,
        &expect![[
            r#"{"status":"Downloading","progressDetail":{"current":1,"total":2},"id":"abc"}"#
        ]],
    );
    check(&WaitResponse { status_code: 137, error: None }, &expect![[r#"{"StatusCode":137}"#]]);
}

#[test]
fn versions_are_ordered_by_number() {
    let version = |text: &str| text.parse::<ApiVersion>().unwrap();
    assert!(version("1.9") < version("1.41") && version("1.41") < ApiVersion::NEWEST);
    assert_eq!(ApiVersion::NEWEST.to_string(), "1.51");
    for text in ["", "1", "1.x", "x.1", "1.2.3"] {
        assert!(text.parse::<ApiVersion>().is_err(), "{text}");
    }
}
