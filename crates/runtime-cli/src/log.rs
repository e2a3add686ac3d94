//! What is said to the caller: results on standard output, failures where `--log` points.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

/// Where failures are written.
#[derive(Default)]
pub(crate) struct Log {
    file: Option<std::fs::File>,
    json: bool,
}

impl Log {
    /// A file, to which is appended, or standard error.
    ///
    /// The error is the message to show.
    pub(crate) fn open(path: Option<&str>, format: Option<&str>) -> Result<Self, String> {
        let json = match format {
            None | Some("text" | "") => false,
            Some("json") => true,
            Some(other) => return Err(format!("--log-format is one of text, json: {other:?}")),
        };
        let open = |path: &str| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.map_err(|error| format!("open log {path}: {error}"))
        };
        Ok(Self { file: path.filter(|path| !path.is_empty()).map(open).transpose()?, json })
    }

    /// Tells why, and gives the exit code.
    pub(crate) fn failed(&self, message: &str, code: u8) -> ExitCode {
        self.tell("error", message);
        ExitCode::from(code)
    }

    /// Tells what does not keep the command from going on.
    pub(crate) fn warn(&self, message: &str) {
        self.tell("warning", message);
    }

    fn tell(&self, level: &str, message: &str) {
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let line = if self.json {
            let object = serde_json::json!({"level": level, "msg": message, "time": time});
            format!("{object}\n")
        } else {
            format!("time=\"{time}\" level={level} msg={message:?}\n")
        };
        // There is nowhere to tell that telling failed.
        if let Some(mut file) = self.file.as_ref() {
            drop(file.write_all(line.as_bytes()));
        }
        if self.file.is_none() {
            drop(std::io::stderr().write_all(line.as_bytes()));
        } else {
            drop(std::io::stderr().write_all(format!("{message}\n").as_bytes()));
        }
    }
}

/// Writes a result. A reader that went away is no failure.
pub(crate) fn print(text: &str) -> u8 {
    drop(std::io::stdout().write_all(text.as_bytes()));
    0
}
