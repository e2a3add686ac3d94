//! `brig ps`

use clap::Parser;
use docker_api::Query;
use docker_api::container::{MountPoint, Summary};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use stdx::units::format_bytes_decimal;

use super::ports;
use crate::command::{Execute, Exit, filter, timestamp};
use crate::error::Result;
use crate::output::format::{Listing, Wish, label_list, label_method};
use crate::output::template::{Map, Value};
use crate::output::{self, ellipsis, short_id};
use crate::session::Session;

/// List containers
#[derive(Debug, Parser)]
pub(crate) struct List {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_parser = filter::parse)]
    filter: Vec<(String, String)>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long)]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, default_value_t = -1, value_name = "NUMBER", allow_hyphen_values = true)]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

const COLUMNS: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
const COLUMNS_WITH_SIZE: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";

impl Execute for List {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let configured = if self.format.is_none() && !self.quiet {
            Some(session.settings()?.ps_format.clone()).filter(|format| !format.is_empty())
        } else {
            None
        };
        let format = self.format.as_deref().or(configured.as_deref());
        let size = self.size || format.is_some_and(|format| format.contains(".Size"));
        let last = if self.latest { 1 } else { self.last };
        let query = Query::new()
            .flag("all", self.all)
            .flag("size", size)
            .maybe("limit", (last > 0).then(|| last.to_string()))
            .filters(&filter::all(&self.filter));
        let containers: Vec<Summary> = client.get("/containers/json", &query).await?;
        let rows = Rows {
            truncated: !self.no_trunc,
            now: Timestamp::now(),
            zone: format.map(|_| TimeZone::system()),
        };
        let listing = Listing {
            columns: if self.size { COLUMNS_WITH_SIZE } else { COLUMNS },
            quiet: "{{.ID}}",
            headings: HEADINGS,
        };
        let screen = if self.no_trunc { None } else { output::terminal_width() };
        let wish = Wish { format, quiet: self.quiet, screen };
        let rows: Vec<Map> = containers.iter().map(|container| rows.row(container)).collect();
        output::write(&listing.render(&rows, &wish)?)?;
        Ok(Exit::SUCCESS)
    }
}

/// The table of `system df -v`.
///
/// # Errors
/// None that a user can cause.
pub(crate) fn detailed(containers: &[Summary]) -> Result<String> {
    let rows = Rows { truncated: true, now: Timestamp::now(), zone: None };
    let rows: Vec<Map> = containers.iter().map(|container| rows.row(container)).collect();
    let listing = Listing {
        columns: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
        quiet: "{{.ID}}",
        headings: HEADINGS,
    };
    Ok(listing.render(&rows, &Wish::default())?)
}

/// How containers become rows.
struct Rows {
    truncated: bool,
    now: Timestamp,
    /// Looked up only when a template may want a date.
    zone: Option<TimeZone>,
}

impl Rows {
    fn row(&self, container: &Summary) -> Map {
        let created_at = self.zone.as_ref().map(|zone| timestamp::go_time(container.created, zone));
        let volumes = container.mounts.iter().filter(|mount| mount.driver == "local").count();
        let networks: Vec<&str> =
            container.network_settings.networks.keys().map(String::as_str).collect();
        let labels = container.labels.clone().into_iter().collect();
        Map::row([
            ("ID", Value::from(self.id(&container.id))),
            ("Names", Value::from(names(&container.names, self.truncated))),
            ("Image", Value::from(self.image(container))),
            ("Command", Value::from(self.command(&container.command))),
            ("CreatedAt", Value::from(created_at.unwrap_or_default())),
            ("RunningFor", Value::from(timestamp::ago(container.created, self.now))),
            ("Ports", Value::from(ports::displayed(&container.ports))),
            ("State", Value::from(container.state.as_str())),
            ("Status", Value::from(container.status.as_str())),
            ("Size", Value::from(size(container))),
            ("Labels", Value::from(label_list(&container.labels))),
            ("Mounts", Value::from(self.mounts(&container.mounts))),
            ("LocalVolumes", Value::from(volumes.to_string())),
            ("Networks", Value::from(networks.join(","))),
            ("Platform", Value::Nil),
            ("Label", label_method(labels)),
        ])
    }

