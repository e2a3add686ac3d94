//! Processes in the form of ps(1): which columns the arguments ask for, and each cell. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};

/// Clock ticks a second in `/proc/PID/stat`: the same on every architecture we run on.
const TICKS: u64 = 100;

/// One process, as `/proc` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProcessFacts {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) command: String,
    pub(crate) arguments: String,
    pub(crate) state: char,
    pub(crate) parent: i64,
    pub(crate) group: i64,
    pub(crate) session: i64,
    pub(crate) terminal: i64,
    pub(crate) foreground: i64,
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    pub(crate) priority: i64,
    pub(crate) nice: i64,
    pub(crate) threads: u64,
    pub(crate) start_ticks: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) resident_bytes: u64,
}

/// What cells depend on besides the process.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Now.
    pub(crate) now: Timestamp,
    /// When the machine started.
    pub(crate) boot: Timestamp,
    /// Where the reader is.
    pub(crate) zone: TimeZone,
    /// Bytes of memory of the machine.
    pub(crate) memory: u64,
    /// Names of users, by id.
    pub(crate) users: HashMap<u32, String>,
}

/// A column: its title and its cell.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) cell: fn(&ProcessFacts, &Surroundings) -> String,
}

impl std::fmt::Debug for Column {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.title)
    }
}

/// ps's names of columns, its titles, and their cells.
const COLUMNS: &[(&str, Column)] = &[
    ("pid", Column { title: "PID", cell: |p, _| p.pid.to_string() }),
    ("ppid", Column { title: "PPID", cell: |p, _| p.parent.to_string() }),
    ("pgid", Column { title: "PGID", cell: |p, _| p.group.to_string() }),
    ("pgrp", Column { title: "PGRP", cell: |p, _| p.group.to_string() }),
    ("sid", Column { title: "SID", cell: |p, _| p.session.to_string() }),
    ("sess", Column { title: "SESS", cell: |p, _| p.session.to_string() }),
    ("uid", Column { title: "UID", cell: |p, _| p.uid.to_string() }),
    ("user", Column { title: "USER", cell: user }),
    ("euser", Column { title: "EUSER", cell: user }),
    ("gid", Column { title: "GID", cell: |p, _| p.gid.to_string() }),
    ("c", Column { title: "C", cell: |p, s| share(p, s).0.to_string() }),
    ("pcpu", Column { title: "%CPU", cell: |p, s| tenths(share(p, s)) }),
    ("%cpu", Column { title: "%CPU", cell: |p, s| tenths(share(p, s)) }),
    ("pmem", Column { title: "%MEM", cell: |p, s| tenths(memory_share(p, s)) }),
    ("%mem", Column { title: "%MEM", cell: |p, s| tenths(memory_share(p, s)) }),
    ("vsz", Column { title: "VSZ", cell: |p, _| (p.virtual_bytes >> 10).to_string() }),
    ("vsize", Column { title: "VSZ", cell: |p, _| (p.virtual_bytes >> 10).to_string() }),
    ("rss", Column { title: "RSS", cell: |p, _| (p.resident_bytes >> 10).to_string() }),
    ("rssize", Column { title: "RSS", cell: |p, _| (p.resident_bytes >> 10).to_string() }),
    ("tty", Column { title: "TT", cell: terminal }),
    ("tt", Column { title: "TT", cell: terminal }),
    ("tname", Column { title: "TTY", cell: terminal }),
    ("s", Column { title: "S", cell: |p, _| p.state.to_string() }),
    ("state", Column { title: "S", cell: |p, _| p.state.to_string() }),
    ("stat", Column { title: "STAT", cell: status }),
    ("stime", Column { title: "STIME", cell: started }),
    ("start_time", Column { title: "START", cell: started }),
    ("etime", Column { title: "ELAPSED", cell: |p, s| elapsed(age(p, s)) }),
    ("etimes", Column { title: "ELAPSED", cell: |p, s| age(p, s).to_string() }),
    ("time", Column { title: "TIME", cell: |p, _| clock(ticks(p) / TICKS) }),
    ("cputime", Column { title: "TIME", cell: |p, _| clock(ticks(p) / TICKS) }),
    ("nice", Column { title: "NI", cell: |p, _| p.nice.to_string() }),
    ("ni", Column { title: "NI", cell: |p, _| p.nice.to_string() }),
    ("pri", Column { title: "PRI", cell: |p, _| (39 - p.priority).to_string() }),
    ("nlwp", Column { title: "NLWP", cell: |p, _| p.threads.to_string() }),
    ("thcount", Column { title: "THCNT", cell: |p, _| p.threads.to_string() }),
    ("comm", Column { title: "COMMAND", cell: |p, _| p.command.clone() }),
    ("ucmd", Column { title: "CMD", cell: |p, _| p.command.clone() }),
    ("cmd", Column { title: "CMD", cell: |p, _| p.arguments.clone() }),
    ("args", Column { title: "COMMAND", cell: |p, _| p.arguments.clone() }),
    ("command", Column { title: "COMMAND", cell: |p, _| p.arguments.clone() }),
];

