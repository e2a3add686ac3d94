//! HTTPS with a certificate authority of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use registry::Client;
use testkit::Registry;
use testkit::image::Layout;
use testkit::process::{Background, eventually, free_port};

use crate::pull::{config, layout, read_layers, resolve};

/// Debian's registry, and another one on the same storage behind TLS, with a certificate for this host's two loopback addresses.
struct SecureRegistry {
    address: String,
    directory: tempfile::TempDir,
    plain: Registry,
    _server: Background,
}

impl SecureRegistry {
    fn start(host: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        certificates(directory.path());
        let plain = Registry::start();
        let port = free_port();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: \"{host}:{port}\"\n  tls: {{certificate: {}, key: {}}}\n",
            plain.storage().display(),
            path("server.pem").display(),
            path("server.key").display()
        );
        fs::write(path("config.yml"), config).unwrap();
        let server = Background::start(
            stdx::process::command("docker-registry")
                .arg("serve")
                .arg(path("config.yml"))
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let address = format!("{host}:{port}");
        eventually("the registry answers", Duration::from_secs(20), || {
            std::net::TcpStream::connect(&address).ok()
        });
        Self { address, directory, plain, _server: server }
    }

    fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    fn push(&self, layout: &Layout, name: &str) {
        self.plain.push(layout, name);
    }
}

/// An authority, and a certificate by it for both addresses.
fn certificates(directory: &Path) {
    let openssl = |arguments: &[&str]| {
        let mut command = stdx::process::command("openssl");
        stdx::process::output(command.current_dir(directory).args(arguments)).unwrap();
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = ["req", "-x509", "-subj", "/CN=test authority", "-days", "2"];
    let files = ["-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&authority[..], &key, &files].concat());
    let request = ["req", "-subj", "/CN=registry", "-keyout", "server.key", "-out", "server.csr"];
    openssl(&[&request[..], &key].concat());
    let names = "subjectAltName=IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth\n";
    fs::write(directory.join("names"), names).unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "server.pem",
    ]);
}

#[tokio::test]
async fn this_hosts_registry_by_tls_without_any_setting() {
    let directory = tempfile::tempdir().unwrap();
    let registry = SecureRegistry::start("127.0.0.1");
    registry.push(&layout(directory.path(), 1000), "app:1");
    let client = Client::new(config());
    let resolved = resolve(&client, &format!("{}/app:1", registry.address)).await.unwrap();
    read_layers(&client, &resolved).await.unwrap();
}

#[tokio::test]
async fn another_registry_needs_an_authority_that_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let registry = SecureRegistry::start("[::1]");
    registry.push(&layout(directory.path(), 1000), "app:1");
    let name = format!("{}/app:1", registry.address);
    let error = resolve(&Client::new(config()), &name).await.unwrap_err().to_string();
    let start = format!("cannot reach registry https://{}: TLS: ", registry.address);
    assert!(error.starts_with(&start), "{error}");
    assert!(error.contains("certificate"), "{error}");

    let authority = registry.authority();
    let trusting = config().with_certificate_authority(&registry.address, authority.clone());
    let client = Client::new(trusting);
    let resolved = resolve(&client, &name).await.unwrap();
    read_layers(&client, &resolved).await.unwrap();

    let mut careless = config();
    let text = format!("[registries.\"{}\"]\ninsecure = true\n", registry.address);
    careless.add_native(&text).unwrap();
    let client = Client::new(careless);
    let resolved = resolve(&client, &name).await.unwrap();
    read_layers(&client, &resolved).await.unwrap();

    let missing = config().with_certificate_authority(&registry.address, "/nonexistent".into());
    let error = resolve(&Client::new(missing), &name).await.unwrap_err().to_string();
    assert_eq!(error, "cannot use the certificate authority /nonexistent");
}

#[tokio::test]
async fn plain_http_is_not_spoken_to_a_registry_that_must_have_tls() {
    let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut first = [0; 1];
        std::io::Read::read_exact(&mut stream, &mut first).unwrap();
        first[0]
    });
    let mut config = config();
    config.retry.attempts = 1;
    let error = resolve(&Client::new(config), &format!("{address}/app")).await.unwrap_err();
    assert_eq!(thread.join().unwrap(), 22, "the first byte of a TLS handshake");
    assert!(error.to_string().starts_with(&format!("cannot reach registry https://{address}")));
}
