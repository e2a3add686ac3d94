//! Wall time of commands, interleaved.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Result;

/// A named command that can be made afresh for every run; the number tells runs apart.
pub(super) struct Subject<'a> {
    pub(super) name: &'static str,
    pub(super) command: Box<dyn Fn(usize) -> Command + 'a>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(name: &'static str, command: impl Fn(usize) -> Command + 'a) -> Self {
        Self { name, command: Box::new(command) }
    }
}

/// Runs of one subject in a row: each then finds the caches as its own kind leaves them, as it does
/// where it is used, and not as another program does.
const BLOCK: usize = 10;

/// Median wall milliseconds of each subject over `runs` runs, a block of one after a block of the
/// other, so that a noisy moment is noisy for all; the first three of each block do not count. A
/// subject that fails at once has no figure.
pub(super) fn interleaved(subjects: &[Subject<'_>], runs: usize) -> Result<Vec<Option<f64>>> {
    const WARM_UP: usize = 3;
    let mut times: Vec<Option<Vec<Duration>>> = subjects.iter().map(|_| Some(Vec::new())).collect();
    for block in 0..runs.div_ceil(BLOCK) {
        for (subject, times) in subjects.iter().zip(&mut times) {
            for number in 0..WARM_UP + BLOCK {
                let Some(list) = times else { break };
                let round = block * (WARM_UP + BLOCK) + number;
                match (time(&mut (subject.command)(round))?, number) {
                    (Some(elapsed), WARM_UP..) => list.push(elapsed),
                    (Some(_), _) => {}
                    (None, 0) if block == 0 => *times = None,
                    (None, _) => return Err(format!("{}: run {round} failed", subject.name).into()),
                }
            }
        }
    }
    Ok(times.into_iter().map(|times| times.map(|mut list| median(&mut list))).collect())
}

/// Median wall milliseconds of each phase (outer) of each subject (inner) over `runs` lives; `life` gives
/// the commands of one, in order. A subject that fails has no figures.
pub(super) fn phases(
    subjects: usize,
    phases: usize,
    runs: usize,
    life: impl Fn(usize, usize) -> Vec<Command>,
) -> Result<Vec<Vec<Option<f64>>>> {
    let mut times = vec![vec![Some(Vec::new()); subjects]; phases];
    for round in 0..runs {
        for subject in 0..subjects {
            for (times, mut command) in times.iter_mut().zip(life(subject, round)) {
                match (time(&mut command)?, &mut times[subject]) {
                    (Some(elapsed), Some(list)) => list.push(elapsed),
                    (None, list) => *list = None,
                    _ => {}
                }
            }
        }
    }
    let middle = |list: Option<Vec<Duration>>| list.map(|mut list| median(&mut list));
    Ok(times.into_iter().map(|phase| phase.into_iter().map(middle).collect()).collect())
}

/// Wall time of one run, or `None` if it failed.
pub(super) fn time(command: &mut Command) -> Result<Option<Duration>> {
    let null = || std::fs::File::options().read(true).write(true).open("/dev/null");
    command.stdin(null()?).stdout(null()?).stderr(null()?);
    let start = Instant::now();
    let status = command.status()?;
    let elapsed = start.elapsed();
    Ok(status.success().then_some(elapsed))
}

/// The median in milliseconds.
pub(super) fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

/// Runs `count` numbered commands, `width` at a time; wall seconds of all together.
pub(super) fn at_once(
    count: usize,
    width: usize,
    command: &(impl Fn(usize) -> Command + Sync),
) -> Result<f64> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = std::sync::atomic::AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..width {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if !matches!(time(&mut command(number)), Ok(Some(_))) {
                        failed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        0 => Ok(start.elapsed().as_secs_f64()),
        failed => Err(format!("{failed} of {count} failed").into()),
    }
}
