//! Root file systems and OCI image layouts made from Debian packages: no registry is needed.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Fills `directory` with a root file system of Debian's static busybox, every applet linked.
pub fn busybox_root(directory: &Path) {
    for name in ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"] {
        fs::create_dir_all(directory.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", directory.join("bin/busybox")).unwrap();
    let list = stdx::process::output(stdx::process::command("/bin/busybox").arg("--list")).unwrap();
    for applet in String::from_utf8(list.stdout).unwrap().lines() {
        if applet != "busybox" {
            symlink("busybox", directory.join("bin").join(applet)).unwrap();
        }
    }
    fs::write(
        directory.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nbin:x:2:2:bin:/bin:/bin/false\napp:x:1000:1000::/tmp:/bin/sh\n",
    )
    .unwrap();
    fs::write(directory.join("etc/group"), "root:x:0:\nbin:x:2:\nstaff:x:50:app\napp:x:1000:\n")
        .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(directory.join("tmp"), mode).unwrap();
}

/// What an image says about how to run it, beside its layers.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `Cmd`.
    pub command: Vec<String>,
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Env`.
    pub environment: Vec<String>,
    /// `User`.
    pub user: String,
    /// `WorkingDir`.
    pub working_directory: String,
    /// `Volumes`.
    pub volumes: Vec<String>,
    /// `Labels`.
    pub labels: Vec<(String, String)>,
}

/// One OCI image layout on disk, as `skopeo copy oci:DIR` reads it.
#[derive(Debug)]
pub struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// Writes a layout with one gzip layer per root directory, lowest first.
    #[must_use]
    pub fn write(directory: &Path, roots: &[&Path], settings: &Settings) -> Self {
        fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        let layout = Self { directory: directory.to_path_buf() };
        let layers: Vec<Layer> = roots.iter().map(|root| layout.layer(root)).collect();
        layout.finish(&layers, settings);
        layout
    }

    /// The layout's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    fn layer(&self, root: &Path) -> Layer {
        let mut tar = tar::Builder::new(Vec::new());
        tar.follow_symlinks(false);
        tar.append_dir_all(".", root).unwrap();
        let tar = tar.into_inner().unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&tar).unwrap();
        let (digest, size) = self.blob(&encoder.finish().unwrap());
        Layer { digest, size, diff_id: sha256(&tar) }
    }

    fn finish(&self, layers: &[Layer], settings: &Settings) {
        let config = serde_json::json!({
            "architecture": architecture(), "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": {
                "Cmd": settings.command, "Entrypoint": settings.entrypoint,
                "Env": if settings.environment.is_empty() {
                    vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()]
                } else { settings.environment.clone() },
                "User": settings.user, "WorkingDir": settings.working_directory,
                "Volumes": settings.volumes.iter().map(|path| (path.clone(), serde_json::json!({})))
                    .collect::<serde_json::Map<_, _>>(),
                "Labels": settings.labels.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            },
            "rootfs": { "type": "layers",
                "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>() },
            "history": layers.iter().map(|_| serde_json::json!({ "created_by": "testkit" })).collect::<Vec<_>>(),
        });
        let (config, config_size) = self.blob(config.to_string().as_bytes());
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config, "size": config_size },
            "layers": layers.iter().map(|layer| serde_json::json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": layer.digest, "size": layer.size })).collect::<Vec<_>>(),
        });
        let (manifest, manifest_size) = self.blob(manifest.to_string().as_bytes());
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": manifest, "size": manifest_size,
                "platform": { "architecture": architecture(), "os": "linux" } }],
        });
        fs::write(self.directory.join("index.json"), index.to_string()).unwrap();
        fs::write(self.directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }

    fn blob(&self, bytes: &[u8]) -> (String, usize) {
        let digest = sha256(bytes);
        let name = digest.trim_start_matches("sha256:");
        fs::write(self.directory.join("blobs/sha256").join(name), bytes).unwrap();
        (digest, bytes.len())
    }
}

struct Layer {
    digest: String,
    size: usize,
    diff_id: String,
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", stdx::hex::encode(&Sha256::digest(bytes)))
}

const fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// A small busybox image in `directory`.
#[must_use]
pub fn busybox(directory: &Path) -> Layout {
    let root = directory.join("root");
    busybox_root(&root);
    let settings = Settings { command: vec!["sh".to_owned()], ..Settings::default() };
    let layout = Layout::write(&directory.join("layout"), &[&root], &settings);
    fs::remove_dir_all(root).unwrap();
    layout
}

/// A Debian root with Python that stands for `python:3.11-slim`; made once and kept in the cache.
#[must_use]
pub fn python() -> Layout {
    let directory = crate::cache_directory().join("python");
    let layout = Layout { directory: directory.join("layout") };
    // Test binaries run one after the other, but the tests of one run at once.
    let lock = File::create(crate::cache_directory().join("python.lock")).unwrap();
    lock.lock().unwrap();
    if layout.directory.join("index.json").exists() {
        return layout;
    }
    drop(fs::remove_dir_all(&directory));
    fs::create_dir_all(&directory).unwrap();
    let root = directory.join("root");
    stdx::process::output(
        stdx::process::command("debootstrap")
            .args(["--variant=minbase", "--include=python3-minimal,libpython3-stdlib", "bookworm"])
            .arg(&root),
    )
    .unwrap();
    symlink("../../bin/python3", root.join("usr/local/bin/python")).unwrap();
    for emptied in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        drop(fs::remove_dir_all(root.join(emptied)));
    }
    let settings = Settings { command: vec!["python3".to_owned()], ..Settings::default() };
    let layout = Layout::write(&layout.directory, &[&root], &settings);
    fs::remove_dir_all(root).unwrap();
    layout
}
