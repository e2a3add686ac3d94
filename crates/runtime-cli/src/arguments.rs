//! Flags as Go's urfave/cli reads them: `--name value`, `--name=value`, `-n value`; the first word
//! that is no flag ends them.

/// One flag that a command knows.
pub(crate) struct Flag {
    name: &'static str,
    short: Option<char>,
    takes_value: bool,
}

impl Flag {
    pub(crate) const fn switch(name: &'static str, short: Option<char>) -> Self {
        Self { name, short, takes_value: false }
    }

    pub(crate) const fn value(name: &'static str, short: Option<char>) -> Self {
        Self { name, short, takes_value: true }
    }
}

/// Flags that were given, and what is left.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    given: Vec<(&'static str, String)>,
    /// The words after the flags.
    pub(crate) rest: Vec<String>,
}

impl Parsed {
    /// Reads `words`; the error is the message to show.
    pub(crate) fn read(words: &[String], known: &[Flag]) -> Result<Self, String> {
        let mut parsed = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            let Some(bare) = word.strip_prefix('-').filter(|bare| !bare.is_empty()) else {
                parsed.rest.push(word.clone());
                break;
            };
            let bare = bare.strip_prefix('-').unwrap_or(bare);
            let (name, attached) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (bare, None),
            };
            let flag = known
                .iter()
                .find(|flag| {
                    flag.name == name || flag.short.is_some_and(|short| name == short.to_string())
                })
                .ok_or_else(|| format!("flag provided but not defined: {word}"))?;
            let value = match (flag.takes_value, attached) {
                (true, Some(value)) => value,
                (true, None) => {
                    words.next().ok_or_else(|| format!("flag needs an argument: {word}"))?.clone()
                }
                (false, value) => value.unwrap_or_else(|| "true".to_owned()),
            };
            parsed.given.push((flag.name, value));
        }
        parsed.rest.extend(words.cloned());
        Ok(parsed)
    }

    /// The last value of a flag.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// All values of a flag.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// A number, 0 when absent.
    pub(crate) fn number(&self, name: &str) -> Result<u32, String> {
        let Some(value) = self.value(name) else { return Ok(0) };
        value.parse().map_err(|_| format!("--{name}: {value:?} is not a number"))
    }

    /// The first word after the flags, which must be there.
    pub(crate) fn id(&self) -> Result<&str, String> {
        match self.rest.first() {
            Some(id) if !id.is_empty() => Ok(id),
            _ => Err("a container id is needed".to_owned()),
        }
    }

    /// Nothing may follow the id.
    pub(crate) fn only_id(&self) -> Result<&str, String> {
        match self.rest.get(1) {
            None => self.id(),
            Some(word) => Err(format!("unexpected argument: {word}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Flag, Parsed};

    const FLAGS: &[Flag] = &[
        Flag::value("bundle", Some('b')),
        Flag::switch("detach", Some('d')),
        Flag::value("env", Some('e')),
    ];

    fn read(text: &str) -> Result<Parsed, String> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        Parsed::read(&words, FLAGS)
    }

    #[test]
    fn flags_end_at_the_first_word() {
        let parsed = read("-d --bundle=/x -e A=1 -e B=2 id -d --bundle y").unwrap();
        assert!(parsed.has("detach"));
        assert_eq!(parsed.value("bundle"), Some("/x"));
        assert_eq!(parsed.values("env").collect::<Vec<_>>(), ["A=1", "B=2"]);
        assert_eq!(parsed.rest, ["id", "-d", "--bundle", "y"]);
        assert!(parsed.only_id().is_err());
        assert_eq!(parsed.id(), Ok("id"));
    }

    #[test]
    fn wrong_ones() {
        assert!(read("--bundle").is_err());
        assert!(read("--nothing").is_err());
        assert!(!read("--detach=false x").unwrap().has("detach"));
        assert_eq!(read("-- -x").unwrap().rest, ["-x"]);
    }
}
