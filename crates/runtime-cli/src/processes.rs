//! `ps`: the processes of a container.

use crate::arguments::{Flag, Parsed};
use crate::control::group_of;
use crate::log::print;
use crate::{Call, Failure};

/// `ps [--format table|json] ID [OPTIONS OF ps]`: the lines of ps(1) on the host that are about the
/// container's processes, as runc has it; or their numbers alone.
pub(crate) fn ps(call: &Call, words: &[String]) -> Result<u8, Failure> {
    let parsed = Parsed::read(words, &[Flag::value("format", Some('f'))])?;
    let record = call.states.load(parsed.id()?)?;
    let pids = group_of(&record)?.processes()?;
    let pids: Vec<String> = pids.iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
    match parsed.value("format") {
        None | Some("table") => {
            let options = parsed.rest.get(1..).unwrap_or_default();
            Ok(print(&lines_of(&all_processes(options)?, &pids)?))
        }
        Some("json") => Ok(print(&format!("[{}]\n", pids.join(",")))),
        Some(other) => Err(format!("invalid format option {other:?}").into()),
    }
}

fn all_processes(options: &[String]) -> Result<String, Failure> {
    let mut command = stdx::process::command("ps");
    match options {
        [] => command.arg("-ef"),
        _ => command.args(options),
    };
    let output = stdx::process::output(command.stdin(std::process::Stdio::null()));
    let output = output.map_err(|error| {
        let hint = "see ps(1) for its options; --format json needs no ps";
        Failure::from(format!("{} ({hint})", stdx::chain(&error)))
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The head, and each line that is about one of these processes.
fn lines_of(text: &str, pids: &[String]) -> Result<String, Failure> {
    let (head, lines) = text.split_once('\n').unwrap_or((text, ""));
    let column = head.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or("what ps shows has no column PID: name it, too".to_owned())?;
    let is_ours = |line: &&str| {
        let number = line.split_whitespace().nth(column);
        number.is_some_and(|number| pids.iter().any(|pid| pid == number))
    };
    let ours = lines.lines().filter(is_ours).map(|line| format!("{line}\n"));
    Ok(format!("{head}\n{}", ours.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::lines_of;

    #[test]
    fn lines_are_found_by_their_column() {
        let text = "UID   PID CMD\n7       1 init\nroot    7 sh 1\nx\n";
        let of = |pids: &[&str]| {
            let pids: Vec<String> = pids.iter().map(|&pid| pid.to_owned()).collect();
            lines_of(text, &pids).ok().unwrap()
        };
        assert_eq!(of(&["7"]), "UID   PID CMD\nroot    7 sh 1\n");
        assert_eq!(of(&[]), "UID   PID CMD\n");
        assert!(lines_of("CMD\ninit\n", &["1".to_owned()]).is_err());
        assert!(lines_of("", &[]).is_err());
    }
}
