//! Users and groups by the container's own `passwd(5)` and `group(5)`: text in, numbers out.

use crate::error::{Error, Result};

/// Who a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User id.
    pub(crate) uid: u32,
    /// Primary group id.
    pub(crate) gid: u32,
    /// Further groups.
    pub(crate) groups: Vec<u32>,
    /// The home directory, `/` when the user has none.
    pub(crate) home: String,
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (number(fields.next()?)?, number(fields.next()?)?);
        let (_comment, home) = (fields.next()?, fields.next()?);
        Some(User { name, uid, gid, home })
    })
}

fn groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let gid = number(fields.next()?)?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

/// Decimal digits only, at most `i32::MAX` as Docker has it: `0x0`, `+0`, ` 0` and `-1` are no ids.
fn number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|id| *id <= 0x7fff_ffff)
}

/// Finds who `specification` (`user[:group]`, each a name or a number; empty is root) is.
///
/// A number that is nobody's is allowed; a name that is nobody's is not. Names win over numbers, as
/// in a `passwd` with a user called `1000`. Further groups are those which list the user, unless a
/// group was given.
///
/// # Errors
/// `Invalid` with Docker's words when a name is unknown or a number out of range.
pub(crate) fn resolve(specification: &str, passwd: &str, group: &str) -> Result<Identity> {
    let (user, wanted_group) = match specification.split_once(':') {
        Some((user, wanted)) => (user, Some(wanted).filter(|wanted| !wanted.is_empty())),
        None => (specification, None),
    };
    let (mut identity, name) = find_user(user, passwd)?;
    match wanted_group {
        Some(wanted) => identity.gid = find_group(wanted, group)?,
        None => {
            if let Some(name) = name {
                identity.groups = memberships(name, group);
            }
        }
    }
    Ok(identity)
}

/// Numbers of further groups, each a name or a number.
///
/// # Errors
/// As [`resolve`].
pub(crate) fn resolve_groups(wanted: &[String], group: &str) -> Result<Vec<u32>> {
    wanted.iter().map(|wanted| find_group(wanted, group)).collect()
}

fn find_user<'a>(user: &str, passwd: &'a str) -> Result<(Identity, Option<&'a str>)> {
    let id = if user.is_empty() { Some(0) } else { number(user) };
    let entry = users(passwd)
        .find(|entry| !user.is_empty() && entry.name == user)
        .or_else(|| users(passwd).find(|entry| Some(entry.uid) == id));
    if let Some(entry) = entry {
        let home = if entry.home.is_empty() { "/" } else { entry.home };
        let (uid, gid) = (entry.uid, entry.gid);
        return Ok((
            Identity { uid, gid, groups: Vec::new(), home: home.to_owned() },
            Some(entry.name),
        ));
    }
    match id {
        Some(uid) => Ok((Identity { uid, home: "/".to_owned(), ..Identity::default() }, None)),
        None => Err(Error::Invalid(format!(
            "unable to find user {user}: no matching entries in passwd file"
        ))),
    }
}

fn find_group(wanted: &str, group: &str) -> Result<u32> {
    groups(group).find(|entry| entry.name == wanted).map(|entry| entry.gid).map_or_else(
        || {
            number(wanted).ok_or_else(|| {
                Error::Invalid(format!(
                    "unable to find group {wanted}: no matching entries in group file"
                ))
            })
        },
        Ok,
    )
}

fn memberships(name: &str, group: &str) -> Vec<u32> {
    let mut found: Vec<u32> = groups(group)
        .filter(|entry| entry.members.split(',').any(|member| member == name))
        .map(|entry| entry.gid)
        .collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::{resolve, resolve_groups};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n\
        broken:x:zero:0::/:/\n\
        app:x:1000:1001:App,,,:/home/app:/bin/sh\n\
        1000:x:7:7::/seven:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\nadm:x:4:app\napp:x:1001:\n";

    fn check(specification: &str, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let identity = resolve(specification, PASSWD, GROUP).unwrap();
        assert_eq!(
            (identity.uid, identity.gid, identity.groups.as_slice(), identity.home.as_str()),
            (uid, gid, groups, home),
            "{specification}"
        );
    }

    #[test]
    fn names_and_numbers() {
        check("", 0, 0, &[10], "/root");
        check("root", 0, 0, &[10], "/root");
        check("0", 0, 0, &[10], "/root");
        check("app", 1000, 1001, &[10, 4], "/home/app");
        check("app:wheel", 1000, 10, &[], "/home/app");
        check("app:5", 1000, 5, &[], "/home/app");
        check("app:", 1000, 1001, &[10, 4], "/home/app");
        check(":wheel", 0, 10, &[], "/root");
        check("4242", 4242, 0, &[], "/");
        check("4242:4343", 4242, 4343, &[], "/");
    }

    #[test]
    fn a_name_of_digits_wins() {
        check("1000", 7, 7, &[], "/seven");
    }

    #[test]
    fn what_is_not_a_number_is_never_root() {
        for bad in ["0x0", "+0", " 0", "0 ", "-1", "2147483648", "99999999999", "nobody", "0root"] {
            assert!(resolve(bad, PASSWD, GROUP).is_err(), "{bad}");
            assert!(resolve(&format!("root:{bad}"), PASSWD, GROUP).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_any_file() {
        let identity = resolve("", "", "").unwrap();
        assert_eq!((identity.uid, identity.gid, identity.home.as_str()), (0, 0, "/"));
        assert!(resolve("app", "", "").is_err());
    }

    #[test]
    fn further_groups() {
        let wanted = ["wheel".to_owned(), "77".to_owned()];
        assert_eq!(resolve_groups(&wanted, GROUP).unwrap(), [10, 77]);
        assert!(resolve_groups(&["none".to_owned()], GROUP).is_err());
    }
}