/// `ps -ef`, with the user's name under `UID`.
const FULL: &[Column] = &[
    Column { title: "UID", cell: user },
    Column { title: "PID", cell: |p, _| p.pid.to_string() },
    Column { title: "PPID", cell: |p, _| p.parent.to_string() },
    Column { title: "C", cell: |p, s| share(p, s).0.to_string() },
    Column { title: "STIME", cell: started },
    Column { title: "TTY", cell: terminal },
    Column { title: "TIME", cell: |p, _| clock(ticks(p) / TICKS) },
    Column { title: "CMD", cell: |p, _| p.arguments.clone() },
];

/// `ps aux`.
const USER_ORIENTED: &[Column] = &[
    Column { title: "USER", cell: user },
    Column { title: "PID", cell: |p, _| p.pid.to_string() },
    Column { title: "%CPU", cell: |p, s| tenths(share(p, s)) },
    Column { title: "%MEM", cell: |p, s| tenths(memory_share(p, s)) },
    Column { title: "VSZ", cell: |p, _| (p.virtual_bytes >> 10).to_string() },
    Column { title: "RSS", cell: |p, _| (p.resident_bytes >> 10).to_string() },
    Column { title: "TTY", cell: terminal },
    Column { title: "STAT", cell: status },
    Column { title: "START", cell: started },
    Column {
        title: "TIME",
        cell: |p, _| {
            let s = ticks(p) / TICKS;
            format!("{}:{:02}", s / 60, s % 60)
        },
    },
    Column { title: "COMMAND", cell: |p, _| p.arguments.clone() },
];

/// The columns that ps's arguments ask for: nothing, `-ef`, `-e -f`, `aux`, or `-o`, `-eo` with a
/// list.
///
/// # Errors
/// `Unsupported` for others: brig runs no ps.
pub(crate) fn columns(arguments: &str) -> Result<Vec<Column>> {
    let refuse = |what: &str| {
        Error::Unsupported(format!(
            "ps argument '{what}' is not supported: brig runs no ps; it knows -ef, aux and -o with \
             a list of columns"
        ))
    };
    let mut chosen: Vec<Column> = Vec::new();
    let mut words = arguments.split_whitespace();
    while let Some(word) = words.next() {
        let flags = word.trim_start_matches('-');
        let list = flags.trim_start_matches(['e', 'A', 'a', 'x']);
        match (flags, list) {
            ("e" | "A" | "a" | "x" | "ax" | "ea", _) => {}
            ("ef" | "f" | "fe" | "Af", _) => chosen = FULL.to_vec(),
            ("aux" | "u" | "auxww" | "uax", _) => chosen = USER_ORIENTED.to_vec(),
            (_, list) if list.starts_with('o') => {
                let names = match list.trim_start_matches('o') {
                    "" => words.next().ok_or_else(|| refuse(word))?,
                    names => names,
                };
                for name in names.split(',') {
                    chosen.push(column(name).ok_or_else(|| refuse(name))?);
                }
            }
            _ => return Err(refuse(word)),
        }
    }
    Ok(if chosen.is_empty() { FULL.to_vec() } else { chosen })
}

fn column(name: &str) -> Option<Column> {
    COLUMNS.iter().find(|(other, _)| *other == name).map(|(_, column)| *column)
}

/// Reads `/proc/PID/stat` (proc(5)); the name in parentheses may hold anything.
pub(crate) fn parse_stat(text: &str) -> Option<ProcessFacts> {
    let (before, after) = text.rsplit_once(") ")?;
    let (pid, command) = before.split_once(" (")?;
    let mut fields = after.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let numbers: Vec<i64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
    let at = |index: usize| numbers.get(index).copied();
    let count = |index: usize| at(index).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    Some(ProcessFacts {
        pid: pid.trim().parse().ok()?,
        command: command.to_owned(),
        state,
        parent: at(0)?,
        group: at(1)?,
        session: at(2)?,
        terminal: at(3)?,
        foreground: at(4)?,
        user_ticks: count(10),
        system_ticks: count(11),
        priority: at(14)?,
        nice: at(15)?,
        threads: count(16),
        start_ticks: count(18),
        virtual_bytes: count(19),
        resident_bytes: count(20) * 4096,
        ..ProcessFacts::default()
    })
}

fn ticks(process: &ProcessFacts) -> u64 {
    process.user_ticks + process.system_ticks
}

fn user(process: &ProcessFacts, surroundings: &Surroundings) -> String {
    surroundings.users.get(&process.uid).cloned().unwrap_or_else(|| process.uid.to_string())
}

