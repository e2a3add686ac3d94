//! A root, a launcher and an engine for one test.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::container::{LogQuery, RemoveOptions, WaitCondition, WaitOutcome};
use engine::{ContainerSpec, Engine, EngineOptions};
use futures_util::FutureExt;
use linux::process::{Namespaces, SingleThreaded, unshare};
use monitor::client::Launcher;
use monitor::launcher;
use tempfile::TempDir;

/// Nothing in a test takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    engine: Option<Arc<Engine>>,
    pub(crate) root: TempDir,
    spare: Vec<Launcher>,
}

/// Runs a test in a world with a busybox image called `busybox`.
pub(crate) fn test(token: &SingleThreaded, body: impl AsyncFnOnce(&mut World)) {
    unshare(token, Namespaces::NETWORK).unwrap();
    let start = || launcher::start(token, launcher::Options::default()).unwrap();
    let mut launchers = vec![start(), start(), start()];
    let root = tempfile::Builder::new().prefix("brig-test-").tempdir().unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = open(&root, launchers.pop().unwrap()).await;
        let mut world = World { engine: Some(engine), root, spare: launchers };
        world.load().await;
        let body = std::panic::AssertUnwindSafe(tokio::time::timeout(PATIENCE, body(&mut world)));
        let result = body.catch_unwind().await;
        let instance = world.engine().system().facts().await.unwrap().instance;
        for container in world.engine().containers().list(&all()).await.unwrap() {
            let options = RemoveOptions { force: true, volumes: true };
            world.engine().containers().remove(&container.id, options).await.unwrap();
        }
        world.engine().stop_containers().await;
        world.engine().shutdown().await;
        for launcher in &world.spare {
            launcher.shutdown().unwrap();
        }
        let group = format!("/brig-{}", &instance[..6]);
        let layout = linux::cgroup::Layout::detect().unwrap();
        assert!(linux::cgroup::Group::open(layout, &group).is_err(), "control groups stayed");
        match result {
            Ok(in_time) => in_time.expect("the test ends in time"),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
}

pub(crate) fn all() -> engine::ListFilter {
    engine::ListFilter { all: true, ..engine::ListFilter::default() }
}

async fn open(root: &TempDir, launcher: Launcher) -> Arc<Engine> {
    open_as(root, launcher, testkit::forked::executable()).await
}

async fn open_as(root: &TempDir, launcher: Launcher, executable: PathBuf) -> Arc<Engine> {
    Engine::open(EngineOptions {
        relaunch: None,
        layout: storage::Layout::at_root(root.path()),
        launcher,
        registry: registry::Config::default(),
        executable,
    })
    .await
    .unwrap()
}

impl World {
    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    async fn load(&self) {
        let directory = tempfile::tempdir().unwrap();
        let layout = testkit::image::busybox(directory.path());
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_dir_all(".", layout.path()).unwrap();
        let archive = Cursor::new(archive.into_inner().unwrap());
        let image = self.engine().images().load(Box::new(archive)).finish().await.unwrap().unwrap();
        let name = "busybox:latest".parse().unwrap();
        self.engine().images().tag(image.as_str(), &name).await.unwrap();
    }

    /// Ends the engine as a daemon that is stopped, and opens the root again.
    pub(crate) async fn reopen(&mut self) {
        self.reopen_after(|| ()).await;
    }

    /// The same, by a program that does not know its path.
    pub(crate) async fn reopen_without_path(&mut self) {
        self.engine().shutdown().await;
        let launcher = self.spare.pop().unwrap();
        self.engine = None;
        self.engine = Some(open_as(&self.root, launcher, PathBuf::from("/")).await);
    }

    /// The same, with something done while there is no engine.
    pub(crate) async fn reopen_after(&mut self, meanwhile: impl FnOnce()) {
        self.engine().shutdown().await;
        let launcher = self.spare.pop().unwrap();
        // The root's lock goes with the engine.
        self.engine = None;
        meanwhile();
        self.engine = Some(open(&self.root, launcher).await);
    }

    /// Makes a container of the busybox image that runs `sh -c script`.
    pub(crate) async fn create(&self, script: &str) -> String {
        self.create_with(script, |_| ()).await
    }

    /// The same, with options changed.
    pub(crate) async fn create_with(
        &self,
        script: &str,
        change: impl FnOnce(&mut ContainerSpec),
    ) -> String {
        let mut spec = sh(script);
        change(&mut spec);
        self.engine().containers().create(spec).await.unwrap().id
    }

    /// Makes and starts a container, waits for its end, gives its exit status and its output.
    pub(crate) async fn run(
        &self,
        script: &str,
        change: impl FnOnce(&mut ContainerSpec),
    ) -> (i32, String) {
        let id = self.create_with(script, change).await;
        let containers = self.engine().containers();
        containers.start(&id).await.unwrap();
        let code = self.wait(&id, WaitCondition::NotRunning).await.exit_code;
        let output = self.logs(&id).await;
        containers.remove(&id, RemoveOptions::default()).await.unwrap();
        (code, output)
    }

    pub(crate) async fn wait(&self, id: &str, condition: WaitCondition) -> WaitOutcome {
        self.engine().containers().wait(id, condition).await.unwrap().outcome().await
    }

    pub(crate) async fn logs(&self, id: &str) -> String {
        let query = LogQuery { stdout: true, stderr: true, ..LogQuery::default() };
        let mut logs = self.engine().containers().logs(id, query).await.unwrap();
        let mut text = Vec::new();
        while let Some(entry) = logs.next().await {
            text.extend(entry.unwrap().bytes);
        }
        String::from_utf8(text).unwrap()
    }
}

pub(crate) fn sh(script: &str) -> ContainerSpec {
    ContainerSpec {
        image: "busybox".into(),
        command: Some(vec!["sh".into(), "-c".into(), script.into()]),
        ..ContainerSpec::default()
    }
}
