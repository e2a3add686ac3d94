//! Further processes in a running container.

use engine::Error;
use engine::container::{ExecSpec, ExecStart};
use linux::process::SingleThreaded;
use testkit::forked::Test;

use crate::attach::converse;
use crate::world::test;

pub(crate) const TESTS: &[Test] = &[
    ("exec::output_and_status", output_and_status),
    ("exec::users_and_failures", users_and_failures),
];

fn exec(script: &str) -> ExecSpec {
    ExecSpec {
        command: vec!["sh".into(), "-c".into(), script.into()],
        stdin: true,
        stdout: true,
        stderr: true,
        ..ExecSpec::default()
    }
}

fn output_and_status(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create("sleep 1000; true").await;
        let containers = world.engine().containers();
        assert!(matches!(containers.exec_create(&id, exec("true")).await, Err(Error::Conflict(_))));
        containers.start(&id).await.unwrap();
        let exec = containers.exec_create(&id, exec("cat; exit 9")).await.unwrap();
        let session = containers.exec_start(&exec, ExecStart::default()).await.unwrap().unwrap();
        let (_, output) = converse(session, b"through").await;
        assert_eq!(output, b"\x01\0\0\0\0\0\0\x07through");
        let inspect = containers.exec_inspect(&exec).await.unwrap();
        assert_eq!((inspect.running, inspect.exit_code), (false, Some(9)));
        let again = containers.exec_start(&exec, ExecStart::default()).await;
        assert!(matches!(again, Err(Error::Conflict(_))));
    });
}

fn users_and_failures(token: &SingleThreaded) {
    test(token, async |world| {
        let id = world.create("sleep 1000; true").await;
        let containers = world.engine().containers();
        containers.start(&id).await.unwrap();
        let mut spec = exec("id -u; id -g; echo $HOME; pwd");
        spec.user = Some("app".into());
        spec.working_directory = Some("/etc".into());
        let made = containers.exec_create(&id, spec).await.unwrap();
        let session = containers.exec_start(&made, ExecStart::default()).await.unwrap().unwrap();
        let (_, output) = converse(session, b"").await;
        let text: String = String::from_utf8_lossy(&output)
            .chars()
            .filter(|c| !c.is_control() || *c == '\n')
            .collect();
        for line in ["1000", "/tmp", "/etc"] {
            assert!(text.contains(line), "{text}");
        }
        let mut spec = exec("");
        spec.command = vec!["/nowhere".into()];
        let made = containers.exec_create(&id, spec).await.unwrap();
        // The client's stream has begun by then, so it is told there, as Docker does.
        let session = containers.exec_start(&made, ExecStart::default()).await.unwrap().unwrap();
        let (_, output) = converse(session, b"").await;
        let text = String::from_utf8_lossy(&output);
        assert!(text.contains("/nowhere") && text.ends_with("\r\n"), "{text}");
        assert_eq!(containers.exec_inspect(&made).await.unwrap().exit_code, Some(127));
        let mut spec = exec("true");
        spec.user = Some("nobody-here".into());
        let made = containers.exec_create(&id, spec).await.unwrap();
        let error = containers.exec_start(&made, ExecStart::default()).await.unwrap_err();
        assert!(error.to_string().contains("unable to find user nobody-here"), "{error}");
        let mut spec = exec("exit 0");
        (spec.stdin, spec.stdout, spec.stderr) = (false, false, false);
        let made = containers.exec_create(&id, spec).await.unwrap();
        let detached = ExecStart { detach: true, size: None };
        assert!(containers.exec_start(&made, detached).await.unwrap().is_none());
    });
}
