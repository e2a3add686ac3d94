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
    pub(crate) fn open(path: Option<&str>, format: Option<&str>) -> Self {
        let open = |path| OpenOptions::new().append(true).create(true).open(path).ok();
        Self { file: path.and_then(open), json: format == Some("json") }
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
