//! `/containers/{id}/exec` and `/exec/{id}/…`.

use docker_api::exec as wire;
use engine::container::{ExecInspect, ExecSpec};

use super::create::non_empty;
use crate::http::Refusal;

/// What is to be run.
pub(crate) fn spec(request: wire::CreateRequest) -> Result<ExecSpec, Refusal> {
    if request.cmd.is_empty() {
        return Err(Refusal::invalid("No exec command specified"));
    }
    Ok(ExecSpec {
        command: request.cmd,
        environment: request.env,
        working_directory: non_empty(&request.working_dir),
        user: non_empty(&request.user),
        privileged: request.privileged,
        terminal: request.tty,
        stdin: request.attach_stdin,
        stdout: request.attach_stdout,
        stderr: request.attach_stderr,
        detach_keys: non_empty(&request.detach_keys),
    })
}

/// What is known of an exec.
pub(crate) fn inspect(view: ExecInspect) -> wire::Inspect {
    let spec = view.spec;
    let mut command = spec.command.into_iter();
    wire::Inspect {
        id: view.id,
        running: view.running,
        exit_code: view.exit_code.map(i64::from),
        process_config: wire::ProcessConfig {
            tty: spec.terminal,
            entrypoint: command.next().unwrap_or_default(),
            arguments: command.collect(),
            privileged: Some(spec.privileged),
            user: spec.user.unwrap_or_default(),
        },
        open_stdin: spec.stdin,
        open_stderr: spec.stderr,
        open_stdout: spec.stdout,
        can_remove: view.can_remove,
        container_id: view.container_id,
        detach_keys: spec.detach_keys.unwrap_or_default(),
        pid: i64::from(view.pid),
    }
}
