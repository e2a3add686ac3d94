//! `brig system df`

use clap::Parser;
use docker_api::Query;
use docker_api::system::DiskUsage;

use crate::command::{Execute, Exit, container, image};
use crate::error::Result;
use crate::output::format::{Listing, Wish};
use crate::output::template::{Map, Value};
use crate::output::{self, human_size, table};
use crate::session::Session;

/// Show disk usage
#[derive(Debug, Parser)]
pub(crate) struct DiskUse {
    /// Format output using a custom template: 'table', 'table TEMPLATE', 'json' or TEMPLATE
    #[arg(long)]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

const LISTING: Listing = Listing {
    columns: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    quiet: "{{.Type}}",
    headings: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
};

impl Execute for DiskUse {
    async fn execute(self, session: &Session) -> Result<Exit> {
        let client = session.client().await?;
        let usage: DiskUsage = client.get("/system/df", &Query::new()).await?;
        if self.verbose && self.format.is_none() {
            output::write(&verbose(&usage)?)?;
            return Ok(Exit::SUCCESS);
        }
        let wish = Wish { format: self.format.as_deref(), ..Wish::default() };
        output::write(&LISTING.render(&rows(&usage), &wish)?)?;
        Ok(Exit::SUCCESS)
    }
}

/// Counts and bytes of one kind of object.
struct Sum {
    kind: &'static str,
    total: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
}

impl Sum {
    fn row(&self) -> Map {
        let mut reclaimable = human_size(self.reclaimable);
        if self.size > 0 {
            let percent = i128::from(self.reclaimable) * 100 / i128::from(self.size);
            reclaimable.push_str(&format!(" ({percent}%)"));
        }
        Map::row([
            ("Type", Value::from(self.kind)),
            ("TotalCount", Value::from(self.total.to_string())),
            ("Active", Value::from(self.active.to_string())),
            ("Size", Value::from(human_size(self.size))),
            ("Reclaimable", Value::from(reclaimable)),
        ])
    }
}

fn rows(usage: &DiskUsage) -> Vec<Map> {
    let cache = Sum {
        kind: "Build Cache",
        total: usage.build_cache.len(),
        active: 0,
        size: 0,
        reclaimable: 0,
    };
    [images(usage), containers(usage), volumes(usage), cache].iter().map(Sum::row).collect()
}

fn images(usage: &DiskUsage) -> Sum {
    let known = usage.images.iter().filter(|image| image.shared_size >= 0);
    let used = known.filter(|image| image.containers != 0);
    let used_size: i64 = used.map(|image| image.size - image.shared_size).sum();
    Sum {
        kind: "Images",
        total: usage.images.len(),
        active: usage.images.iter().filter(|image| image.containers > 0).count(),
        size: usage.layers_size,
        reclaimable: (usage.layers_size - used_size).max(0),
    }
}

fn containers(usage: &DiskUsage) -> Sum {
    let is_active = |state: &str| matches!(state, "running" | "paused" | "restarting");
    let stopped = usage.containers.iter().filter(|container| !is_active(&container.state));
    Sum {
        kind: "Containers",
        total: usage.containers.len(),
        active: usage.containers.len() - stopped.clone().count(),
        size: usage.containers.iter().map(|container| container.size_rw).sum(),
        reclaimable: stopped.map(|container| container.size_rw).sum(),
    }
}

fn volumes(usage: &DiskUsage) -> Sum {
    let of_volume = |volume: &docker_api::volume::Volume| {
        volume.usage_data.as_ref().map_or((0, 0), |usage| (usage.ref_count, usage.size.max(0)))
    };
    let volumes: Vec<(i64, i64)> = usage.volumes.iter().map(of_volume).collect();
    Sum {
        kind: "Local Volumes",
        total: volumes.len(),
        active: volumes.iter().filter(|(count, _)| *count > 0).count(),
        size: volumes.iter().map(|(_, size)| size).sum(),
        reclaimable: volumes.iter().filter(|(count, _)| *count == 0).map(|(_, size)| size).sum(),
    }
}

/// Every object with what it takes.
fn verbose(usage: &DiskUsage) -> Result<String> {
    let images = image::list::detailed(&usage.images)?;
    let containers = container::list::detailed(&usage.containers)?;
    let mut volumes = String::from("VOLUME NAME\tLINKS\tSIZE\n");
    for volume in &usage.volumes {
        let usage = volume.usage_data.as_ref();
        let (links, size) = usage.map_or((0, 0), |usage| (usage.ref_count.max(0), usage.size));
        volumes.push_str(&format!("{}\t{links}\t{}\n", volume.name, human_size(size)));
    }
    Ok(format!(
        "Images space usage:\n\n{images}\nContainers space usage:\n\n{containers}\n\
         Local Volumes space usage:\n\n{}\nBuild cache usage: 0B\n\n\
         CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED\n",
        table::align(&volumes)
    ))
}

#[cfg(test)]
mod tests {
    use docker_api::system::DiskUsage;
    use expect_test::expect;

    use super::{LISTING, Wish, rows, verbose};

    #[test]
    fn the_table_is_docker_s() {
        let usage: DiskUsage = serde_json::from_str(
            r#"{"LayersSize":1000,"Images":[{"Id":"sha256:00","RepoTags":["a:1"],"Size":400,
            "SharedSize":0,"Containers":1},{"Id":"sha256:11","Size":600,"Containers":0}],
            "Containers":[{"Id":"22","State":"exited","SizeRw":50,"Names":["/c"]},
            {"State":"running","SizeRw":50}],
            "Volumes":[{"Name":"v","UsageData":{"RefCount":0,"Size":10}}]}"#,
        )
        .unwrap();
        expect![[r#"
            TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
            Images          2         1         1kB       600B (60%)
            Containers      2         1         100B      50B (50%)
            Local Volumes   1         0         10B       10B (100%)
            Build Cache     0         0         0B        0B
        "#]]
        .assert_eq(&LISTING.render(&rows(&usage), &Wish::default()).unwrap());
        let text = verbose(&usage).unwrap();
        assert!(
            text.contains("VOLUME NAME   LINKS     SIZE\nv             0         10B\n"),
            "{text}"
        );
    }
}
