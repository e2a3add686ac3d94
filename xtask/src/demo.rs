//! `cargo xtask demo`: a developer's afternoon on the screen, against a real registry.

use std::fs;
use std::path::Path;

use testkit::{Brig, Registry, image};

use crate::{Result, peers, release};

const APPLICATION: &str = "\
import http.server
class Page(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'a page from python\\n')
print('listening on 8080', flush=True)
http.server.HTTPServer(('', 8080), Page).serve_forever()
";

/// Shows every step of the tour with its output; ends at the first that fails.
pub(crate) fn run() -> Result<()> {
    peers::install()?;
    let brig = Brig::new(&release::build()?.brig.display().to_string());
    let registry = Registry::start();
    registry.push(&image::python(), "library/python:3.11-slim");
    brig.mirror_docker_io(registry.address());
    let application = tempfile::tempdir()?;
    fs::write(application.path().join("app.py"), APPLICATION)?;
    tour(&brig, application.path())
}

fn tour(brig: &Brig, application: &Path) -> Result<()> {
    let port = testkit::process::free_port().to_string();
    let publish = format!("{port}:8080");
    let bind = format!("{}:/app", application.display());
    let python = "python:3.11-slim";
    let steps: [&[&str]; 12] = [
        &["run", "--rm", "hello"],
        &["pull", python],
        &["images"],
        &[
            "run", "-d", "-p", &publish, "--name", "web", "-v", &bind, "-w", "/app", python,
            "python", "app.py",
        ],
        &["ps"],
        &["port", "web"],
        &[
            "exec",
            "web",
            "python",
            "-c",
            "import urllib.request as u; print(u.urlopen('http://web:8080').read())",
        ],
        &["logs", "web"],
        &["top", "web"],
        &["stats", "--no-stream"],
        &["stop", "-t", "1", "web"],
        &["rm", "web"],
    ];
    for step in steps {
        println!("\n$ brig {}", step.join(" "));
        let status = brig.command(step).status()?;
        if !status.success() {
            return Err(format!("brig {} ended with {status}", step.join(" ")).into());
        }
    }
    Ok(())
}
