//! `brig images`

use clap::Parser;
use docker_api::Query;
use docker_api::image::Summary;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use stdx::units::format_bytes_decimal;

use crate::command::{Execute, Exit, filter, timestamp};
use crate::error::Result;
use crate::output::format::{Listing, Wish};
use crate::output::template::{Map, Value};
use crate::output::{self, short_id};
use crate::session::Session;

/// List images
#[derive(Debug, Parser)]
pub(crate) struct List {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_parser = filter::parse)]
    filter: Vec<(String, String)>,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long)]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// Only images of this name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    name: Option<String>,
}

const HEADINGS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

const COLUMNS: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const COLUMNS_WITH_DIGEST: &str =
    "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

impl Execute for List {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let configured = Some(session.settings()?.images_format.clone())
            .filter(|format| !format.is_empty() && !self.quiet);
        let format = self.format.clone().or(configured);
        let mut filters = filter::all(&self.filter);
        if let Some(name) = &self.name {
            filters.add("reference", name);
        }
        let query = Query::new().flag("all", self.all).filters(&filters);
        let images: Vec<Summary> = client.get("/images/json", &query).await?;
        let digests = self.digests || format.as_deref().is_some_and(|f| f.contains(".Digest"));
        let rows = Rows {
            truncated: !self.no_trunc,
            digests,
            now: Timestamp::now(),
            zone: format.as_deref().map(|_| TimeZone::system()),
        };
        let listing = Listing {
            columns: if self.digests { COLUMNS_WITH_DIGEST } else { COLUMNS },
            quiet: "{{.ID}}",
            headings: HEADINGS,
        };
        let screen = if self.no_trunc { None } else { output::terminal_width() };
        let wish = Wish { format: format.as_deref(), quiet: self.quiet, screen };
        let rows: Vec<Map> = images.iter().flat_map(|image| rows.of(image)).collect();
        output::write(&listing.render(&rows, &wish)?)?;
        Ok(Exit::SUCCESS)
    }
}

/// The table of `system df -v`.
///
/// # Errors
/// None that a user can cause.
pub(crate) fn detailed(images: &[Summary]) -> Result<String> {
    let rows = Rows { truncated: true, digests: false, now: Timestamp::now(), zone: None };
    let rows: Vec<Map> = images.iter().flat_map(|image| rows.of(image)).collect();
    let listing = Listing {
        columns: "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
        quiet: "{{.ID}}",
        headings: HEADINGS,
    };
    Ok(listing.render(&rows, &Wish::default())?)
}

struct Rows {
    truncated: bool,
    digests: bool,
    now: Timestamp,
    /// Looked up only when a template may want a date.
    zone: Option<TimeZone>,
}

const NONE: &str = "<none>";

impl Rows {
    /// One row for each name: with digests for each pair of tag and digest of a repository.
    fn of(&self, image: &Summary) -> Vec<Map> {
        let digests: Vec<(&str, &str)> =
            image.repo_digests.iter().filter_map(|name| name.split_once('@')).collect();
        let named = |name: &&String| !name.starts_with("<none>");
        let mut rows = Vec::new();
        for name in image.repo_tags.iter().filter(named) {
            let (repository, tag) = super::pull::split_tag(name);
            let digest = digests.iter().find(|(known, _)| *known == repository);
            let digest = digest.map_or(NONE, |(_, digest)| digest);
            rows.push(self.row(image, repository, tag.unwrap_or(NONE), digest));
        }
        if rows.is_empty() {
            match digests.first() {
                Some((repository, digest)) => rows.push(self.row(image, repository, NONE, digest)),
                None => rows.push(self.row(image, NONE, NONE, NONE)),
            }
        }
        rows
    }