fn start(process: &ProcessFacts, surroundings: &Surroundings) -> Timestamp {
    let after = std::time::Duration::from_millis(process.start_ticks * (1000 / TICKS));
    surroundings.boot.checked_add(after).unwrap_or(surroundings.now)
}

/// Seconds since the process started.
fn age(process: &ProcessFacts, surroundings: &Surroundings) -> u64 {
    let age = surroundings.now.as_second() - start(process, surroundings).as_second();
    u64::try_from(age).unwrap_or(0)
}

/// Percent and tenths of one processor over the process's life.
fn share(process: &ProcessFacts, surroundings: &Surroundings) -> (u64, u64) {
    let per_mille = (ticks(process) * 1000 / TICKS).checked_div(age(process, surroundings));
    let per_mille = per_mille.unwrap_or(0);
    (per_mille / 10, per_mille % 10)
}

fn memory_share(process: &ProcessFacts, surroundings: &Surroundings) -> (u64, u64) {
    let per_mille = (process.resident_bytes * 1000).checked_div(surroundings.memory).unwrap_or(0);
    (per_mille / 10, per_mille % 10)
}

fn tenths((whole, tenth): (u64, u64)) -> String {
    format!("{whole}.{tenth}")
}

/// The hour when it was today, else the day, else the year.
fn started(process: &ProcessFacts, surroundings: &Surroundings) -> String {
    let start = start(process, surroundings).to_zoned(surroundings.zone.clone());
    let now = surroundings.now.to_zoned(surroundings.zone.clone());
    let form = if start.date() == now.date() {
        "%H:%M"
    } else if start.year() == now.year() {
        "%b%d"
    } else {
        "%Y"
    };
    start.strftime(form).to_string()
}

/// `pts/0`, `tty1`, or `?` (ps's rule: the number is split as makedev(3) has it).
fn terminal(process: &ProcessFacts, _: &Surroundings) -> String {
    let device = u64::try_from(process.terminal).unwrap_or(0);
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => "?".to_owned(),
    }
}

fn status(process: &ProcessFacts, _: &Surroundings) -> String {
    let mut text = process.state.to_string();
    if process.nice < 0 {
        text.push('<');
    } else if process.nice > 0 {
        text.push('N');
    }
    if process.session == i64::from(process.pid) {
        text.push('s');
    }
    if process.threads > 1 {
        text.push('l');
    }
    if process.foreground == process.group {
        text.push('+');
    }
    text
}

/// `HH:MM:SS`, with days before when there are any.
fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days == 0 { clock } else { format!("{days}-{clock}") }
}

/// As [`clock`], hours left out when there are none.
fn elapsed(seconds: u64) -> String {
    if seconds < 3600 {
        return format!("{:02}:{:02}", seconds / 60, seconds % 60);
    }
    clock(seconds)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::{Surroundings, columns, parse_stat};

    const STAT: &str = "4242 (we ird) S) S 4200 4242 4242 34817 4300 4194560 100 0 0 0 150 50 0 0 \
        20 0 3 0 360000 4096000 250 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0";

    fn row(arguments: &str) -> Vec<String> {
        let mut process = parse_stat(STAT).unwrap();
        process.uid = 33;
        process.arguments = "python app.py".into();
        let surroundings = Surroundings {
            now: "2026-03-04T12:00:00Z".parse::<Timestamp>().unwrap(),
            boot: "2026-03-04T10:00:00Z".parse::<Timestamp>().unwrap(),
            zone: TimeZone::UTC,
            memory: 102_400_000,
            users: HashMap::from([(33, "www-data".to_owned())]),
        };
        columns(arguments).unwrap().iter().map(|c| (c.cell)(&process, &surroundings)).collect()
    }

    #[test]
    fn full_format() {
        let expected =
            ["www-data", "4242", "4200", "0", "11:00", "pts/1", "00:00:02", "python app.py"];
        assert_eq!(row(""), expected);
        assert_eq!(row("-e -f"), expected);
        let titles: Vec<&str> = columns("-ef").unwrap().iter().map(|c| c.title).collect();
        assert_eq!(titles, ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]);
    }

    #[test]
    fn other_formats() {
        assert_eq!(row("-o pid,comm"), ["4242", "we ird) S"]);
        assert_eq!(row("-eo uid,etime,nlwp"), ["33", "01:00:00", "3"]);
        assert_eq!(row("aux")[..4], ["www-data", "4242", "0.0", "1.0"]);
        assert_eq!(row("aux")[7], "Ssl");
        for bad in ["-Z", "-o", "-o bogus", "--forest", "-ef --sort=pid"] {
            assert!(columns(bad).is_err(), "{bad}");
        }
    }
}