    fn id(&self, id: &str) -> String {
        if self.truncated { short_id(id) } else { id.to_owned() }
    }

    fn image(&self, container: &Summary) -> String {
        let image = &container.image;
        if image.is_empty() {
            return "<no image>".to_owned();
        }
        if !self.truncated {
            return image.clone();
        }
        if *image == container.image_id || image.starts_with("sha256:") {
            return short_id(image);
        }
        image.split('@').next().unwrap_or_default().to_owned()
    }

    fn command(&self, command: &str) -> String {
        let command = if self.truncated { ellipsis(command, 20) } else { command.to_owned() };
        format!("\"{}\"", command.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    }

    fn mounts(&self, mounts: &[MountPoint]) -> String {
        let names = mounts.iter().map(|mount| {
            let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
            if self.truncated { ellipsis(name, 15) } else { name.clone() }
        });
        names.collect::<Vec<_>>().join(",")
    }
}

/// Names without their slash; names by way of links only when nothing is truncated.
fn names(names: &[String], truncated: bool) -> String {
    let bare = names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    let shown = bare.filter(|name| !truncated || !name.contains('/'));
    shown.collect::<Vec<_>>().join(",")
}

fn size(container: &Summary) -> String {
    let bytes = |size: i64| format_bytes_decimal(u64::try_from(size).unwrap_or_default());
    let written = bytes(container.size_rw);
    if container.size_root_fs > 0 {
        format!("{written} (virtual {})", bytes(container.size_root_fs))
    } else {
        written
    }
}

#[cfg(test)]
mod tests {
    use docker_api::container::Summary;
    use expect_test::expect;
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::{COLUMNS, HEADINGS, Listing, Rows, Wish};

    fn summary() -> Summary {
        serde_json::from_str(
            r#"{"Id":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "Names":["/web","/other/link"],"Image":"busybox:1@sha256:00","ImageID":"sha256:77",
            "Command":"sh -c 'echo \"hello\" world'","Created":1000,"State":"running",
            "Status":"Up 2 minutes","Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,
            "Type":"tcp"}],"Labels":{"b":"2","a":"1"},"NetworkSettings":{"Networks":{"bridge":{}}},
            "Mounts":[{"Type":"volume","Name":"a-rather-long-name","Driver":"local"}]}"#,
        )
        .unwrap()
    }

    fn render(format: Option<&str>, truncated: bool) -> String {
        let now = Timestamp::from_second(1120).unwrap();
        let rows = Rows { truncated, now, zone: Some(TimeZone::UTC) };
        let listing = Listing { columns: COLUMNS, quiet: "{{.ID}}", headings: HEADINGS };
        let wish = Wish { format, ..Wish::default() };
        listing.render(&[rows.row(&summary())], &wish).unwrap()
    }

    #[test]
    fn the_table_is_docker_s() {
        expect![[r#"
            CONTAINER ID   IMAGE       COMMAND                    CREATED         STATUS         PORTS                  NAMES
            0123456789ab   busybox:1   "sh -c 'echo \"hello\"…"   2 minutes ago   Up 2 minutes   0.0.0.0:8080->80/tcp   web
        "#]]
        .assert_eq(&render(None, true));
    }

    #[test]
    fn json_is_docker_s() {
        expect![[r#"
            {"Command":"\"sh -c 'echo \\\"hello\\\"…\"","CreatedAt":"1970-01-01 00:16:40 +0000 UTC","ID":"0123456789ab","Image":"busybox:1","Labels":"a=1,b=2","LocalVolumes":"1","Mounts":"a-rather-long-…","Names":"web","Networks":"bridge","Platform":null,"Ports":"0.0.0.0:8080-\u003e80/tcp","RunningFor":"2 minutes ago","Size":"0B","State":"running","Status":"Up 2 minutes"}
        "#]]
        .assert_eq(&render(Some("json"), true));
    }

    #[test]
    fn nothing_is_cut_when_asked_for() {
        let text =
            render(Some("{{.ID}} {{.Image}} {{.Names}} {{.Mounts}} {{.Label \"a\"}}"), false);
        let id = summary().id;
        assert_eq!(text, format!("{id} busybox:1@sha256:00 web,other/link a-rather-long-name 1\n"));
    }
}
