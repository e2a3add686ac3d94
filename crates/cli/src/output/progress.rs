//! How far a pull or load is: bars on a terminal, plain lines elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::Instant;

use docker_api::image::{Progress, ProgressDetail};
use stdx::units::format_bytes_decimal;

use crate::environment::Environment;
use crate::error::{Error, Result};

/// Cells of a bar.
const BAR: usize = 30;

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// Not at all; failures are still told.
    Nothing,
    /// On standard output.
    OnStdout,
    /// On standard error: standard output belongs to the container.
    OnStderr,
}

/// Shows messages as they come.
#[derive(Debug)]
pub(crate) struct Display {
    show: Show,
    /// Bars are drawn; else only lines without numbers are printed.
    bars: bool,
    color: bool,
    rows: Vec<Row>,
    width: usize,
}

#[derive(Debug)]
struct Row {
    id: String,
    text: String,
    begun: Instant,
    /// What was there when `begun` began.
    first: i64,
    status: String,
}

impl Display {
    /// A display in the caller's surroundings.
    pub(crate) fn new(show: Show, environment: &Environment) -> Self {
        let terminal = match show {
            Show::Nothing => false,
            Show::OnStdout => io::stdout().is_terminal(),
            Show::OnStderr => io::stderr().is_terminal(),
        };
        let width = rustix::termios::tcgetwinsize(io::stderr())
            .map_or(80, |size| usize::from(size.ws_col).max(20));
        let bars = terminal && environment.text("TERM") != Some("dumb");
        Self { show, bars, color: environment.wants_color(), rows: Vec::new(), width }
    }

    /// Shows one message.
    ///
    /// # Errors
    /// The failure that the message tells of; when the output takes no more.
    pub(crate) fn show(&mut self, progress: &Progress) -> Result<()> {
        if let Some(failure) = &progress.error_detail {
            return Err(Error::Stream(failure.message.clone()));
        }
        if !progress.error.is_empty() {
            return Err(Error::Stream(progress.error.clone()));
        }
        if self.show == Show::Nothing {
            return Ok(());
        }
        let text = if self.bars { self.draw(progress) } else { plain(progress) };
        Ok(self.write(&text)?)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        match self.show {
            Show::OnStderr => io::stderr().lock().write_all(text.as_bytes()),
            _ => super::write(text),
        }
    }

    /// The text that brings the screen up to date: each id has a row of its own.
    fn draw(&mut self, progress: &Progress) -> String {
        if progress.id.is_empty() || !progress.stream.is_empty() {
            // A line about no object ends the rows above it.
            self.rows.clear();
            return plain(progress);
        }
        let Some(position) = self.rows.iter().position(|row| row.id == progress.id) else {
            self.rows.push(Row::new(&progress.id));
            return self.added(progress);
        };
        let text = self.row_text(position, progress);
        let up = self.rows.len() - position;
        let Some(row) = self.rows.get_mut(position) else { return String::new() };
        if row.text == text {
            return String::new();
        }
        row.text.clone_from(&text);
        format!("\x1b[{up}A\r\x1b[2K{text}\x1b[{up}B\r")
    }

    fn added(&mut self, progress: &Progress) -> String {
        let position = self.rows.len() - 1;
        let text = self.row_text(position, progress);
        if let Some(row) = self.rows.last_mut() {
            row.text.clone_from(&text);
        }
        format!("\r\x1b[2K{text}\n")
    }

    fn row_text(&mut self, position: usize, progress: &Progress) -> String {
        let color = self.color;
        let width = self.width;
        let Some(row) = self.rows.get_mut(position) else { return String::new() };
        let detail = progress.progress_detail.clone().unwrap_or_default();
        row.note(&progress.status, &detail);
        let mut text = format!("{}: {}", progress.id, progress.status);
        if detail.current > 0 || detail.total > 0 {
            let numbers = row.numbers(&detail);
            let room = width.saturating_sub(text.chars().count() + numbers.chars().count() + 5);
            if detail.total > 0 && room >= 10 {
                let _ = write!(text, " {}", bar(&detail, room.min(BAR), color));
            }
            let _ = write!(text, " {numbers}");
        }
        text
    }
}

