//! Landlock's rules, made where the paths are.

use linux::landlock::Ruleset;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::command::own_root;
use crate::channel::Failure;
use crate::plan::LandlockPlan;

/// Makes the rules. The process is in the container's root already, below which every path is
/// resolved, links and all.
pub(super) fn make(plan: &LandlockPlan) -> Result<Ruleset, Failure> {
    let rules = Ruleset::new(plan.handled)?;
    let root = own_root()?;
    for (path, access) in &plan.paths {
        let fail = |errno| linux::Error::new("allow by Landlock", path.display(), errno);
        let Some(place) = root.find(path)? else {
            if plan.best_effort {
                continue;
            }
            return Err(fail(Errno::NOENT).into());
        };
        let status = rustix::fs::fstat(&place).map_err(fail)?;
        let is_directory = FileType::from_raw_mode(status.st_mode) == FileType::Directory;
        rules.allow_beneath(&place, is_directory, *access)?;
    }
    for (port, access) in &plan.ports {
        rules.allow_port(*port, *access)?;
    }
    Ok(rules)
}
