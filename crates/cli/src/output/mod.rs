//! What people see: text on standard output and error, tables, templates, JSON, progress.

pub(crate) mod format;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod template;

use std::io::{self, IsTerminal, Write};

/// Writes text to standard output at once.
///
/// # Errors
/// When standard output takes no more; [`is_broken_pipe`] tells the case where the reader left.
pub(crate) fn write(text: &str) -> io::Result<()> {
    write_bytes(text.as_bytes())
}

/// Writes bytes to standard output at once.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Writes a line to standard output.
///
/// # Errors
/// As [`write`].
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    write(&format!("{}\n", text.as_ref()))
}

/// Writes a line to standard error; a closed standard error is nobody's concern.
pub(crate) fn warn(text: impl AsRef<str>) {
    drop(writeln!(io::stderr().lock(), "{}", text.as_ref()));
}

/// Writes bytes to standard error.
///
/// # Errors
/// As [`write`].
pub(crate) fn error_bytes(bytes: &[u8]) -> io::Result<()> {
    io::stderr().lock().write_all(bytes)
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns of the terminal on standard output; `None` when it is none.
pub(crate) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Bytes with four significant digits, as Docker shows sums: `1.183MB`.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
pub(crate) fn human_size(bytes: i64) -> String {
    const UNITS: &[&str] = &["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut size = bytes.max(0) as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while size >= 1000.0
        && let Some(next) = units.next()
    {
        size /= 1000.0;
        unit = next;
    }
    let decimals = match size {
        _ if size >= 1000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ => 3,
    };
    let mut digits = format!("{size:.decimals$}");
    if digits.contains('.') {
        digits.truncate(digits.trim_end_matches('0').trim_end_matches('.').len());
    }
    digits + unit
}

/// The first `length` characters of an id, without its algorithm.
pub(crate) fn short_id(id: &str) -> String {
    let id = id.split_once(':').map_or(id, |(_, hex)| hex);
    id.chars().take(12).collect()
}

/// At most `length` characters, the last one `…` when some were cut off, as Docker does it.
pub(crate) fn ellipsis(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(length.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::{ellipsis, human_size, short_id};

    #[test]
    fn sums_have_four_digits() {
        for (bytes, text) in [
            (-1, "0B"),
            (999, "999B"),
            (1_183_210, "1.183MB"),
            (12_345, "12.35kB"),
            (123_456, "123.5kB"),
            (5_000_000_000, "5GB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }

    #[test]
    fn ids_and_texts_are_shortened() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("0123456789abcdef"), "0123456789ab");
        assert_eq!(ellipsis("abcdef", 6), "abcdef");
        assert_eq!(ellipsis("abcdefg", 6), "abcde…");
    }
}
