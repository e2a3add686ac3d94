//! `brig daemon install`: a systemd unit.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where units of the administrator are.
pub const UNIT_PATH: &str = "/etc/systemd/system/brig.service";

/// Writes the unit for this program (`executable`, absolute) with these arguments of the daemon.
/// `systemctl daemon-reload` and `systemctl enable --now brig` remain to be done.
///
/// # Errors
/// When the file cannot be written.
pub fn install_unit(unit: &Path, executable: &Path, arguments: &[String]) -> Result<PathBuf> {
    let failed = |error| Error::io("write", unit.display().to_string(), error);
    if let Some(directory) = unit.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    fs::write(unit, text(executable, arguments)).map_err(failed)?;
    Ok(unit.to_owned())
}

/// The unit. Containers live on when the service is stopped or restarted: only the daemon's own
/// process is killed.
fn text(executable: &Path, arguments: &[String]) -> String {
    let mut command = quote(&executable.display().to_string());
    for argument in arguments {
        command.push(' ');
        command.push_str(&quote(argument));
    }
    format!(
        "[Unit]\n\
         Description=brig container platform\n\
         After=network-online.target firewalld.service\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=main\n\
         ExecStart={command}\n\
         Restart=on-failure\n\
         RestartSec=1\n\
         Delegate=yes\n\
         KillMode=process\n\
         LimitNOFILE=1048576\n\
         LimitNPROC=infinity\n\
         LimitCORE=infinity\n\
         TasksMax=infinity\n\
         OOMScoreAdjust=-500\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// As systemd reads a command line (systemd.service(5)).
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.,:=@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('%', "%%").replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::install_unit;

    #[test]
    fn the_unit_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let unit = directory.path().join("system/brig.service");
        let arguments = ["--root", "/srv/my brig", "daemon"].map(str::to_owned);
        install_unit(&unit, Path::new("/usr/bin/brig"), &arguments).unwrap();
        let text = std::fs::read_to_string(unit).unwrap();
        assert!(text.contains("ExecStart=/usr/bin/brig --root \"/srv/my brig\" daemon\n"));
        for line in ["Type=notify", "KillMode=process", "Delegate=yes"] {
            assert!(text.lines().any(|found| found == line), "{line}");
        }
    }
}
