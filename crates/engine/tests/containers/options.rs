//! Options as the container sees them.

use engine::container::{MountKind, MountSpec, NetworkMode, Ulimit};
use linux::process::SingleThreaded;
use testkit::forked::Test;

use crate::world::{sh, test};

pub(crate) const TESTS: &[Test] = &[
    ("options::identity_and_environment", identity_and_environment),
    ("options::files_of_etc", files_of_etc),
    ("options::mounts", mounts),
    ("options::limits_and_rights", limits_and_rights),
    ("options::networks", networks),
    ("options::refused", refused),
    ("options::init_and_seccomp", init_and_seccomp),
];

fn identity_and_environment(token: &SingleThreaded) {
    test(token, async |world| {
        let (_, output) = world
            .run("id; pwd; hostname; echo $HOME $A $HOSTNAME", |spec| {
                spec.user = Some("app:staff".into());
                spec.working_directory = Some("/made/here".into());
                spec.hostname = Some("box".into());
                spec.environment = vec!["A=b c".into()];
                spec.host.group_add = vec!["bin".into()];
            })
            .await;
        let lines: Vec<&str> = output.lines().collect();
        assert!(lines[0].starts_with("uid=1000(app) gid=50(staff)"), "{output}");
        assert!(lines[0].contains("2(bin)"), "{output}");
        assert_eq!(lines[1..], ["/made/here", "box", "/tmp b c box"]);
    });
}

fn files_of_etc(token: &SingleThreaded) {
    test(token, async |world| {
        let (_, output) = world
            .run("cat /etc/hosts /etc/hostname /etc/resolv.conf", |spec| {
                spec.hostname = Some("box".into());
                spec.host.network.extra_hosts =
                    vec!["db:10.9.8.7".into(), "up:host-gateway".into()];
                spec.host.network.dns_search = vec!["lab.test".into()];
            })
            .await;
        for wanted in ["\tbox\n", "10.9.8.7\tdb\n", "\nnameserver ", "\nsearch lab.test\n"] {
            assert!(output.contains(wanted), "{wanted:?} in {output}");
        }
    });
}

fn mounts(token: &SingleThreaded) {
    test(token, async |world| {
        let host = world.root.path().join("made/by/bind");
        let bind = format!("{}:/bound", host.display());
        let script = "exec 2>&1; echo x > /bound/file; echo y > /vol/file; echo no > /ro/file; \
                      mount | grep ' /mem ' | cut -d' ' -f5; ls /etc-too | grep passwd";
        let (_, output) = world
            .run(script, |spec| {
                spec.host.binds = vec![bind.clone(), format!("{}:/ro:ro", host.display())];
                spec.host.binds.push("named:/vol".into());
                spec.host.tmpfs = [("/mem".into(), "size=1m".into())].into();
                spec.host.mounts = vec![MountSpec {
                    kind: MountKind::Volume,
                    target: "/etc-too".into(),
                    ..MountSpec::default()
                }];
            })
            .await;
        assert!(output.contains("Read-only file system"), "{output}");
        assert!(output.contains("tmpfs"), "{output}");
        assert!(!output.contains("passwd"), "nothing is copied from a path the image lacks");
        assert_eq!(std::fs::read_to_string(host.join("file")).unwrap(), "x\n");
        let (_, output) = world
            .run("cat /v/file; ls /v2", |spec| {
                spec.host.binds =
                    vec!["named:/v".into(), "filled:/etc".into(), "filled:/v2".into()];
            })
            .await;
        assert!(output.starts_with("y\n") && output.contains("passwd"), "{output}");
    });
}

