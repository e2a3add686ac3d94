//! Signals by name and number (signal(7)).

use crate::error::{Error, Result};

const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

/// SIGKILL.
pub(crate) const KILL: i32 = 9;
/// SIGTERM.
pub(crate) const TERM: i32 = 15;

/// The number of a signal given as `TERM`, `SIGTERM`, `term`, `15`, `RTMIN+3` or `RTMAX-1`.
///
/// # Errors
/// `Invalid` when there is no such signal.
pub(crate) fn parse(text: &str) -> Result<i32> {
    let invalid = || Error::Invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(invalid()) };
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = match bare.split_once(['+', '-']) {
        None => NAMES.iter().find(|(name, _)| *name == bare).map(|(_, number)| *number),
        Some(("RTMIN", offset)) if bare.contains('+') => real_time(offset).map(|by| 34 + by),
        Some(("RTMAX", offset)) if bare.contains('-') => real_time(offset).map(|by| 64 - by),
        Some(_) => None,
    };
    number.ok_or_else(invalid)
}

/// Whether the mask of a `Sig…` line of `/proc/PID/status` (hexadecimal, bit 0 is signal 1) has it.
pub(crate) fn in_mask(mask: &str, signal: i32) -> bool {
    let Ok(mask) = u64::from_str_radix(mask.trim(), 16) else { return false };
    u32::try_from(signal - 1).is_ok_and(|bit| bit < 64 && mask >> bit & 1 == 1)
}

fn real_time(offset: &str) -> Option<i32> {
    offset.parse().ok().filter(|by| (0..=30).contains(by))
}

#[cfg(test)]
mod tests {
    use super::{in_mask, parse};

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("RTMIN", 34),
            ("winch", 28),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "SIG", "0", "65", "-9", "NOPE", "RTMIN-1", "RTMIN+31", "TERM+1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn masks_of_proc_status() {
        assert!(in_mask("0000000000004000", 15));
        assert!(!in_mask("0000000000004000", 14));
        assert!(!in_mask("", 15));
        assert!(in_mask("8000000000000000", 64));
    }
}
