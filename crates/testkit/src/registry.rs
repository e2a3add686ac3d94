//! Debian's `docker-registry` on loopback, with storage of its own.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::image::Layout;
use crate::process::{Background, eventually, free_port};

/// A running registry; it ends and its storage goes on drop.
#[derive(Debug)]
pub struct Registry {
    address: String,
    server: Background,
    directory: tempfile::TempDir,
}

impl Registry {
    /// An open registry on a free port of 127.0.0.1.
    #[must_use]
    pub fn start() -> Self {
        Self::with_authentication(None)
    }

    /// A registry that asks for this user name and password (HTTP basic authentication).
    #[must_use]
    pub fn with_authentication(credentials: Option<(&str, &str)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: \"{address}\"}}\n",
            directory.path().join("storage").display()
        );
        if let Some((user, password)) = credentials {
            let file = directory.path().join("htpasswd");
            stdx::process::output(
                stdx::process::command("htpasswd").args(["-Bbc"]).arg(&file).args([user, password]),
            )
            .unwrap();
            config += &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display());
        }
        let path = directory.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let server = Background::start(
            stdx::process::command("docker-registry")
                .arg("serve")
                .arg(path)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        eventually("the registry answers", Duration::from_secs(20), || {
            std::net::TcpStream::connect(&address).ok()
        });
        Self { address, server, directory }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where the registry keeps its blobs, to spoil them in a test.
    #[must_use]
    pub fn storage(&self) -> std::path::PathBuf {
        self.directory.path().join("storage")
    }

    /// The server's process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.server.id()
    }

    /// Pushes an image layout as `repository:tag`.
    pub fn push(&self, layout: &Layout, name: &str) {
        self.push_from(layout.path(), name, None);
    }

    /// Pushes with credentials.
    pub fn push_from(&self, layout: &Path, name: &str, credentials: Option<(&str, &str)>) {
        let mut command = stdx::process::command("skopeo");
        command.args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]);
        if let Some((user, password)) = credentials {
            command.arg(format!("--dest-creds={user}:{password}"));
        }
        command
            .arg(format!("oci:{}", layout.display()))
            .arg(format!("docker://{}/{name}", self.address));
        stdx::process::output(&mut command).unwrap();
    }
}