fn limits_and_rights(token: &SingleThreaded) {
    test(token, async |world| {
        let script = "ulimit -n; grep CapEff /proc/self/status; touch /x 2>&1; echo $?; \
                      cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
        let (_, output) = world
            .run(script, |spec| {
                let resources = &mut spec.host.resources;
                resources.memory = Some(64 << 20);
                resources.pids_limit = Some(32);
                resources.nano_cpus = Some(500_000_000);
                resources.ulimits = vec![Ulimit { name: "nofile".into(), soft: 77, hard: 78 }];
                spec.host.security.read_only_root = true;
                spec.host.security.capabilities_drop = vec!["ALL".into()];
                spec.host.security.capabilities_add = vec!["NET_RAW".into()];
            })
            .await;
        assert!(output.starts_with("77\n"), "{output}");
        assert!(output.contains("CapEff:\t0000000000002000"), "{output}");
        assert!(output.contains("Read-only file system"), "{output}");
        assert!(output.ends_with("1\n0\n"), "{output}");
        let id = world
            .create_with("sleep 1000; true", |spec| {
                spec.host.resources.memory = Some(64 << 20);
            })
            .await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        let stats = containers.stats(&id).await.unwrap();
        assert_eq!(stats.memory.limit, 64 << 20);
        assert!(stats.memory.usage > 0 && stats.pids > Some(0), "{stats:?}");
        assert!(stats.networks.contains_key("eth0"), "{stats:?}");
    });
}

fn networks(token: &SingleThreaded) {
    test(token, async |world| {
        let (_, output) = world
            .run("ls /sys/class/net; ip route", |spec| {
                spec.host.network.mode = NetworkMode::None;
            })
            .await;
        assert_eq!(output, "lo\n");
        let id =
            world.create_with("sleep 1000; true", |spec| spec.name = Some("first".into())).await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        let address = containers.inspect(&id, false).await.unwrap().networks[0].ipv4.unwrap().0;
        let (_, output) = world
            .run("ip -4 addr show eth0; hostname", |spec| {
                spec.host.network.mode = NetworkMode::Container("first".into());
            })
            .await;
        assert!(output.contains(&address.to_string()), "{output}");
        assert!(output.contains(&id[..12]), "{output}");
        let (_, output) = world
            .run("ip link | grep -c brig", |spec| spec.host.network.mode = NetworkMode::Host)
            .await;
        assert_ne!(output, "0\n");
    });
}

fn init_and_seccomp(token: &SingleThreaded) {
    test(token, async |world| {
        let (code, output) = world
            .run("echo $$; grep Seccomp: /proc/self/status; exit 3", |spec| {
                spec.host.init = Some(true);
            })
            .await;
        assert_eq!(code, 3);
        assert!(output.starts_with("init 1\n2\nSeccomp:\t2\n"), "{output}");
        // A daemon whose program has no path any more gives its containers a copy.
        world.reopen_without_path().await;
        let (_, output) = world.run("true", |spec| spec.host.init = Some(true)).await;
        assert_eq!(output, "init 1\n");
        let (_, output) = world
            .run("grep Seccomp: /proc/self/status", |spec| {
                spec.host.security.options = vec!["seccomp=unconfined".into()];
            })
            .await;
        assert_eq!(output, "Seccomp:\t0\n");
        let (_, output) = world
            .run("mkdir /made 2>&1", |spec| {
                let deny = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                    {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
                spec.host.security.options = vec![format!("seccomp={deny}")];
            })
            .await;
        assert!(output.contains("can't create directory '/made'"), "{output}");
    });
}

fn refused(token: &SingleThreaded) {
    test(token, async |world| {
        let containers = world.engine().containers();
        let refuse = async |change: &dyn Fn(&mut engine::ContainerSpec)| {
            let mut spec = sh("true");
            change(&mut spec);
            containers.create(spec).await.unwrap_err().to_string()
        };
        let log = refuse(&|spec| spec.host.log.driver = "syslog".into()).await;
        assert!(log.contains("log driver 'syslog'"), "{log}");
        let capability =
            refuse(&|spec| spec.host.security.capabilities_add = vec!["NOPE".into()]).await;
        assert!(capability.contains("invalid capability"), "{capability}");
        let missing = refuse(&|spec| {
            let (source, target) = ("/not/there".into(), "/x".into());
            spec.host.mounts = vec![MountSpec { source, target, ..MountSpec::default() }];
        })
        .await;
        assert!(missing.contains("bind source path does not exist: /not/there"), "{missing}");
        let sysctl = refuse(&|spec| {
            spec.host.sysctls = [("kernel.panic".into(), "1".into())].into();
        })
        .await;
        assert!(sysctl.contains("kernel.panic"), "{sysctl}");
        assert!(containers.list(&crate::world::all()).await.unwrap().is_empty());
    });
}
