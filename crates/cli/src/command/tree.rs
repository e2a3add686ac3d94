//! Which words call which command.

use crate::error::{DAEMON_FAILED, Error};

use super::{Verb, completion, container, daemon, image, inspect, network, system, volume};

/// A word of the command line: a command, or a group of words.
#[derive(Clone, Copy)]
pub(crate) enum Word {
    /// A command.
    Verb(Verb),
    /// A noun with commands.
    Group(&'static Group),
}

/// A noun and its commands.
pub(crate) struct Group {
    /// The word, such as `container`.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) about: &'static str,
    /// Names of each command, the first one shown.
    pub(crate) words: &'static [(&'static [&'static str], Word)],
}

const fn verb<T: super::Execute + 'static>() -> Word {
    Word::Verb(Verb::of::<T>())
}

/// Everything.
pub(crate) static ROOT: Group = Group {
    name: "brig",
    about: "Containers from one binary",
    words: &[
        (&["run"], verb::<container::run::Run>()),
        (&["exec"], verb::<container::exec::Exec>()),
        (&["ps"], verb::<container::list::List>()),
        (&["pull"], verb::<image::pull::Pull>()),
        (&["images"], verb::<image::list::List>()),
        (&["version"], verb::<system::version::Version>()),
        (&["info"], verb::<system::about::About>()),
        (&["attach"], verb::<container::attach::Attach>()),
        (&["completion"], verb::<completion::Completion>()),
        (&["container"], Word::Group(&CONTAINER)),
        (&["create"], verb::<container::create::Create>()),
        (&["daemon"], verb::<daemon::DaemonCommand>()),
        (&["events"], verb::<system::events::Events>()),
        (&["history"], verb::<image::history::History>()),
        (&["image"], Word::Group(&IMAGE)),
        (&["inspect"], verb::<inspect::Inspect>()),
        (&["kill"], verb::<container::kill::Kill>()),
        (&["load"], verb::<image::load::Load>()),
        (&["logs"], verb::<container::logs::Logs>()),
        (&["network"], Word::Group(&NETWORK)),
        (&["pause"], verb::<container::pause::Pause>()),
        (&["port"], verb::<container::port::Port>()),
        (&["rename"], verb::<container::rename::Rename>()),
        (&["restart"], verb::<container::restart::Restart>()),
        (&["rm"], verb::<container::rm::Remove>()),
        (&["rmi"], verb::<image::rm::Remove>()),
        (&["start"], verb::<container::start::Start>()),
        (&["stats"], verb::<container::stats::Stats>()),
        (&["stop"], verb::<container::stop::Stop>()),
        (&["system"], Word::Group(&SYSTEM)),
        (&["tag"], verb::<image::tag::Tag>()),
        (&["top"], verb::<container::top::Top>()),
        (&["unpause"], verb::<container::unpause::Unpause>()),
        (&["volume"], Word::Group(&VOLUME)),
        (&["wait"], verb::<container::wait::Wait>()),
    ],
};

static CONTAINER: Group = Group {
    name: "container",
    about: "Manage containers",
    words: &[
        (&["attach"], verb::<container::attach::Attach>()),
        (&["create"], verb::<container::create::Create>()),
        (&["exec"], verb::<container::exec::Exec>()),
        (&["inspect"], verb::<container::inspect::Inspect>()),
        (&["kill"], verb::<container::kill::Kill>()),
        (&["logs"], verb::<container::logs::Logs>()),
        (&["ls", "ps", "list"], verb::<container::list::List>()),
        (&["pause"], verb::<container::pause::Pause>()),
        (&["port"], verb::<container::port::Port>()),
        (&["prune"], verb::<container::prune::Prune>()),
        (&["rename"], verb::<container::rename::Rename>()),
        (&["restart"], verb::<container::restart::Restart>()),
        (&["rm", "remove"], verb::<container::rm::Remove>()),
        (&["run"], verb::<container::run::Run>()),
        (&["start"], verb::<container::start::Start>()),
        (&["stats"], verb::<container::stats::Stats>()),
        (&["stop"], verb::<container::stop::Stop>()),
        (&["top"], verb::<container::top::Top>()),
        (&["unpause"], verb::<container::unpause::Unpause>()),
        (&["wait"], verb::<container::wait::Wait>()),
    ],
};

static IMAGE: Group = Group {
    name: "image",
    about: "Manage images",
    words: &[
        (&["history"], verb::<image::history::History>()),
        (&["inspect"], verb::<image::inspect::Inspect>()),
        (&["load"], verb::<image::load::Load>()),
        (&["ls", "list"], verb::<image::list::List>()),
        (&["prune"], verb::<image::prune::Prune>()),
        (&["pull"], verb::<image::pull::Pull>()),
        (&["rm", "remove"], verb::<image::rm::Remove>()),
        (&["tag"], verb::<image::tag::Tag>()),
    ],
};

static NETWORK: Group = Group {
    name: "network",
    about: "Manage networks",
    words: &[
        (&["inspect"], verb::<network::inspect::Inspect>()),
        (&["ls", "list"], verb::<network::list::List>()),
    ],
};

static VOLUME: Group = Group {
    name: "volume",
    about: "Manage volumes",
    words: &[
        (&["create"], verb::<volume::create::Create>()),
        (&["inspect"], verb::<volume::inspect::Inspect>()),
        (&["ls", "list"], verb::<volume::list::List>()),
        (&["prune"], verb::<volume::prune::Prune>()),
        (&["rm", "remove"], verb::<volume::rm::Remove>()),
    ],
};

static SYSTEM: Group = Group {
    name: "system",
    about: "Manage brig",
    words: &[
        (&["check"], verb::<system::check::Check>()),
        (&["df"], verb::<system::df::DiskUse>()),
        (&["events"], verb::<system::events::Events>()),
        (&["info"], verb::<system::about::About>()),
        (&["reset"], verb::<system::reset::Reset>()),
        (&["shutdown"], verb::<system::shutdown::Shutdown>()),
    ],
};

impl Group {
    /// The word of this name or alias.
    pub(crate) fn word(&self, name: &str) -> Option<Word> {
        self.words.iter().find(|(names, _)| names.contains(&name)).map(|(_, word)| *word)
    }

