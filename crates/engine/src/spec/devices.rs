//! Device nodes, and the rules that say which may be used.

use oci::runtime::{Device, DeviceRule};

use crate::error::{Error, Result};

/// A device of the host, looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostDevice {
    /// Path inside the container.
    pub(crate) path: String,
    /// `c` or `b`.
    pub(crate) kind: char,
    /// Major number.
    pub(crate) major: u32,
    /// Minor number.
    pub(crate) minor: u32,
    /// Permission bits.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Letters of `rwm`.
    pub(crate) permissions: String,
}

/// What every container may use: null, zero, full, random, urandom, tty, console, ptmx, its pts.
const DEFAULT: &[(i64, Option<i64>)] = &[
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

/// The nodes to be made.
pub(super) fn nodes(devices: &[HostDevice]) -> Vec<Device> {
    let node = |device: &HostDevice| Device {
        kind: device.kind.to_string(),
        path: device.path.clone(),
        major: i64::from(device.major),
        minor: i64::from(device.minor),
        file_mode: Some(device.mode & 0o777),
        uid: Some(device.uid),
        gid: Some(device.gid),
    };
    devices.iter().map(node).collect()
}

/// The rules, first to last: deny everything, allow to make any node, allow the defaults, the
/// devices given and the rules asked for.
///
/// # Errors
/// `Invalid` for a rule that is none.
pub(super) fn rules(
    privileged: bool,
    devices: &[HostDevice],
    asked: &[String],
) -> Result<Vec<DeviceRule>> {
    if privileged {
        let all = DeviceRule { allow: true, access: Some("rwm".into()), ..DeviceRule::default() };
        return Ok(vec![all]);
    }
    let deny = DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() };
    let mut rules = vec![deny, allow("c", None, None, "m"), allow("b", None, None, "m")];
    rules.extend(DEFAULT.iter().map(|(major, minor)| allow("c", Some(*major), *minor, "rwm")));
    rules.extend(devices.iter().map(|device| {
        let (major, minor) = (i64::from(device.major), i64::from(device.minor));
        allow(&device.kind.to_string(), Some(major), Some(minor), &device.permissions)
    }));
    for rule in asked {
        rules.push(parse_rule(rule)?);
    }
    Ok(rules)
}

fn allow(kind: &str, major: Option<i64>, minor: Option<i64>, access: &str) -> DeviceRule {
    let (kind, access) = (Some(kind.to_owned()), Some(access.to_owned()));
    DeviceRule { allow: true, kind, major, minor, access }
}

/// Reads `c 1:3 rwm`, with `*` for any number.
fn parse_rule(text: &str) -> Result<DeviceRule> {
    let invalid = || Error::Invalid(format!("invalid device cgroup rule format: '{text}'"));
    let words: Vec<&str> = text.split_whitespace().collect();
    let [kind @ ("a" | "c" | "b"), numbers, access] = words.as_slice() else {
        return Err(invalid());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        _ if text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse::<u32>().map(|number| Some(i64::from(number))).map_err(|_| invalid())
        }
        _ => Err(invalid()),
    };
    check_permissions(access).ok_or_else(invalid)?;
    Ok(allow(kind, number(major)?, number(minor)?, access))
}

/// Whether a text is letters of `rwm`, each at most once.
pub(crate) fn check_permissions(text: &str) -> Option<()> {
    let known = text.chars().all(|letter| "rwm".contains(letter));
    let once = "rwm".chars().all(|letter| text.matches(letter).count() <= 1);
    (known && once && !text.is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::{HostDevice, parse_rule, rules};

    #[test]
    fn rules_asked_for() {
        let rule = parse_rule("c 42:* rm").unwrap();
        assert_eq!((rule.major, rule.minor, rule.access.as_deref()), (Some(42), None, Some("rm")));
        for bad in
            ["", "c", "c 1:3", "x 1:3 r", "c 1 r", "c 1:x r", "c 1:3 rr", "c 1:3 z", "c -1:3 r"]
        {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn order() {
        let device = HostDevice {
            path: "/dev/fuse".into(),
            kind: 'c',
            major: 10,
            minor: 229,
            mode: 0o20_666,
            uid: 0,
            gid: 0,
            permissions: "rw".into(),
        };
        let all = rules(false, std::slice::from_ref(&device), &["b 8:* r".into()]).unwrap();
        assert!(!all[0].allow && all[0].kind.is_none());
        assert!(all[1..].iter().all(|rule| rule.allow));
        assert_eq!(all[all.len() - 2].minor, Some(229));
        assert_eq!(all.last().unwrap().kind.as_deref(), Some("b"));
        assert_eq!(rules(true, &[device], &[]).unwrap().len(), 1);
    }
}
