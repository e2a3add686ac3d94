//! `brig stats`

use clap::Parser;
use docker_api::container::{Stats as Sample, Summary};
use docker_api::{Client, Query};
use stdx::units::{format_bytes_binary, format_bytes_decimal};

use super::path;
use super::stats_board::Board;
use crate::command::{Execute, Exit};
use crate::error::{Error, Result};
use crate::output::format::{Listing, Wish};
use crate::output::template::{Map, Value};
use crate::output::{self, short_id};
use crate::session::Session;

/// Display a live stream of container(s) resource usage statistics
#[derive(Debug, Parser)]
pub(crate) struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long)]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    /// The containers; all that run when none is named
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

const LISTING: Listing = Listing {
    columns: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    quiet: "{{.ID}}",
    headings: &[
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
};

impl Execute for Stats {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let configured = session.settings()?.stats_format.clone();
        let format = self.format.clone().or(Some(configured)).filter(|text| !text.is_empty());
        let names = self.names(client).await?;
        if self.no_stream {
            let rows = self.once(client, &names).await?;
            output::write(&self.render(&rows, format.as_deref())?)?;
            return Ok(Exit::SUCCESS);
        }
        self.follow(client, names, format.as_deref()).await?;
        Ok(Exit::SUCCESS)
    }
}

impl Stats {
    async fn names(&self, client: &Client) -> Result<Vec<String>> {
        if !self.containers.is_empty() {
            return Ok(self.containers.clone());
        }
        let query = Query::new().flag("all", self.all);
        let containers: Vec<Summary> = client.get("/containers/json", &query).await?;
        Ok(containers.into_iter().map(|container| container.id).collect())
    }

    async fn once(&self, client: &Client, names: &[String]) -> Result<Vec<Map>> {
        let query = Query::new().with("stream", "0");
        let query = &query;
        let samples = names.iter().map(|name| async move {
            let sample: Sample = client.get(&format!("{}/stats", path(name)), query).await?;
            Ok::<Map, Error>(self.row(name, Some(&sample)))
        });
        futures_util::future::try_join_all(samples).await
    }

    /// Shows the samples as they come until nothing is left to follow; without names, containers
    /// come and go.
    async fn follow(
        &self,
        client: &Client,
        names: Vec<String>,
        format: Option<&str>,
    ) -> Result<()> {
        let mut board = Board::new(client);
        for name in names {
            board.add(name).await?;
        }
        if self.containers.is_empty() {
            board.watch(self.all).await?;
        }
        let screen = output::is_terminal();
        while board.change().await? {
            let rows: Vec<Map> =
                board.rows().map(|(name, sample)| self.row(name, sample)).collect();
            let text = self.render(&rows, format)?;
            output::write(&if screen { format!("\x1b[H\x1b[J{text}") } else { text })?;
        }
        Ok(())
    }

    fn render(&self, rows: &[Map], format: Option<&str>) -> Result<String> {
        let screen = if self.no_trunc { None } else { output::terminal_width() };
        Ok(LISTING.render(rows, &Wish { format, quiet: false, screen })?)
    }

    fn row(&self, container: &str, sample: Option<&Sample>) -> Map {
        let ended = Sample::default();
        // A container that does not run is told by a sample without a time.
        let (sample, known) = match sample {
            Some(sample) => (sample, !sample.read.is_zero()),
            None => (&ended, false),
        };
        let id = if sample.id.is_empty() { container } else { &sample.id };
        let text = |known_text: String, unknown: &str| {
            Value::from(if known { known_text } else { unknown.to_owned() })
        };
        let usage = memory_in_use(sample);
        let limit = sample.memory_stats.limit;
        let (received, sent) = network(sample);
        let (read, written) = blocks(sample);
        let decimal = format_bytes_decimal;
        Map::row([
            ("Container", Value::from(container)),
            ("ID", Value::from(if self.no_trunc { id.to_owned() } else { short_id(id) })),
            ("Name", text(sample.name.trim_start_matches('/').to_owned(), "--")),
            ("CPUPerc", text(format!("{:.2}%", processors(sample)), "--")),
            (
                "MemUsage",
                text(
                    format!("{} / {}", format_bytes_binary(usage), format_bytes_binary(limit)),
                    "-- / --",
                ),
            ),
            ("MemPerc", text(format!("{:.2}%", percent(usage, limit)), "--")),
            ("NetIO", text(format!("{} / {}", decimal(received), decimal(sent)), "--")),
            ("BlockIO", text(format!("{} / {}", decimal(read), decimal(written)), "--")),
            ("PIDs", text(sample.pids_stats.current.to_string(), "--")),
        ])
    }
}

