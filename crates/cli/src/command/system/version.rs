//! `brig version`

use clap::Parser;
use docker_api::{ApiVersion, Query};
use serde_json::json;

use crate::command::{Execute, Exit, document_format};
use crate::error::{Error, Result};
use crate::output;
use crate::output::template::{Functions, Value};
use crate::session::Session;

/// Show the version information of brig
#[derive(Debug, Parser)]
pub(crate) struct Version {
    /// Format output using a custom template: 'json' or a Go template
    #[arg(short, long)]
    format: Option<String>,
}

impl Execute for Version {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let template = document_format::template(self.format.as_deref())?;
        let (server, failure) = match server(session).await {
            Ok(server) => (server, None),
            Err(error) => (serde_json::Value::Null, Some(error)),
        };
        let document = json!({ "Client": client(), "Server": server });
        let text = match &template {
            Some(template) => template.render(&Value::from(document), Functions::Usual)? + "\n",
            None => human(&document),
        };
        output::write(&text)?;
        match failure {
            Some(error) => Err(error),
            None => Ok(Exit::SUCCESS),
        }
    }
}

async fn server(session: &Session) -> Result<serde_json::Value> {
    let client = session.client().await?;
    client.get("/version", &Query::new()).await.map_err(Error::Call)
}

fn client() -> serde_json::Value {
    json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": ApiVersion::NEWEST.to_string(),
        "DefaultAPIVersion": ApiVersion::NEWEST.to_string(),
        "Os": "linux",
        "Arch": oci::Platform::host().architecture,
        "Context": "default",
    })
}

fn human(document: &serde_json::Value) -> String {
    let mut text = String::from("Client:\n");
    let client = &document["Client"];
    row(&mut text, 1, "Version", &client["Version"]);
    row(&mut text, 1, "API version", &client["ApiVersion"]);
    row(&mut text, 1, "OS/Arch", &json!(platform(client)));
    let server = &document["Server"];
    if server.is_null() {
        return text;
    }
    let name = server["Platform"]["Name"].as_str().unwrap_or_default();
    text.push_str(&format!("\nServer: {name}\n").replace(": \n", ":\n"));
    let empty = Vec::new();
    for component in server["Components"].as_array().unwrap_or(&empty) {
        let is_engine = component["Name"] == "Engine";
        text.push_str(&format!(" {}:\n", component["Name"].as_str().unwrap_or_default()));
        row(&mut text, 2, "Version", &component["Version"]);
        if is_engine {
            let minimum = server["MinAPIVersion"].as_str().unwrap_or_default();
            let newest = server["ApiVersion"].as_str().unwrap_or_default();
            row(
                &mut text,
                2,
                "API version",
                &json!(format!("{newest} (minimum version {minimum})")),
            );
            row(&mut text, 2, "Git commit", &server["GitCommit"]);
            row(&mut text, 2, "Built", &server["BuildTime"]);
            row(&mut text, 2, "OS/Arch", &json!(platform(server)));
            row(&mut text, 2, "Kernel", &server["KernelVersion"]);
        }
    }
    text
}

fn platform(part: &serde_json::Value) -> String {
    let word = |name: &str| part[name].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", word("Os"), word("Arch"))
}

fn row(text: &mut String, indent: usize, name: &str, value: &serde_json::Value) {
    let value = value.as_str().unwrap_or_default();
    if !value.is_empty() {
        let name = format!("{name}:");
        text.push_str(&format!("{:indent$}{name:18} {value}\n", ""));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn client_and_server() {
        let server = json!({ "Platform": { "Name": "brig" }, "ApiVersion": "1.51",
            "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64",
            "Components": [{ "Name": "Engine", "Version": "0.1.0" }] });
        let text = super::human(&json!({ "Client": super::client(), "Server": server }));
        assert!(text.starts_with("Client:\n Version:           0.1.0\n"), "{text}");
        assert!(text.contains("\nServer: brig\n Engine:\n  Version:           0.1.0\n"), "{text}");
        assert!(text.contains("  API version:       1.51 (minimum version 1.24)\n"), "{text}");
    }
}
