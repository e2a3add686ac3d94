//! Log options of a container, understood: pure.

use observe::log::LogOptions;

use super::options::LogConfig;
use crate::error::{Error, Result};

/// How the output is logged; `None` keeps no log.
///
/// # Errors
/// `Unsupported` for drivers that brig does not have, `Invalid` for options that are none.
pub(crate) fn options(config: &LogConfig) -> Result<Option<LogOptions>> {
    match config.driver.as_str() {
        "" | "json-file" => {}
        "none" if config.options.is_empty() => return Ok(None),
        "none" => {
            return Err(Error::Invalid("the log driver none has no options".to_owned()));
        }
        driver => {
            return Err(Error::Unsupported(format!(
                "log driver '{driver}' is not supported: brig writes json-file (rotated) or none"
            )));
        }
    }
    let mut options = LogOptions::default();
    for (key, value) in &config.options {
        let invalid = || Error::Invalid(format!("invalid value for log option {key}: \"{value}\""));
        match key.as_str() {
            "max-size" if value == "-1" => options.max_size = 0,
            "max-size" => {
                options.max_size =
                    stdx::units::parse_bytes(value).filter(|n| *n > 0).ok_or_else(invalid)?;
            }
            "max-file" => {
                options.max_files = value.parse().ok().filter(|n| *n > 0).ok_or_else(invalid)?;
            }
            "compress" => options.compress = value.parse().map_err(|_| invalid())?,
            _ => {
                return Err(Error::Unsupported(format!(
                    "unknown log opt '{key}' for json-file log driver"
                )));
            }
        }
    }
    Ok(Some(options))
}

#[cfg(test)]
mod tests {
    use super::super::options::LogConfig;
    use super::options;

    fn config(driver: &str, given: &[(&str, &str)]) -> LogConfig {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        LogConfig { driver: driver.to_owned(), options: given.iter().map(own).collect() }
    }

    #[test]
    fn drivers_and_options() {
        let given = [("max-size", "5m"), ("max-file", "2"), ("compress", "false")];
        let log = options(&config("json-file", &given)).unwrap().unwrap();
        assert_eq!((log.max_size, log.max_files, log.compress), (5 << 20, 2, false));
        let log = options(&config("", &[])).unwrap().unwrap();
        assert_eq!((log.max_size, log.max_files, log.compress), (10 << 20, 3, true));
        assert!(options(&config("none", &[])).unwrap().is_none());
        assert_eq!(options(&config("", &[("max-size", "-1")])).unwrap().unwrap().max_size, 0);
        for (driver, given) in [
            ("syslog", &[][..]),
            ("", &[("max-size", "0")]),
            ("", &[("max-file", "0")]),
            ("", &[("compress", "maybe")]),
            ("", &[("labels", "x")]),
            ("none", &[("max-size", "1m")]),
        ] {
            assert!(options(&config(driver, given)).is_err(), "{driver} {given:?}");
        }
    }
}
