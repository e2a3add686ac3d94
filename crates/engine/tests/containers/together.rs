//! Containers that need each other: joined namespaces, lent volumes.

use engine::Error;
use engine::container::{NamespaceMode, NetworkMode, RemoveOptions, RestartPolicy, WaitCondition};
use linux::process::SingleThreaded;
use testkit::forked::Test;

use crate::world::{sh, test};

pub(crate) const TESTS: &[Test] = &[
    ("together::a_lent_volume_stays_for_who_uses_it", a_lent_volume_stays_for_who_uses_it),
    ("together::what_is_joined_does_not_run", what_is_joined_does_not_run),
    ("together::an_old_failure_is_forgotten", an_old_failure_is_forgotten),
    ("together::joined_by_id", joined_by_id),
];

fn a_lent_volume_stays_for_who_uses_it(token: &SingleThreaded) {
    test(token, async |world| {
        let containers = world.engine().containers();
        let change = |spec: &mut engine::ContainerSpec| {
            spec.volumes = ["/lent".into()].into();
            spec.host.auto_remove = true;
        };
        let lender = world.create_with("echo kept > /lent/file", change).await;
        let borrow = |spec: &mut engine::ContainerSpec| {
            spec.host.volumes_from = vec![format!("{lender}:ro")];
        };
        let borrower = world.create_with("cat /lent/file; touch /lent/other", borrow).await;
        let removed = containers.wait(&lender, WaitCondition::Removed).await.unwrap();
        containers.start(&lender).await.unwrap();
        assert_eq!(removed.outcome().await.exit_code, 0);
        containers.start(&borrower).await.unwrap();
        let outcome = world.wait(&borrower, WaitCondition::NotRunning).await;
        let output = world.logs(&borrower).await;
        assert!(output.starts_with("kept\n") && output.contains("Read-only"), "{output}");
        assert_eq!(outcome.exit_code, 1);
        // It goes with the last one that has it.
        assert_eq!(world.engine().volumes().list().await.unwrap().len(), 1);
        let options = RemoveOptions { force: false, volumes: true };
        containers.remove(&borrower, options).await.unwrap();
        assert!(world.engine().volumes().list().await.unwrap().is_empty());
    });
}

fn what_is_joined_does_not_run(token: &SingleThreaded) {
    test(token, async |world| {
        let containers = world.engine().containers();
        let other = world.create("sleep 1000; true").await;
        let network = |spec: &mut engine::ContainerSpec| {
            spec.host.auto_remove = true;
            spec.host.network.mode = NetworkMode::Container(other.clone());
        };
        let processes = |spec: &mut engine::ContainerSpec| {
            spec.host.auto_remove = true;
            spec.host.pid_mode = NamespaceMode::Container(other.clone());
        };
        let ids =
            [world.create_with("true", network).await, world.create_with("true", processes).await];
        for id in ids {
            let removed = containers.wait(&id, WaitCondition::Removed).await.unwrap();
            let error = containers.start(&id).await.unwrap_err();
            assert!(error.to_string().contains("non running container"), "{error}");
            assert_eq!(removed.outcome().await.exit_code, 128);
        }
        // Nor does it stay when it cannot be started again.
        let joined = world.create_with("sleep 1000; true", network).await;
        for id in [&other, &joined] {
            containers.start(id).await.unwrap();
        }
        containers.kill(&other, None).await.unwrap();
        world.wait(&other, WaitCondition::NotRunning).await;
        let removed = containers.wait(&joined, WaitCondition::Removed).await.unwrap();
        assert!(containers.restart(&joined, None, Some(0)).await.is_err());
        removed.outcome().await;
    });
}

fn an_old_failure_is_forgotten(token: &SingleThreaded) {
    test(token, async |world| {
        let containers = world.engine().containers();
        let other = world.create("sleep 1000; true").await;
        let joins = |spec: &mut engine::ContainerSpec| {
            spec.host.network.mode = NetworkMode::Container(other.clone());
            // A start by hand that fails is for the hand to repeat.
            spec.host.restart = RestartPolicy::OnFailure { maximum: 1 };
        };
        let id = world.create_with("exit 0", joins).await;
        let waiter = containers.wait(&id, WaitCondition::NextExit).await.unwrap();
        assert!(containers.start(&id).await.is_err());
        let outcome = waiter.outcome().await;
        assert!(outcome.error.is_some_and(|error| error.contains("non running")));
        containers.start(&other).await.unwrap();
        let waiter = containers.wait(&id, WaitCondition::NextExit).await.unwrap();
        containers.start(&id).await.unwrap();
        let outcome = waiter.outcome().await;
        assert_eq!((outcome.exit_code, outcome.error), (0, None));
        let outcome = world.wait(&id, WaitCondition::NotRunning).await;
        assert_eq!((outcome.exit_code, outcome.error), (0, None));
    });
}

fn joined_by_id(token: &SingleThreaded) {
    test(token, async |world| {
        let containers = world.engine().containers();
        let join = |name: &str| {
            let mut spec = sh("true");
            spec.host.network.mode = NetworkMode::Container(name.to_owned());
            spec
        };
        let unknown = containers.create(join("nobody")).await;
        assert!(matches!(unknown, Err(Error::NoSuchContainer(_))));
        let named = |spec: &mut engine::ContainerSpec| spec.name = Some("one".into());
        let other = world.create_with("sleep 1000; true", named).await;
        let id = containers.create(join("one")).await.unwrap().id;
        containers.rename("one", "two").await.unwrap();
        containers.start(&other).await.unwrap();
        containers.start(&id).await.unwrap();
        assert_eq!(world.wait(&id, WaitCondition::NotRunning).await.exit_code, 0);
    });
}
