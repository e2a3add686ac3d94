//! `brig system check`

use clap::Parser;
use docker_api::Query;
use docker_api::brig::{self, Finding, Verdict};

use crate::command::{Execute, Exit};
use crate::error::Result;
use crate::output;
use crate::session::{Session, require_brig};

/// Look at whether this machine has what containers need
#[derive(Debug, Parser)]
pub(crate) struct Check {
    /// Format output: 'json'
    #[arg(long, value_parser = ["json"])]
    format: Option<String>,
}

impl Execute for Check {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        require_brig(client, "brig system check").await?;
        let findings: Vec<Finding> = client.get(brig::CHECK, &Query::new()).await?;
        let text = if self.format.is_some() {
            serde_json::to_string(&findings).unwrap_or_default() + "\n"
        } else {
            let color = output::is_terminal() && session.environment.wants_color();
            findings.iter().map(|finding| line(finding, color)).collect()
        };
        output::write(&text)?;
        let bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
        Ok(Exit(u8::from(bad)))
    }
}

fn line(finding: &Finding, color: bool) -> String {
    let (mark, shade) = match finding.verdict {
        Verdict::Good => ("ok", "32"),
        Verdict::Warning => ("warning", "33"),
        Verdict::Bad => ("bad", "31"),
    };
    let mark = if color { format!("\x1b[{shade}m{mark:8}\x1b[0m") } else { format!("{mark:8}") };
    let mut text = format!("{mark} {:16} {}\n", finding.name, finding.detail);
    if !finding.hint.is_empty() {
        text.push_str(&format!("{:26}{}\n", "", finding.hint));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Finding, Verdict, line};

    #[test]
    fn hints_stand_below() {
        let finding = Finding {
            name: "cgroups".to_owned(),
            verdict: Verdict::Warning,
            detail: "version 1".to_owned(),
            hint: "boot with version 2".to_owned(),
        };
        assert_eq!(
            line(&finding, false),
            "warning  cgroups          version 1\n                          boot with version 2\n"
        );
        assert!(line(&finding, true).starts_with("\x1b[33mwarning \x1b[0m"));
    }
}
