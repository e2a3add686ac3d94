//! Times, printed: `cargo test -p engine --release --test containers -- --ignored`.

use std::time::{Duration, Instant};

use engine::container::WaitCondition;
use linux::process::SingleThreaded;
use testkit::forked::Test;

use crate::world::{World, sh, test};

pub(crate) const TESTS: &[Test] = &[("measure::run_of_true", run_of_true)];

const ROUNDS: usize = 100;

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: median {:?}, 10 % {:?}, 90 % {:?}", at(50), at(10), at(90));
}

async fn one(world: &World, times: &mut [Vec<Duration>; 4]) {
    let containers = world.engine().containers();
    let mut spec = sh("");
    spec.command = Some(vec!["/bin/true".into()]);
    spec.host.auto_remove = true;
    let mut begin = Instant::now();
    let mut lap = |index: usize| {
        times[index].push(begin.elapsed());
        begin = Instant::now();
    };
    let id = containers.create(spec).await.unwrap().id;
    lap(0);
    let removed = containers.wait(&id, WaitCondition::Removed).await.unwrap();
    containers.start(&id).await.unwrap();
    lap(1);
    removed.outcome().await;
    lap(2);
}

fn run_of_true(token: &SingleThreaded) {
    test(token, async |world| {
        let mut times = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            one(world, &mut times).await;
            times[3].push(begin.elapsed());
        }
        for (what, times) in ["create", "start", "end and removal", "all"].iter().zip(&mut times) {
            report(what, times);
        }
    });
}
