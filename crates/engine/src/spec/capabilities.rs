//! Which capabilities a process gets (capabilities(7)).

use crate::container::SecurityOptions;
use crate::error::{Error, Result};

/// The capabilities of a container, as `CAP_…`, by number. `available` are those that this process
/// can give away, without `CAP_`, by number.
///
/// # Errors
/// `Invalid` for a name that is none, or a capability that is not there to be given.
pub(crate) fn capabilities(
    security: &SecurityOptions,
    available: &[String],
) -> Result<Vec<String>> {
    let add = names(&security.capabilities_add)?;
    let drop = names(&security.capabilities_drop)?;
    if security.privileged {
        return Ok(available.iter().map(|name| format!("CAP_{name}")).collect());
    }
    let has = |list: &[String], name: &str| list.iter().any(|other| other == name);
    let all_added = has(&add, "ALL");
    let all_dropped = has(&drop, "ALL");
    if let Some(missing) = add.iter().find(|name| *name != "ALL" && !has(available, name)) {
        return Err(Error::Invalid(format!(
            "capability not supported by your kernel or not available in the current environment: \
             \"CAP_{missing}\""
        )));
    }
    let chosen = available.iter().filter(|name| {
        let named = has(&add, name);
        let inherited = all_added || (!all_dropped && is_default(name));
        let dropped = has(&drop, name);
        // A capability named in both lists is dropped, unless everything was and it is named to
        // come back.
        (named || inherited) && !dropped
    });
    Ok(chosen.map(|name| format!("CAP_{name}")).collect())
}

/// Whether an ordinary container has it.
fn is_default(name: &str) -> bool {
    policy::DEFAULT_CAPABILITIES.iter().any(|default| default.strip_prefix("CAP_") == Some(name))
}

fn names(wanted: &[String]) -> Result<Vec<String>> {
    wanted
        .iter()
        .map(|name| {
            let upper = name.to_ascii_uppercase();
            let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if bare == "ALL" || linux::capability::NAMES.contains(&bare) {
                return Ok(bare.to_owned());
            }
            Err(Error::Invalid(format!("invalid capability: \"{name}\"")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{capabilities, is_default};
    use crate::container::SecurityOptions;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn of(add: &str, drop: &str) -> String {
        let available = words("CHOWN KILL SETUID NET_ADMIN NET_RAW SYS_ADMIN");
        let security = SecurityOptions {
            capabilities_add: words(add),
            capabilities_drop: words(drop),
            ..SecurityOptions::default()
        };
        match capabilities(&security, &available) {
            Ok(names) => names.join(" ").replace("CAP_", ""),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn added_and_dropped() {
        assert_eq!(of("", ""), "CHOWN KILL SETUID NET_RAW");
        assert_eq!(of("NET_ADMIN", "kill"), "CHOWN SETUID NET_ADMIN NET_RAW");
        assert_eq!(of("cap_net_admin", "ALL"), "NET_ADMIN");
        assert_eq!(of("ALL", "SYS_ADMIN"), "CHOWN KILL SETUID NET_ADMIN NET_RAW");
        assert_eq!(of("ALL", "ALL"), "CHOWN KILL SETUID NET_ADMIN NET_RAW SYS_ADMIN");
        assert_eq!(of("", "ALL"), "");
        assert_eq!(of("NOPE", ""), "invalid capability: \"NOPE\"");
        assert!(of("SYS_TIME", "").starts_with("capability not supported"));
    }

    #[test]
    fn privileged_has_all_there_are() {
        let security = SecurityOptions { privileged: true, ..SecurityOptions::default() };
        assert_eq!(capabilities(&security, &words("A B")).unwrap(), ["CAP_A", "CAP_B"]);
        assert!(is_default("CHOWN") && !is_default("SYS_ADMIN"));
    }
}