    /// The name most like a mistyped one.
    pub(super) fn similar(&self, name: &str) -> Option<&'static str> {
        let names = self.words.iter().filter_map(|(names, _)| names.first().copied());
        let near = names.map(|known| (distance(known, name), known)).min()?;
        (near.0 <= 2 && near.0 < name.chars().count()).then_some(near.1)
    }
}

/// How many letters must change to make one word of the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, letter) in left.chars().enumerate() {
        let mut diagonal = line;
        let mut before = line + 1;
        let mut next = vec![before];
        for (above, other) in row.iter().skip(1).zip(&right) {
            before = (diagonal + usize::from(letter != *other)).min(before + 1).min(above + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// A word that is no command.
pub(crate) struct Unknown {
    group: &'static Group,
    name: String,
    word: String,
}

impl Unknown {
    /// What the user is told.
    pub(crate) fn into_error(self) -> Error {
        let Self { group, name, word } = self;
        if word.starts_with('-') {
            return Error::Usage {
                message: format!("unknown flag: {word}"),
                usage: String::new(),
                command: name,
                code: DAEMON_FAILED,
            };
        }
        let guess = group.similar(&word);
        let guess = guess.map(|known| format!(" (did you mean '{known}'?)")).unwrap_or_default();
        Error::Usage {
            message: format!("unknown command: {name} {word}{guess}"),
            usage: String::new(),
            command: name,
            code: 1,
        }
    }
}

/// What the words of a command line begin with.
pub(crate) enum Found<'a> {
    /// A command: how it was called and its words.
    Verb(Verb, String, &'a [std::ffi::OsString]),
    /// A group without a command, or with `--help`.
    Group(&'static Group, String),
}

/// Finds the command that words call.
///
/// # Errors
/// A word that is none of the commands of its group.
pub(crate) fn find(words: &[std::ffi::OsString]) -> Result<Found<'_>, Unknown> {
    let mut group = &ROOT;
    let mut name = String::from("brig");
    let mut rest = words;
    loop {
        let Some((first, after)) = rest.split_first() else { return Ok(Found::Group(group, name)) };
        let word = first.to_string_lossy();
        if matches!(word.as_ref(), "help" | "--help" | "-h") {
            if after.is_empty() || word != "help" {
                return Ok(Found::Group(group, name));
            }
            // `brig help run` is `brig run --help`.
            rest = after;
            continue;
        }
        match group.word(&word) {
            Some(Word::Verb(verb)) => {
                name.push(' ');
                name.push_str(&word);
                return Ok(Found::Verb(verb, name, after));
            }
            Some(Word::Group(next)) => {
                name.push(' ');
                name.push_str(&word);
                group = next;
                rest = after;
            }
            None => return Err(Unknown { group, name, word: word.into_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, ROOT, distance, find};

    #[test]
    fn words_call_commands() {
        let words = |text: &str| text.split(' ').map(Into::into).collect::<Vec<_>>();
        for (line, name, rest) in [
            ("ps -a", "brig ps", 1),
            ("container ls", "brig container ls", 0),
            ("container list -q", "brig container list", 1),
            ("image rm x y", "brig image rm", 2),
        ] {
            let words = words(line);
            let Ok(Found::Verb(_, found, after)) = find(&words) else { panic!("{line}") };
            assert_eq!((found.as_str(), after.len()), (name, rest));
        }
        assert!(matches!(find(&words("container")), Ok(Found::Group(..))));
        assert!(matches!(find(&words("image --help")), Ok(Found::Group(..))));
        assert!(find(&words("image nonsense")).is_err());
    }

    #[test]
    fn mistyped_words_are_guessed() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(ROOT.similar("imagse"), Some("image"));
        assert_eq!(ROOT.similar("pss"), Some("ps"));
        assert_eq!(ROOT.similar("frobnicate"), None);
    }

    #[test]
    fn every_command_is_well_formed() {
        crate::command::help::full_tree().debug_assert();
    }
}
