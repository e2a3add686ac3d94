//! What is at a path of a container, as Docker's clients read it.

use docker_api::container::PathStat;

/// Kinds and special bits, as Go's `fs.FileMode` has them.
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const NAMED_PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SET_USER_ID: u32 = 1 << 23;
const SET_GROUP_ID: u32 = 1 << 22;
const CHARACTER_DEVICE: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;

pub(crate) fn path_stat(stat: engine::PathStat) -> PathStat {
    PathStat {
        name: stat.name,
        size: stat.size,
        mode: mode(stat.mode),
        mtime: stat.modified.to_string(),
        link_target: stat.link_target,
    }
}

/// From the bits of stat(2) (inode(7)).
fn mode(bits: u32) -> u32 {
    let kind = match bits & 0o170_000 {
        0o040_000 => DIRECTORY,
        0o120_000 => SYMLINK,
        0o060_000 => DEVICE,
        0o020_000 => DEVICE | CHARACTER_DEVICE,
        0o010_000 => NAMED_PIPE,
        0o140_000 => SOCKET,
        _ => 0,
    };
    let special = [(0o4000, SET_USER_ID), (0o2000, SET_GROUP_ID), (0o1000, STICKY)];
    let special = special.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, flag)| flag);
    special.fold(kind | bits & 0o777, |mode, flag| mode | flag)
}

#[cfg(test)]
mod tests {
    use super::mode;

    #[test]
    fn modes_are_gos() {
        assert_eq!(mode(0o100_644), 0o644);
        assert_eq!(mode(0o041_777), 1 << 31 | 1 << 20 | 0o777);
        assert_eq!(mode(0o104_755), 1 << 23 | 0o755);
        assert_eq!(mode(0o020_666), 1 << 26 | 1 << 21 | 0o666);
        assert_eq!(mode(0o120_777), 1 << 27 | 0o777);
    }
}