    fn row(&self, image: &Summary, repository: &str, tag: &str, digest: &str) -> Map {
        let size = format_bytes_decimal(u64::try_from(image.size).unwrap_or_default());
        let created_at = self.zone.as_ref().map(|zone| timestamp::go_time(image.created, zone));
        let optional = |bytes: i64| {
            u64::try_from(bytes).map_or_else(|_| "N/A".to_owned(), format_bytes_decimal)
        };
        let containers =
            if image.containers < 0 { "N/A".to_owned() } else { image.containers.to_string() };
        let id = if self.truncated { short_id(&image.id) } else { image.id.clone() };
        let unique = if image.shared_size < 0 { -1 } else { image.size - image.shared_size };
        Map::row([
            ("ID", Value::from(id)),
            ("Repository", Value::from(repository)),
            ("Tag", Value::from(tag)),
            ("Digest", Value::from(if self.digests { digest } else { NONE })),
            ("CreatedSince", Value::from(timestamp::ago(image.created, self.now))),
            ("CreatedAt", Value::from(created_at.unwrap_or_default())),
            ("Size", Value::from(size)),
            ("VirtualSize", Value::from(output::human_size(image.size))),
            ("Containers", Value::from(containers)),
            ("SharedSize", Value::from(optional(image.shared_size))),
            ("UniqueSize", Value::from(optional(unique))),
        ])
    }
}

#[cfg(test)]
mod tests {
    use docker_api::image::Summary;
    use expect_test::expect;
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::{COLUMNS, COLUMNS_WITH_DIGEST, HEADINGS, Listing, Rows, Wish};

    fn render(digests: bool, format: Option<&str>) -> String {
        let images: Vec<Summary> = serde_json::from_str(
            r#"[{"Id":"sha256:0123456789abcdef","RepoTags":["a/b:1","c:latest"],
            "RepoDigests":["a/b@sha256:77"],"Created":0,"Size":4300000,"SharedSize":-1,"Containers":-1},
            {"Id":"sha256:fedcba9876543210","RepoTags":[],"Created":0,"Size":10}]"#,
        )
        .unwrap();
        let now = Timestamp::from_second(86_400 * 21).unwrap();
        let rows = Rows { truncated: true, digests, now, zone: Some(TimeZone::UTC) };
        let rows: Vec<_> = images.iter().flat_map(|image| rows.of(image)).collect();
        let columns = if digests { COLUMNS_WITH_DIGEST } else { COLUMNS };
        let listing = Listing { columns, quiet: "{{.ID}}", headings: HEADINGS };
        listing.render(&rows, &Wish { format, ..Wish::default() }).unwrap()
    }

    #[test]
    fn the_table_is_docker_s() {
        expect![[r#"
            REPOSITORY   TAG       IMAGE ID       CREATED       SIZE
            a/b          1         0123456789ab   3 weeks ago   4.3MB
            c            latest    0123456789ab   3 weeks ago   4.3MB
            <none>       <none>    fedcba987654   3 weeks ago   10B
        "#]]
        .assert_eq(&render(false, None));
    }

    #[test]
    fn digests_stand_beside_their_repository() {
        expect![[r#"
            REPOSITORY   TAG       DIGEST      IMAGE ID       CREATED       SIZE
            a/b          1         sha256:77   0123456789ab   3 weeks ago   4.3MB
            c            latest    <none>      0123456789ab   3 weeks ago   4.3MB
            <none>       <none>    <none>      fedcba987654   3 weeks ago   10B
        "#]]
        .assert_eq(&render(true, None));
    }

    #[test]
    fn json_is_docker_s() {
        let text = render(false, Some("json"));
        expect![[r#"{"Containers":"N/A","CreatedAt":"1970-01-01 00:00:00 +0000 UTC","CreatedSince":"3 weeks ago","Digest":"\u003cnone\u003e","ID":"0123456789ab","Repository":"a/b","SharedSize":"N/A","Size":"4.3MB","Tag":"1","UniqueSize":"N/A","VirtualSize":"4.3MB"}"#]]
        .assert_eq(text.lines().next().unwrap());
    }
}
