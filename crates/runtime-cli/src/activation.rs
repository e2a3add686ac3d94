//! Sockets that a service manager has opened for the container (`sd_listen_fds(3)`): they are passed
//! on, together with those of `--preserve-fds` behind them.

use crate::Failure;
use crate::arguments::Parsed;

/// The first descriptor that is passed on.
const FIRST: u32 = 3;

/// Longer than any list of names.
const MAX_NAMES: usize = 64 << 10;

/// What there is to be passed on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Activation {
    /// How many sockets, from descriptor 3 on.
    sockets: u32,
    /// `LISTEN_FDNAMES`.
    names: Option<String>,
    /// How many descriptors besides.
    others: u32,
}

impl Activation {
    /// What the environment and the flags say. `open` descriptors were there, from 3 on, when this
    /// program began: what has such a number since is its own, and the container's never.
    pub(crate) fn read(parsed: &Parsed, open: u32) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok();
        let found = Self::of(variable, std::process::id(), parsed.number("preserve-fds")?)?;
        let wanted = found.sockets.saturating_add(found.others);
        if wanted > open {
            let missing = FIRST.saturating_add(open);
            let message = format!("descriptor {missing} (of {wanted} to be passed on) is not open");
            return Err(message.into());
        }
        Ok(found)
    }

    fn of(
        variable: impl Fn(&str) -> Option<String>,
        own: u32,
        others: u32,
    ) -> Result<Self, Failure> {
        // They are for whoever is named, and no process that came from it.
        let is_meant = variable("LISTEN_PID").is_some_and(|pid| pid.parse() == Ok(own));
        let count = variable("LISTEN_FDS").filter(|_| is_meant);
        let sockets = match &count {
            Some(count) => count
                .parse()
                .map_err(|_| Failure::from(format!("LISTEN_FDS: {count:?} is not a number")))?,
            None => 0,
        };
        let names = variable("LISTEN_FDNAMES").filter(|_| sockets > 0);
        Ok(Self { sockets, names: names.filter(|names| names.len() <= MAX_NAMES), others })
    }

    /// How many descriptors the program inherits.
    pub(crate) fn count(&self) -> u32 {
        self.sockets.saturating_add(self.others)
    }

    /// Tells the program of its sockets. Its number is filled in by the one who knows it.
    pub(crate) fn announce(&self, environment: &mut Vec<String>) {
        if self.sockets == 0 {
            return;
        }
        environment.retain(|entry| !entry.starts_with("LISTEN_"));
        environment.push(format!("LISTEN_FDS={}", self.sockets));
        environment.push("LISTEN_PID=".to_owned());
        if let Some(names) = &self.names {
            environment.push(format!("LISTEN_FDNAMES={names}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Activation;

    fn of(variables: &[(&str, &str)]) -> Option<Activation> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Activation::of(variable, 7, 2).ok()
    }

    #[test]
    fn sockets_are_for_whom_they_are_named() {
        let mine = of(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "3"), ("LISTEN_FDNAMES", "a:b:c")]);
        let mine = mine.unwrap();
        assert_eq!(mine.count(), 5);
        let mut environment = vec!["LISTEN_FDS=9".to_owned(), "A=1".to_owned()];
        mine.announce(&mut environment);
        assert_eq!(environment, ["A=1", "LISTEN_FDS=3", "LISTEN_PID=", "LISTEN_FDNAMES=a:b:c"]);
        for others in [
            &[("LISTEN_PID", "8"), ("LISTEN_FDS", "3")][..],
            &[("LISTEN_FDS", "3")],
            &[("LISTEN_PID", "x"), ("LISTEN_FDS", "y")],
        ] {
            let not_mine = of(others).unwrap();
            assert_eq!(not_mine.count(), 2);
            let mut environment = vec!["LISTEN_FDS=9".to_owned()];
            not_mine.announce(&mut environment);
            assert_eq!(environment, ["LISTEN_FDS=9"]);
        }
        for wrong in ["", "-1", "+x", "4294967296"] {
            assert_eq!(of(&[("LISTEN_PID", "7"), ("LISTEN_FDS", wrong)]), None, "{wrong}");
        }
    }
}
