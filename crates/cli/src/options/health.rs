//! `--health-…`: how to find out whether a container works.

use clap::Args;
use docker_api::container::HealthConfig;

use super::value;

/// Options about health checks. Durations in nanoseconds.
#[derive(Debug, Args)]
pub(super) struct HealthOptions {
    /// Command to run to check health
    #[arg(long, value_name = "COMMAND", default_value = "", hide_default_value = true)]
    health_cmd: String,
    /// Time between running the check (ms|s|m|h)
    #[arg(long, value_name = "DURATION", value_parser = span)]
    health_interval: Option<i64>,
    /// Maximum time to allow one check to run (ms|s|m|h)
    #[arg(long, value_name = "DURATION", value_parser = span)]
    health_timeout: Option<i64>,
    /// Start period for the container to initialize before starting health-retries countdown
    #[arg(long, value_name = "DURATION", value_parser = span)]
    health_start_period: Option<i64>,
    /// Time between running the check during the start period (ms|s|m|h)
    #[arg(long, value_name = "DURATION", value_parser = span)]
    health_start_interval: Option<i64>,
    /// Consecutive failures needed to report unhealthy
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    health_retries: Option<i64>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    no_healthcheck: bool,
}

fn span(text: &str) -> Result<i64, String> {
    let nanoseconds = value::duration(text)?;
    if nanoseconds < 0 {
        return Err("cannot be negative".to_owned());
    }
    if nanoseconds > 0 && nanoseconds < 1_000_000 {
        return Err("cannot be less than 1ms".to_owned());
    }
    Ok(nanoseconds)
}

impl HealthOptions {
    /// The check as the engine takes it; `None` leaves it to the image.
    pub(super) fn config(&self) -> Result<Option<HealthConfig>, String> {
        let config = HealthConfig {
            test: if self.health_cmd.is_empty() {
                Vec::new()
            } else {
                vec!["CMD-SHELL".to_owned(), self.health_cmd.clone()]
            },
            interval: self.health_interval.unwrap_or_default(),
            timeout: self.health_timeout.unwrap_or_default(),
            start_period: self.health_start_period.unwrap_or_default(),
            start_interval: self.health_start_interval.unwrap_or_default(),
            retries: self.health_retries.unwrap_or_default(),
        };
        let some = config != HealthConfig::default();
        match (self.no_healthcheck, some) {
            (true, true) => Err("--no-healthcheck conflicts with --health-* options".to_owned()),
            (true, false) => Ok(Some(HealthConfig { test: vec!["NONE".to_owned()], ..config })),
            (false, true) => Ok(Some(config)),
            (false, false) => Ok(None),
        }
    }
}
