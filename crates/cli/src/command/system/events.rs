//! `brig events`

use clap::Parser;
use docker_api::Query;
use docker_api::event::Message;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::command::{Execute, Exit, document_format, filter, timestamp};
use crate::error::{Error, Result};
use crate::output;
use crate::output::template::{Functions, Value};
use crate::session::Session;

/// Get real time events from the server
#[derive(Debug, Parser)]
pub(crate) struct Events {
    /// Filter output based on conditions provided
    #[arg(short, long, value_parser = filter::parse)]
    filter: Vec<(String, String)>,
    /// Format output using a custom template: 'json' or TEMPLATE
    #[arg(long)]
    format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl Execute for Events {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let template = document_format::template(self.format.as_deref())?;
        let now = Timestamp::now();
        let time = |text: &Option<String>| match text {
            Some(text) => timestamp::parameter(text, now).map(Some).map_err(Error::Options),
            None => Ok(None),
        };
        let query = Query::new()
            .maybe("since", time(&self.since)?)
            .maybe("until", time(&self.until)?)
            .filters(&filter::all(&self.filter));
        let client = session.client().await?;
        let zone = TimeZone::system();
        let mut events = client.lines::<serde_json::Value>("/events", &query).await?;
        while let Some(event) = events.next().await? {
            match &template {
                Some(template) => {
                    output::line(template.render(&Value::from(event), Functions::Usual)?)?;
                }
                None => {
                    // A message of another shape is shown as far as it is understood.
                    let message: Message = serde_json::from_value(event).unwrap_or_default();
                    output::line(line(&message, &zone))?;
                }
            }
        }
        Ok(Exit::SUCCESS)
    }
}

/// `TIME container start ID (image=…, name=…)`.
fn line(message: &Message, zone: &TimeZone) -> String {
    let at = if message.time_nano == 0 {
        Timestamp::from_second(message.time)
    } else {
        Timestamp::from_nanosecond(i128::from(message.time_nano))
    };
    let at = at.map(|at| timestamp::rfc_3339(at, zone, true));
    let mut text = format!(
        "{} {} {} {}",
        at.unwrap_or_default(),
        message.kind,
        message.action,
        message.actor.id
    );
    let attributes: Vec<String> =
        message.actor.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !attributes.is_empty() {
        text.push_str(&format!(" ({})", attributes.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    #[test]
    fn lines_are_docker_s() {
        let message = serde_json::from_str(
            r#"{"Type":"container","Action":"start","Actor":{"ID":"77","Attributes":{"name":"web",
            "image":"x"}},"time":1,"timeNano":1500000000}"#,
        )
        .unwrap();
        assert_eq!(
            super::line(&message, &TimeZone::UTC),
            "1970-01-01T00:00:01.500000000Z container start 77 (image=x, name=web)"
        );
    }
}
