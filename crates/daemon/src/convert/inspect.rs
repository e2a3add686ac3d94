//! `GET /containers/{id}/json`.

use std::collections::BTreeMap;

use docker_api::container::{Config, Inspect, State};
use docker_api::image::GraphDriver;
use docker_api::{Empty, StringOrList};
use engine::Status;
use engine::container::{ContainerInspect, ContainerSpec, StateView, Stdin};

use super::limits::signed;
use super::{host_view, network, summary};

/// Everything about a container.
pub(crate) fn inspect(view: ContainerInspect) -> Inspect {
    let network_settings = network::settings(&view);
    let mut host_config = host_view::host_config(&view.spec.host);
    host_config.masked_paths = Some(view.masked_paths);
    host_config.readonly_paths = Some(view.read_only_paths);
    host_config.annotations.clone_from(&view.spec.annotations);
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    Inspect {
        created: view.created.into(),
        state: state(&view.state),
        image: view.image_id,
        resolv_conf_path: path(&view.resolv_conf_path),
        hostname_path: path(&view.hostname_path),
        hosts_path: path(&view.hosts_path),
        log_path: view.log_path.as_deref().map(path).unwrap_or_default(),
        name: format!("/{}", view.name),
        restart_count: i64::from(view.restart_count),
        driver: "overlay2".to_owned(),
        platform: view.platform,
        exec_ids: view.exec_ids,
        host_config,
        graph_driver: GraphDriver { data: view.overlay, name: "overlay2".to_owned() },
        size_rw: view.size_rw.map(|bytes| signed(Some(bytes))),
        size_root_fs: view.size_root.map(|bytes| signed(Some(bytes))),
        mounts: view.mounts.into_iter().map(summary::mount_point).collect(),
        config: config(view.spec, &view.id),
        network_settings,
        path: view.path,
        args: view.arguments,
        id: view.id,
        ..Inspect::default()
    }
}

fn state(view: &StateView) -> State {
    State {
        status: view.status.as_str().to_owned(),
        running: matches!(view.status, Status::Running | Status::Paused | Status::Restarting),
        paused: view.status == Status::Paused,
        restarting: view.status == Status::Restarting,
        oom_killed: view.oom_killed,
        dead: view.status == Status::Dead,
        pid: i64::from(view.pid),
        exit_code: i64::from(view.exit_code),
        error: view.error.clone(),
        started_at: view.started_at.into(),
        finished_at: view.finished_at.into(),
        health: None,
    }
}

fn config(spec: ContainerSpec, id: &str) -> Config {
    let set = |keys: Vec<String>| -> BTreeMap<String, Empty> {
        keys.into_iter().map(|key| (key, Empty {})).collect()
    };
    Config {
        hostname: spec.hostname.unwrap_or_else(|| id.get(..12).unwrap_or(id).to_owned()),
        domainname: spec.domainname.unwrap_or_default(),
        user: spec.user.unwrap_or_default(),
        attach_stdin: spec.attached.stdin,
        attach_stdout: spec.attached.stdout,
        attach_stderr: spec.attached.stderr,
        exposed_ports: set(spec.exposed_ports.iter().map(ToString::to_string).collect()),
        tty: spec.terminal,
        open_stdin: spec.stdin != Stdin::Closed,
        stdin_once: spec.stdin == Stdin::Open { once: true },
        env: spec.environment,
        cmd: spec.command.map(StringOrList),
        image: spec.image,
        volumes: set(spec.volumes.into_iter().collect()),
        working_dir: spec.working_directory.unwrap_or_default(),
        entrypoint: spec.entrypoint.map(StringOrList),
        labels: spec.labels,
        stop_signal: spec.stop_signal.unwrap_or_default(),
        stop_timeout: spec.stop_timeout,
        ..Config::default()
    }
}