impl Row {
    fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            text: String::new(),
            begun: Instant::now(),
            first: 0,
            status: String::new(),
        }
    }

    /// A new phase starts its own clock.
    fn note(&mut self, status: &str, detail: &ProgressDetail) {
        if self.status != status {
            status.clone_into(&mut self.status);
            self.begun = Instant::now();
            self.first = detail.current;
        }
    }

    /// `12.3MB/45MB  5.1MB/s`.
    fn numbers(&self, detail: &ProgressDetail) -> String {
        let bytes = |count: i64| format_bytes_decimal(u64::try_from(count).unwrap_or_default());
        let mut text = bytes(detail.current);
        if detail.total > 0 {
            let _ = write!(text, "/{}", bytes(detail.total));
        }
        let milliseconds = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let done = (detail.current - self.first).max(0);
        if milliseconds >= 200 && done > 0 {
            let rate = i128::from(done) * 1000 / i128::from(milliseconds);
            let _ = write!(text, "  {}/s", bytes(i64::try_from(rate).unwrap_or(i64::MAX)));
        }
        text
    }
}

/// `[=====>    ]`.
fn bar(detail: &ProgressDetail, cells: usize, color: bool) -> String {
    let share = i128::from(detail.current.clamp(0, detail.total));
    let cells_wide = i128::try_from(cells).unwrap_or_default();
    let full = usize::try_from(share * cells_wide / i128::from(detail.total.max(1)));
    let full = full.unwrap_or_default().min(cells);
    let mut done = "=".repeat(full);
    if full < cells && full > 0 {
        done.pop();
        done.push('>');
    }
    let rest = " ".repeat(cells - full);
    if color { format!("[\x1b[36m{done}\x1b[0m{rest}]") } else { format!("[{done}{rest}]") }
}

/// A message as a line; one with numbers is none.
fn plain(progress: &Progress) -> String {
    if !progress.stream.is_empty() {
        return progress.stream.clone();
    }
    let detail = progress.progress_detail.as_ref();
    if progress.status.is_empty() || detail.is_some_and(|detail| detail.current > 0) {
        return String::new();
    }
    if progress.id.is_empty() {
        format!("{}\n", progress.status)
    } else {
        format!("{}: {}\n", progress.id, progress.status)
    }
}

#[cfg(test)]
mod tests {
    use docker_api::image::{ErrorDetail, Progress, ProgressDetail};

    use super::{Display, Environment, Show, bar, plain};

    fn message(id: &str, status: &str, current: i64, total: i64) -> Progress {
        Progress {
            id: id.to_owned(),
            status: status.to_owned(),
            progress_detail: Some(ProgressDetail { current, total, ..ProgressDetail::default() }),
            ..Progress::default()
        }
    }

    #[test]
    fn lines_without_a_terminal() {
        assert_eq!(plain(&message("a", "Pulling fs layer", 0, 0)), "a: Pulling fs layer\n");
        assert_eq!(plain(&message("a", "Downloading", 5, 10)), "");
        assert_eq!(plain(&message("", "Status: done", 0, 0)), "Status: done\n");
    }

    #[test]
    fn rows_are_drawn_in_place() {
        let environment = Environment::of(&[("NO_COLOR", "1")]);
        let mut display = Display::new(Show::OnStdout, &environment);
        display.bars = true;
        display.width = 80;
        assert_eq!(display.draw(&message("a", "Waiting", 0, 0)), "\r\x1b[2Ka: Waiting\n");
        assert_eq!(display.draw(&message("b", "Waiting", 0, 0)), "\r\x1b[2Kb: Waiting\n");
        let text = display.draw(&message("a", "Downloading", 500, 1000));
        assert!(text.starts_with("\x1b[2A\r\x1b[2Ka: Downloading ["), "{text:?}");
        assert!(text.contains("500B/1kB") && text.ends_with("\x1b[2B\r"), "{text:?}");
        assert_eq!(display.draw(&message("b", "Waiting", 0, 0)), "");
        assert_eq!(display.draw(&message("", "Done", 0, 0)), "Done\n");
        assert!(display.rows.is_empty());
    }

    #[test]
    fn bars_fill() {
        let detail = |current| ProgressDetail { current, total: 10, ..ProgressDetail::default() };
        assert_eq!(bar(&detail(0), 10, false), "[          ]");
        assert_eq!(bar(&detail(5), 10, false), "[====>     ]");
        assert_eq!(bar(&detail(10), 10, false), "[==========]");
        assert_eq!(bar(&detail(99), 10, false), "[==========]");
    }

    #[test]
    fn failures_end_the_display() {
        let mut display = Display::new(Show::Nothing, &Environment::default());
        let failure = Progress {
            error_detail: Some(ErrorDetail { code: 0, message: "no such host".to_owned() }),
            ..Progress::default()
        };
        assert_eq!(display.show(&failure).unwrap_err().to_string(), "no such host");
    }
}
