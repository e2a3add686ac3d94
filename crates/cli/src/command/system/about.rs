//! `brig info`

use clap::Parser;
use docker_api::Query;
use docker_api::system::Info;
use serde_json::json;
use stdx::units::format_bytes_binary;

use crate::command::{Execute, Exit, document_format};
use crate::error::{Error, Result};
use crate::output;
use crate::output::template::{Functions, Value};
use crate::session::Session;

/// Display system-wide information
#[derive(Debug, Parser)]
pub(crate) struct About {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
}

impl Execute for About {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let mut document: serde_json::Value = client.get("/info", &Query::new()).await?;
        let template = document_format::template(self.format.as_deref())?;
        if let Some(template) = template {
            if let Some(fields) = document.as_object_mut() {
                let client = json!({ "Version": env!("CARGO_PKG_VERSION"), "Context": "default",
                    "Debug": session.globals.debug, "Plugins": [], "Warnings": null });
                fields.insert("ClientInfo".to_owned(), client);
            }
            output::line(template.render(&Value::from(document), Functions::Usual)?)?;
            return Ok(Exit::SUCCESS);
        }
        let about: Info = serde_json::from_value(document).map_err(|source| {
            Error::Call(docker_api::Error::Decode { request: "GET /info".to_owned(), source })
        })?;
        output::write(&human(&about, session.globals.debug))?;
        for warning in &about.warnings {
            output::warn(warning);
        }
        Ok(Exit::SUCCESS)
    }
}

fn human(about: &Info, debug: bool) -> String {
    let mut lines = vec![
        "Client:".to_owned(),
        format!(" Version:    {}", env!("CARGO_PKG_VERSION")),
        " Context:    default".to_owned(),
        format!(" Debug Mode: {debug}"),
        String::new(),
        "Server:".to_owned(),
        format!(" Containers: {}", about.containers),
        format!("  Running: {}", about.containers_running),
        format!("  Paused: {}", about.containers_paused),
        format!("  Stopped: {}", about.containers_stopped),
        format!(" Images: {}", about.images),
        format!(" Server Version: {}", about.server_version),
        format!(" Storage Driver: {}", about.driver),
    ];
    lines.extend(about.driver_status.iter().map(|[name, value]| format!("  {name}: {value}")));
    lines.extend([
        format!(" Logging Driver: {}", about.logging_driver),
        format!(" Cgroup Driver: {}", about.cgroup_driver),
        format!(" Cgroup Version: {}", about.cgroup_version),
        " Plugins:".to_owned(),
        format!("  Volume: {}", about.plugins.volume.join(" ")),
        format!("  Network: {}", about.plugins.network.join(" ")),
        format!("  Log: {}", about.plugins.log.join(" ")),
        format!(" Swarm: {}", about.swarm.local_node_state),
        format!(" Runtimes: {}", about.runtimes.keys().cloned().collect::<Vec<_>>().join(" ")),
        format!(" Default Runtime: {}", about.default_runtime),
        format!(" Init Binary: {}", about.init_binary),
    ]);
    if !about.security_options.is_empty() {
        lines.push(" Security Options:".to_owned());
        lines.extend(about.security_options.iter().flat_map(|option| security(option)));
    }
    lines.extend(machine(about));
    lines.join("\n") + "\n"
}

fn machine(about: &Info) -> Vec<String> {
    let mut lines = vec![
        format!(" Kernel Version: {}", about.kernel_version),
        format!(" Operating System: {}", about.operating_system),
        format!(" OSType: {}", about.os_type),
        format!(" Architecture: {}", about.architecture),
        format!(" CPUs: {}", about.ncpu),
        format!(
            " Total Memory: {}",
            format_bytes_binary(u64::try_from(about.mem_total).unwrap_or_default())
        ),
        format!(" Name: {}", about.name),
        format!(" ID: {}", about.id),
        format!(" Docker Root Dir: {}", about.docker_root_dir),
        format!(" Debug Mode: {}", about.debug),
    ];
    for (name, proxy) in [
        ("HTTP Proxy", &about.http_proxy),
        ("HTTPS Proxy", &about.https_proxy),
        ("No Proxy", &about.no_proxy),
    ] {
        if !proxy.is_empty() {
            lines.push(format!(" {name}: {proxy}"));
        }
    }
    if !about.labels.is_empty() {
        lines.push(" Labels:".to_owned());
        lines.extend(about.labels.iter().map(|label| format!("  {label}")));
    }
    lines.push(format!(" Experimental: {}", about.experimental_build));
    if let Some(registries) = &about.registry_config {
        lines.push(" Insecure Registries:".to_owned());
        let insecure = registries.insecure_registry_cidrs.iter().map(|net| format!("  {net}"));
        lines.extend(insecure);
        if !registries.mirrors.is_empty() {
            lines.push(" Registry Mirrors:".to_owned());
            lines.extend(registries.mirrors.iter().map(|mirror| format!("  {mirror}")));
        }
    }
    lines.push(format!(" Live Restore Enabled: {}", about.live_restore_enabled));
    if let Some(firewall) = &about.firewall_backend {
        lines.push(format!(" Firewall Backend: {}", firewall.driver));
    }
    lines
}

/// `name=seccomp,profile=builtin` → `seccomp` and below it `Profile: builtin`.
fn security(option: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for part in option.split(',') {
        match part.split_once('=') {
            Some(("name", name)) => lines.push(format!("  {name}")),
            Some(("profile", profile)) => lines.push(format!("   Profile: {profile}")),
            Some((name, value)) => lines.push(format!("   {name}: {value}")),
            None => lines.push(format!("  {part}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use docker_api::system::Info;

    #[test]
    fn the_parts_of_an_engine() {
        let about = Info {
            containers: 3,
            security_options: vec!["name=seccomp,profile=builtin".to_owned()],
            mem_total: 1 << 30,
            ..Info::default()
        };
        let text = super::human(&about, false);
        assert!(text.contains("\nServer:\n Containers: 3\n  Running: 0\n"), "{text}");
        assert!(text.contains("\n  seccomp\n   Profile: builtin\n"), "{text}");
        assert!(text.contains("\n Total Memory: 1GiB\n"), "{text}");
    }
}
