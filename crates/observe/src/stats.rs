//! Readings of a container's counters, and the rates between two of them.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use linux::cgroup::{Group, Usage};

use crate::Error;

/// Nanoseconds in one tick of `/proc/stat`: user space sees 100 a second on every architecture we
/// know (`USER_HZ`).
const TICK: u64 = 10_000_000;

/// One reading of a group's counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Nanoseconds since 1970.
    pub at: u64,
    /// Nanoseconds of processor time that the whole machine has spent since boot, idle time
    /// included (Docker's `system_cpu_usage`).
    pub system_cpu: u64,
    /// Processors that can be used.
    pub processors: u32,
    /// The group's counters.
    pub usage: Usage,
}

impl Sample {
    /// Reads the counters of a group and of the machine.
    ///
    /// # Errors
    /// When a counter cannot be read, for instance because the group is gone.
    pub fn take(group: &Group) -> Result<Self, Error> {
        let usage = group.usage()?;
        let path = std::path::Path::new("/proc/stat");
        let text = fs::read_to_string(path).map_err(|source| Error::file("read", path, source))?;
        let (system_cpu, processors) = parse_machine(&text);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { at, system_cpu, processors, usage })
    }

    /// The share of one processor used between `before` and this reading, in percent: two busy
    /// processors are 200. Zero when no time has passed. (The formula of `docker stats`.)
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
    pub fn cpu_percent(&self, before: &Self) -> f64 {
        let used = self.usage.cpu.total.saturating_sub(before.usage.cpu.total);
        let passed = self.system_cpu.saturating_sub(before.system_cpu);
        if passed == 0 {
            return 0.0;
        }
        used as f64 / passed as f64 * f64::from(self.processors) * 100.0
    }
}

/// The sum of the machine's processor time, and how many processors are on line (proc(5)): user,
/// nice, system, idle, iowait, irq and softirq, as Docker adds them.
fn parse_machine(text: &str) -> (u64, u32) {
    let mut total = 0;
    let mut processors = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("cpu") => {
                let ticks = words.take(7).filter_map(|word| word.parse::<u64>().ok());
                total = ticks.sum::<u64>() * TICK;
            }
            Some(name) if name.starts_with("cpu") => processors += 1,
            _ => break,
        }
    }
    (total, processors)
}

#[cfg(test)]
mod tests {
    use super::{Sample, Usage, parse_machine};

    #[test]
    fn the_machine() {
        let text = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 5\n";
        assert_eq!(parse_machine(text), (280_000_000, 2));
    }

    #[test]
    fn percent_of_one_processor() {
        let sample = |system_cpu, total| {
            let mut usage = Usage::default();
            usage.cpu.total = total;
            Sample { at: 0, system_cpu, processors: 2, usage }
        };
        let before = sample(1000, 100);
        assert_eq!(format!("{:.1}", sample(3000, 1100).cpu_percent(&before)), "100.0");
        assert_eq!(format!("{:.1}", sample(1000, 1100).cpu_percent(&before)), "0.0");
        assert_eq!(format!("{:.1}", sample(3000, 0).cpu_percent(&before)), "0.0");
    }
}