/// Memory without the inactive page cache, as Docker counts it.
fn memory_in_use(sample: &Sample) -> u64 {
    let memory = &sample.memory_stats;
    let cache = ["total_inactive_file", "inactive_file"]
        .iter()
        .find_map(|name| memory.stats.get(*name))
        .copied()
        .unwrap_or_default();
    if cache < memory.usage { memory.usage - cache } else { memory.usage }
}

#[expect(clippy::cast_precision_loss, reason = "two digits after the point are shown")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}

/// 100 is one processor kept busy.
fn processors(sample: &Sample) -> f64 {
    let (now, before) = (&sample.cpu_stats, &sample.precpu_stats);
    let used = now.cpu_usage.total_usage.saturating_sub(before.cpu_usage.total_usage);
    let passed = now.system_cpu_usage.saturating_sub(before.system_cpu_usage);
    let counted = now.cpu_usage.percpu_usage.len();
    let online = if now.online_cpus > 0 {
        now.online_cpus
    } else {
        u32::try_from(counted).unwrap_or_default()
    };
    percent(used, passed) * f64::from(online)
}

fn network(sample: &Sample) -> (u64, u64) {
    let sum = |(received, sent): (u64, u64), network: &docker_api::container::NetworkStats| {
        (received + network.rx_bytes, sent + network.tx_bytes)
    };
    sample.networks.values().fold((0, 0), sum)
}

fn blocks(sample: &Sample) -> (u64, u64) {
    let mut sums = (0, 0);
    for entry in &sample.blkio_stats.io_service_bytes_recursive {
        match entry.op.as_bytes().first() {
            Some(b'r' | b'R') => sums.0 += entry.value,
            Some(b'w' | b'W') => sums.1 += entry.value,
            _ => {}
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::{Sample, Stats, blocks, memory_in_use, processors};
    use crate::output::template::{Functions, Template, Value};

    fn sample() -> Sample {
        serde_json::from_str(
            r#"{"name":"/web","id":"0123456789abcdef","read":"2026-01-01T00:00:00Z",
            "pids_stats":{"current":3},
            "cpu_stats":{"cpu_usage":{"total_usage":300},"system_cpu_usage":2000,"online_cpus":2},
            "precpu_stats":{"cpu_usage":{"total_usage":100},"system_cpu_usage":1000},
            "memory_stats":{"usage":2097152,"limit":4194304,"stats":{"inactive_file":1048576}},
            "networks":{"eth0":{"rx_bytes":1000,"tx_bytes":2000}},
            "blkio_stats":{"io_service_bytes_recursive":[{"op":"read","value":1},{"op":"Write","value":2}]}}"#,
        )
        .unwrap()
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the numbers are chosen to be exact")]
    fn numbers_are_docker_s() {
        let sample = sample();
        assert_eq!(processors(&sample), 40.0);
        assert_eq!(memory_in_use(&sample), 1 << 20);
        assert_eq!(blocks(&sample), (1, 2));
    }

    #[test]
    fn rows() {
        let stats = Stats {
            all: false,
            format: None,
            no_stream: true,
            no_trunc: false,
            containers: Vec::new(),
        };
        let template = Template::parse(
            "{{.ID}} {{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.PIDs}}",
        )
        .unwrap();
        let render = |sample: Option<&Sample>| {
            template.render(&Value::Map(stats.row("web", sample)), Functions::Usual).unwrap()
        };
        assert_eq!(
            render(Some(&sample())),
            "0123456789ab web 40.00% 1MiB / 4MiB 25.00% 1kB / 2kB 3"
        );
        assert_eq!(render(None), "web -- -- -- / -- -- -- --");
    }
}
